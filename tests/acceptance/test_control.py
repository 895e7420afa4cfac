"""Batches under control, on a real broker: a rate, a limit, a pause, an abort, and workers that die meanwhile."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from streams import codec
from streams.config import Topic
from streams.model import Action, BatchState, ControlBatch, ControlOperation, Filter, SliceProgress, StartBatch, Status
from support.service import oracle
from support.service.workload import DAY_MS, invoke, now_ms

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.service.harness import Progress, Service
    from support.service.programs import Program

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]

ALL = Filter(services=("billing",))
_RUNS = 3
"""Of a test that measures time, at most: a fault of the service shows in each."""


def _loaded(service: Service, count: int) -> tuple[Program, Program]:
    """Two workers, and a number of invocations that wait for tomorrow."""
    tomorrow = now_ms() + DAY_MS
    a, b = service.worker("a"), service.worker("b")
    service.send_many(invoke(f"i-{number}", "billing", scheduled_at=tomorrow) for number in range(count))
    service.await_partitions(a, b)
    service.settle()
    return a, b


def _control(service: Service, batch_id: str, operation: ControlOperation, max_rate: float | None = None) -> None:
    service.send(ControlBatch(batch_id, operation, max_rate=max_rate))


def _killed(service: Service) -> int:
    table = oracle.fold(service.read(Topic.CHANGELOG))
    return sum(row.status is Status.KILLED for row in table.rows.values())


def _seconds(progress: Progress) -> float:
    """From the batch's start to the end of its last slice, by the log's clock."""
    assert progress.header is not None
    return (max(each.updated_at for each in progress.slices.values()) - progress.header.created_at) / 1_000


def _seconds_at_a_rate(service: Service, count: int, max_rate: float) -> float:
    _loaded(service, count)
    service.start_batch(StartBatch("slow", Action.KILL, ALL, max_rate=max_rate))
    progress = service.await_batch("slow")
    assert progress.counters == (count, count, 0, 0, 0)
    service.verify()
    return _seconds(progress)


def test_a_rate_is_kept_over_all_partitions(make_service: Callable[..., Service], scale: float) -> None:
    """100,000 at 5,000 a second take 18 to 22 seconds; a smaller run as long, by as much.

    None is quicker. A machine that stands still for longer than a rate makes up for gets another run.
    """
    count = int(100_000 * scale)
    for _ in range(_RUNS):
        took = _seconds_at_a_rate(make_service(), count, count / 20)
        assert took >= 18
        if took <= 22:
            break
    assert took <= 22


def _done_at(service: Service, batch_id: str, time_ms: int) -> int:
    """How many were done by then, by the log's clock, as the progress records of the slices say."""
    latest: dict[int, SliceProgress] = {}
    for entry in service.read(Topic.BATCH_SLICES):
        record = None if entry.value is None else codec.decode(entry.value)
        if isinstance(record, SliceProgress) and record.batch_id == batch_id and record.updated_at <= time_ms:
            latest[record.partition] = record
    return sum(record.done for record in latest.values())


def _done_in_two_seconds(service: Service, count: int, slow: float, fast: float) -> int:
    """From a second after the batch was made faster."""
    _loaded(service, count)
    service.start_batch(StartBatch("slow", Action.KILL, ALL, max_rate=slow))
    service.await_progress("slow", lambda progress: progress.total("done") > count // 20, what="under way")
    _control(service, "slow", ControlOperation.SET_RATE, fast)
    changed = service.await_progress("slow", lambda progress: _rate(progress) == fast, what="faster").header
    assert changed is not None
    progress = service.await_batch("slow", timeout=30)
    assert progress.counters == (count, count, 0, 0, 0)
    service.verify()
    since, until = changed.updated_at + 1_000, changed.updated_at + 3_000
    return _done_at(service, "slow", until) - _done_at(service, "slow", since)


def test_a_rate_is_changed_while_the_batch_runs(make_service: Callable[..., Service], scale: float) -> None:
    """5,000 a second become 20,000: a second later it is that fast, within 15 %, and stays so.

    A machine that stands still meanwhile gets another run.
    """
    count = int(100_000 * scale)
    expected = pytest.approx(2 * count / 5, rel=0.15)
    for _ in range(_RUNS):
        done = _done_in_two_seconds(make_service(), count, count / 20, count / 5)
        if done == expected:
            break
    assert done == expected


def _rate(progress: Progress) -> float | None:
    return progress.header.max_rate if progress.header else None


def test_a_limit_is_exact_over_all_partitions(make_service: Callable[..., Service], scale: float) -> None:
    """12,345 of 100,000 are killed, and not one more, though four partitions and two workers take part."""
    service = make_service()
    limit = int(12_345 * scale)
    _loaded(service, int(100_000 * scale))
    service.start_batch(StartBatch("some", Action.KILL, ALL, limit=limit))
    progress = service.await_batch("some")
    assert (progress.state, progress.total("done")) == (BatchState.COMPLETED, limit)
    assert _killed(service) == limit
    service.verify()


def test_control_outlives_the_worker(make_service: Callable[..., Service]) -> None:
    """A batch is paused, its worker killed and started again: it is still paused, goes on when told, and is aborted."""
    service = make_service()
    a, b = _loaded(service, 4_000)
    service.start_batch(StartBatch("long", Action.KILL, ALL, max_rate=200.0))
    service.await_progress("long", lambda progress: progress.total("done") > 0, what="under way")
    _control(service, "long", ControlOperation.PAUSE)
    service.await_progress("long", lambda progress: progress.state is BatchState.PAUSED, what="PAUSED")
    service.settle()
    for worker in (a, b):
        worker.kill9()
        worker.start()
    service.await_partitions(a, b)
    before = service.progress("long", to_end=True)
    time.sleep(2)
    after = service.progress("long", to_end=True)
    assert (after.state, after.counters) == (BatchState.PAUSED, before.counters)
    _control(service, "long", ControlOperation.RESUME)
    done = before.total("done")
    service.await_progress("long", lambda progress: progress.total("done") > done, what="going on")
    _control(service, "long", ControlOperation.ABORT)
    progress = service.await_batch("long")
    assert progress.state is BatchState.ABORTED
    assert done < progress.total("done") < 4_000
    assert _killed(service) == progress.total("done")
    service.verify()


def test_paused_invocations_rest_until_resumed_and_purged_ones_are_gone(make_service: Callable[..., Service]) -> None:
    """PAUSE, RESUME and PURGE by filter, each by one record: table and signals are what the oracle says."""
    service = make_service()
    a, b = service.worker("a"), service.worker("b")
    service.await_partitions(a, b)
    service.send_many(invoke(f"i-{number}", "billing") for number in range(2_000))
    for batch_id, action in (("pause", Action.PAUSE), ("resume", Action.RESUME), ("kill", Action.KILL)):
        service.start_batch(StartBatch(batch_id, action, ALL))
        assert service.await_batch(batch_id).counters == (2_000, 2_000, 0, 0, 0)
    service.start_batch(StartBatch("purge", Action.PURGE, Filter(statuses=(Status.KILLED,))))
    assert service.await_batch("purge").counters == (2_000, 2_000, 0, 0, 0)
    _, table = service.check()
    assert not table.rows
