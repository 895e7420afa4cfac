"""A kill by filter while workers and the broker are killed, stopped, join and leave: the same end, exactly once."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from streams.model import BatchState
from support.service import oracle
from support.service.workload import invocations, kill

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.broker import Broker
    from support.service.harness import Progress, Service
    from support.service.programs import Program

pytestmark = [pytest.mark.broker, pytest.mark.chaos, pytest.mark.timeout(900)]

SLOW_PAGES = {"STREAMS_PAGE_BUDGET_MS": "0.1"}
"""Makes a batch take long enough for something to happen meanwhile."""

BATCH = "kill-1"


def _loaded(service: Service, scale: float) -> tuple[Program, Program, int]:
    """Two workers that have applied all invocations, and how many of these the batch is going to match."""
    a, b = service.worker("a"), service.worker("b")
    service.send_many(invocations(int(300_000 * scale)))
    service.await_partitions(a, b)
    # Matching ones that ended by themselves are not the batch's.
    log = service.settle(timeout=150)
    rows = oracle.predict(log).rows.values()
    matching = sum(
        row.invocation.service == "billing"
        and row.invocation.labels == {"tenant": "acme"}
        and row.status.value != "COMPLETED"
        for row in rows
    )
    return a, b, matching


def _await_underway(service: Service) -> None:
    """Every slice has told the lead that it has begun."""
    service.await_progress(BATCH, lambda progress: progress.state is BatchState.RUNNING, what="RUNNING")


def _underway(service: Service, matching: int) -> Progress:
    """The batch as it stands committed; it must have begun and not be through."""
    progress = service.progress(BATCH, to_end=True)
    assert progress.state is BatchState.RUNNING, f"the batch was to be RUNNING: {progress}"
    assert 0 < progress.total("matched") < matching, f"of {matching}: {progress}"
    return progress


def _finish(service: Service, matching: int) -> None:
    """The batch ends with exactly what it had to end."""
    progress = service.await_batch(BATCH, timeout=150)
    expected, table = service.check()
    assert table.ended_by(BATCH) == expected.ended_by(BATCH)
    assert progress.state is BatchState.COMPLETED
    assert progress.counters == (matching, matching, 0, 0, 0)


def test_a_worker_killed_three_times_during_the_batch(make_service: Callable[..., Service], scale: float) -> None:
    """A worker killed by `kill -9` and restarted, three times while the batch runs, loses and repeats nothing."""
    service = make_service(**SLOW_PAGES)
    a, b, matching = _loaded(service, scale)
    mine = [partition for partition, name in service.owners(a, b).items() if name == "a"]
    share = matching * len(mine) / service.partitions

    def done_by_a(progress: Progress) -> int:
        return sum(each.matched for partition, each in progress.slices.items() if partition in mine)

    service.start_batch(kill(BATCH))
    _await_underway(service)
    for part in (0.05, 0.3, 0.55):
        service.await_progress(BATCH, lambda p, least=part * share: done_by_a(p) > least, timeout=90)  # type: ignore[misc]
        a.kill9()
        _underway(service, matching)
        a.start()
    _finish(service, matching)


def test_a_worker_joins_and_another_leaves_during_the_batch(make_service: Callable[..., Service], scale: float) -> None:
    """A third worker takes partitions over while the batch runs and one is told to stop: nothing is lost."""
    service = make_service(**SLOW_PAGES)
    _, b, matching = _loaded(service, scale)
    c = service.worker("c")
    c.await_event("worker started")
    service.start_batch(kill(BATCH))
    _await_underway(service)
    b.send(signal.SIGTERM)
    _underway(service, matching)
    assert b.wait() == 0
    c.await_event("partition running")
    _finish(service, matching)
    assert c.events("restored"), "the new worker has no state of its own: it must have restored some"


def test_a_worker_stopped_past_its_transaction_timeout_and_continued(
    make_service: Callable[..., Service], scale: float
) -> None:
    """A worker that was stopped while others took over writes nothing when it goes on, and takes part again."""
    service = make_service(**SLOW_PAGES)
    a, b, matching = _loaded(service, scale)
    service.start_batch(kill(BATCH))
    _await_underway(service)
    a.send(signal.SIGSTOP)
    _underway(service, matching)
    service.await_batch(BATCH, timeout=120)
    assert set(service.owners(b)) == set(range(4)), "the other worker is to have taken all partitions over"
    a.send(signal.SIGCONT)
    # It has partitions again only after it has seen that it lost them.
    seen = len(a.events("partition running"))
    a.await_event("partition running", seen + 1)
    service.send_many(invocations(2_000, "later"))
    _finish(service, matching)
    assert a.running


@pytest.mark.durable
def test_the_broker_killed_and_restarted_during_the_batch(
    service_on: Callable[..., Service], own_broker: Broker, scale: float
) -> None:
    """The broker killed by `kill -9` while the batch runs: the workers wait for it and go on where they were."""
    service = service_on(own_broker.bootstrap, **SLOW_PAGES)
    a, b, matching = _loaded(service, scale)
    service.start_batch(kill(BATCH))
    _await_underway(service)
    own_broker.kill()
    time.sleep(2)
    own_broker.restart()
    _underway(service, matching)
    _finish(service, matching)
    assert a.running
    assert b.running
