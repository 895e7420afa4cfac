"""Objects with full inboxes on a real broker: what a batch is about to end is never started."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from streams import codec
from streams.config import Topic
from streams.model import (
    Action,
    BatchState,
    ControlBatch,
    ControlOperation,
    Filter,
    Invocation,
    Invoke,
    ReportTransition,
    Signal,
    SignalKind,
    StartBatch,
    StartSlice,
    Status,
)
from support.service import oracle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from support.service.harness import Service
    from support.service.oracle import Place

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]

EACH = 10
"""Invocations of an object."""


def _id(key: int, number: int) -> str:
    return f"cart/o{key:05}~{number}"


def _inboxes(objects: int) -> Iterable[Invoke]:
    """Full ones; the last of each inbox is of another tenant."""
    for number in range(EACH):
        labels = {"tenant": "acme" if number < EACH - 1 else "other"}
        for key in range(objects):
            yield Invoke(Invocation(_id(key, number), "cart", "add", f"o{key:05}", labels=labels))


def _loaded(make_service: Callable[..., Service], objects: int) -> Service:
    """Two workers, objects with full inboxes, the first of each reported RUNNING."""
    service = make_service()
    a, b = service.worker("a"), service.worker("b")
    service.send_many(_inboxes(objects))
    service.send_many(ReportTransition(_id(key, 0), 1) for key in range(objects))
    service.await_partitions(a, b)
    service.settle()
    return service


def _started(service: Service) -> dict[Place, int]:
    """Which offsets of `signals` hold a START, by whom it started."""
    starts = {}
    for entry in service.read(Topic.SIGNALS):
        signal = codec.decode(entry.value)
        if isinstance(signal, Signal) and signal.kind is SignalKind.START:
            starts[entry.partition, signal.seq] = entry.offset
    return starts


def test_a_kill_of_full_inboxes_starts_nothing_that_it_matches(
    make_service: Callable[..., Service], scale: float
) -> None:
    """Of each object all but one are killed by filter: that one, which is not matched, is the next to start."""
    objects = int(5_000 * scale)
    service = _loaded(make_service, objects)
    before = set(_started(service))
    assert len(before) == objects
    service.start_batch(StartBatch("k", Action.KILL, Filter(services=("cart",), labels={"tenant": "acme"})))
    count = objects * (EACH - 1)
    assert service.await_batch("k").counters == (count, count, 0, 0, 0)
    expected, _ = service.check()
    after = {expected.rows[place].invocation.labels["tenant"] for place in set(_started(service)) - before}
    assert after == {"other"}
    assert Counter(row.status for row in expected.rows.values()) == {Status.KILLED: count, Status.READY: objects}


def test_an_abort_half_way_leaves_every_object_with_one_started(
    make_service: Callable[..., Service], scale: float
) -> None:
    """Though executors end what runs meanwhile, nothing starts that is killed later, and no object is left waiting."""
    objects = int(5_000 * scale)
    service = _loaded(make_service, objects)
    before = set(_started(service))
    count = objects * (EACH - 1)
    acme = Filter(labels={"tenant": "acme"})
    service.start_batch(StartBatch("k", Action.KILL, acme, max_rate=count / 8))
    service.await_progress("k", lambda progress: progress.total("done") > 0, what="under way")
    ended = range(objects // 2, objects)
    service.send_many(ReportTransition(_id(key, 0), 1, to=Status.COMPLETED) for key in ended)
    service.await_progress("k", lambda progress: progress.total("done") > count / 4, what="further")
    assert set(_started(service)) == before
    service.send(ControlBatch("k", ControlOperation.ABORT))
    assert service.await_batch("k").state is BatchState.ABORTED
    log = service.settle()
    cutoffs = {entry.partition: entry.offset for entry in log if isinstance(codec.decode(entry.value), StartSlice)}
    table = oracle.fold(service.read(Topic.CHANGELOG))
    statuses: dict[str | None, Counter[Status]] = {}
    for (partition, seq), row in table.rows.items():
        statuses.setdefault(row.invocation.object_key, Counter())[row.status] += 1
        assert seq < cutoffs[partition]
    started = [each[Status.READY] + each[Status.RUNNING] for each in statuses.values()]
    assert started == [1] * objects
    assert any(each[Status.PENDING] for each in statuses.values())
    killed = {place for place, row in table.rows.items() if row.status is Status.KILLED}
    assert len(killed) == service.progress("k", to_end=True).total("done") < count
    assert not killed & (set(_started(service)) - before)
    oracle.check_counts(table)
    service.verify()


def test_a_kill_of_all_running_ends_none_that_it_promoted_itself(make_service: Callable[..., Service]) -> None:
    """One of each object is killed, and the next one of its inbox runs in its place."""
    service = _loaded(make_service, 300)
    service.start_batch(StartBatch("k", Action.KILL, Filter(statuses=(Status.READY, Status.RUNNING))))
    assert service.await_batch("k").counters == (300, 300, 0, 0, 0)
    _, table = service.check()
    assert {row.invocation.invocation_id for row in table.rows.values() if row.status is Status.READY} == {
        _id(key, 1) for key in range(300)
    }
