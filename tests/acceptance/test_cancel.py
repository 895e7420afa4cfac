"""Cancelling by filter: executors that answer, ignore it, complete first, or are overtaken by another batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from streams.config import Topic
from streams.model import (
    Action,
    BatchState,
    Filter,
    OnTimeout,
    ReportTransition,
    Signal,
    SignalKind,
    StartBatch,
    Status,
)
from support.service import oracle
from support.service.background_executor import Executor, obliging, report
from support.service.workload import DAY_MS, invoke, now_ms

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.model import Record
    from support.service.harness import Progress, Service

pytestmark = [pytest.mark.broker, pytest.mark.timeout(900)]

EACH = 120
SCHEDULED = 30


def _cancel(service: str, grace_ms: int, on_timeout: OnTimeout = OnTimeout.KILL) -> StartBatch:
    return StartBatch(
        f"cancel-{service}", Action.CANCEL, Filter(services=(service,)), grace_ms=grace_ms, on_timeout=on_timeout
    )


def _load(service: Service, *names: str) -> None:
    """For each service some invocations that have started, and some that have not."""
    tomorrow = now_ms() + DAY_MS
    for name in names:
        service.send_many(invoke(f"{name}-{each}", name) for each in range(EACH))
        service.send_many(invoke(f"{name}-later-{each}", name, scheduled_at=tomorrow) for each in range(SCHEDULED))


def _answer(signal: Signal) -> list[Record]:
    """Each service has its own manners."""
    if signal.invocation.service == "obliging":
        return obliging(signal)
    if signal.invocation.service == "completing" and signal.kind is SignalKind.CANCEL:
        return [report(signal, Status.COMPLETED)]
    return []


def _counts(progress: Progress) -> dict[str, int]:
    return {name: progress.total(name) for name in ("matched", "done", "pending", "skipped", "failed")}


def _pending(table: oracle.Table) -> int:
    """Rows that a batch still waits for."""
    return sum(row.status is Status.CANCELLING and row.counted_by is not None for row in table.rows.values())


def _statuses(table: oracle.Table, name: str) -> dict[Status, int]:
    found: dict[Status, int] = {}
    for row in table.rows.values():
        if row.invocation.service == name:
            found[row.status] = found.get(row.status, 0) + 1
    return found


def test_each_manner_of_executor_is_counted_where_it_belongs(make_service: Callable[..., Service]) -> None:
    """Answered and killed after the grace count as done, left ones as failed, those that complete first as skipped."""
    service = make_service()
    service.worker("a")
    service.worker("b")
    _load(service, "obliging", "completing", "ignoring", "left", "bystander")
    service.settle()
    with Executor(service, _answer):
        service.send(
            _cancel("obliging", 60_000),
            _cancel("completing", 60_000),
            _cancel("ignoring", 1_500),
            _cancel("left", 1_500, OnTimeout.LEAVE),
        )
        ended = {name: service.await_batch(f"cancel-{name}") for name in ("obliging", "completing", "ignoring", "left")}
        service.settle()
    total = EACH + SCHEDULED
    assert {name: each.state for name, each in ended.items()} == dict.fromkeys(ended, BatchState.COMPLETED)
    assert _counts(ended["obliging"]) == _expected(total, done=total)
    assert _counts(ended["completing"]) == _expected(total, done=SCHEDULED, skipped=EACH)
    assert _counts(ended["ignoring"]) == _expected(total, done=total)
    assert _counts(ended["left"]) == _expected(total, done=SCHEDULED, failed=EACH)
    failures = [failure for each in ended["left"].slices.values() for failure in each.failures]
    assert len(failures) == len(set(failures)) == 4 * 20
    table = oracle.fold(service.read(Topic.CHANGELOG))
    assert _statuses(table, "obliging") == {Status.CANCELLED: total}
    assert _statuses(table, "completing") == {Status.COMPLETED: EACH, Status.CANCELLED: SCHEDULED}
    assert _statuses(table, "ignoring") == {Status.KILLED: EACH, Status.CANCELLED: SCHEDULED}
    assert _statuses(table, "left") == {Status.CANCELLING: EACH, Status.CANCELLED: SCHEDULED}
    assert _statuses(table, "bystander") == {Status.READY: EACH, Status.SCHEDULED: SCHEDULED}
    assert _pending(table) == 0
    oracle.check_counts(table)
    _check_signals(service, {"obliging": 0, "completing": 0, "ignoring": EACH, "left": 0})
    oracle.check_progress(service.read(Topic.BATCH_SLICES))
    service.verify()


def _expected(matched: int, *, done: int = 0, skipped: int = 0, failed: int = 0) -> dict[str, int]:
    return {"matched": matched, "done": done, "pending": 0, "skipped": skipped, "failed": failed}


def _check_signals(service: Service, kills: dict[str, int]) -> None:
    """Started ones got START and CANCEL; those of `kills` a KILL as well; scheduled ones nothing."""
    log = oracle.predict(service.read(Topic.COMMANDS)).rows
    found: dict[tuple[str, SignalKind], int] = {}
    for (place, kind), count in oracle.check_signals(service.read(Topic.SIGNALS)).items():
        invocation = log[place].invocation
        assert "later" not in invocation.invocation_id, "no executor ever saw it"
        assert count == 1, f"{place} got {kind} {count} times"
        found[invocation.service, kind] = found.get((invocation.service, kind), 0) + 1
    for name, killed in kills.items():
        assert found.pop((name, SignalKind.START)) == EACH
        assert found.pop((name, SignalKind.CANCEL)) == EACH
        assert found.pop((name, SignalKind.KILL), 0) == killed
    assert found == {("bystander", SignalKind.START): EACH}


def test_a_cancel_overtaken_by_a_kill_adds_up_in_both_batches(make_service: Callable[..., Service]) -> None:
    """What another batch kills while its cancel is pending is done there and skipped here, and counted once in each."""
    service = make_service()
    service.worker("a")
    service.worker("b")
    _load(service, "stubborn")
    # Two thirds are killed by another batch, the rest by their own executors' reports.
    killed = [f"stubborn-{each}" for each in range(EACH) if each % 3]
    spared = [f"stubborn-{each}" for each in range(EACH) if not each % 3]
    service.start_batch(_cancel("stubborn", 3_600_000))
    waiting = service.await_progress("cancel-stubborn", lambda progress: progress.state is BatchState.DRAINING)
    assert _counts(waiting) == {
        "matched": EACH + SCHEDULED,
        "done": SCHEDULED,
        "pending": EACH,
        "skipped": 0,
        "failed": 0,
    }
    service.start_batch(StartBatch("kill-some", Action.KILL, Filter(invocation_ids=tuple(killed))))
    by_kill = service.await_batch("kill-some")
    assert _counts(by_kill) == _expected(len(killed), done=len(killed))
    assert service.progress("cancel-stubborn", to_end=True).state is BatchState.DRAINING
    service.send_many(ReportTransition(each, 1, to=Status.CANCELLED) for each in spared)
    by_cancel = service.await_batch("cancel-stubborn")
    assert by_cancel.state is BatchState.COMPLETED
    assert _counts(by_cancel) == _expected(EACH + SCHEDULED, done=SCHEDULED + len(spared), skipped=len(killed))
    service.settle()
    table = oracle.fold(service.read(Topic.CHANGELOG))
    assert len(table.ended_by("kill-some")) == len(killed)
    assert len(table.ended_by("cancel-stubborn")) == SCHEDULED + len(spared)
    assert _pending(table) == 0
    oracle.check_signals(service.read(Topic.SIGNALS))
    oracle.check_progress(service.read(Topic.BATCH_SLICES))
    service.verify()


def test_a_cancelled_invocation_is_left_alone_by_a_second_cancel(make_service: Callable[..., Service]) -> None:
    """A cancel of what is being cancelled already skips it, and sends no second signal."""
    service = make_service()
    service.worker("a")
    _load(service, "asked")
    service.start_batch(_cancel("asked", 3_600_000))
    service.await_progress("cancel-asked", lambda progress: progress.state is BatchState.DRAINING)
    again = StartBatch("again", Action.CANCEL, Filter(services=("asked",)), grace_ms=3_600_000)
    progress = service.await_batch(service.start_batch(again))
    assert _counts(progress) == _expected(EACH, skipped=EACH)
    signals = oracle.check_signals(service.read(Topic.SIGNALS))
    assert sum(count for (_, kind), count in signals.items() if kind is SignalKind.CANCEL) == EACH
    service.verify()


def test_a_large_cancel_accounts_for_every_one(make_service: Callable[..., Service], scale: float) -> None:
    """100,000 suspended ones, 1 % of whose executors ignore it: these are killed after their grace, the others end."""
    service = make_service()
    service.worker("a")
    service.worker("b")
    count = int(100_000 * scale)
    service.send_many(invoke(f"suspended-{each}", "large", adopt=True) for each in range(count))
    service.send_many(ReportTransition(f"suspended-{each}", 1, to=Status.SUSPENDED) for each in range(count))
    service.settle()

    def answer(signal: Signal) -> list[Record]:
        return [] if _ignores(signal.invocation.invocation_id) else obliging(signal)

    with Executor(service, answer):
        service.send(_cancel("large", 5_000 + count))
        progress = service.await_batch("cancel-large", timeout=400)
    assert progress.state is BatchState.COMPLETED
    assert _counts(progress) == _expected(count, done=count)
    service.settle()
    table = oracle.fold(service.read(Topic.CHANGELOG))
    ignoring = {place for place, row in table.rows.items() if _ignores(row.invocation.invocation_id)}
    assert len(ignoring) == count // 100
    assert {place for place, row in table.rows.items() if row.status is Status.KILLED} == ignoring
    assert {row.status for row in table.rows.values()} == {Status.KILLED, Status.CANCELLED}
    assert table.ended_by("cancel-large") == table.rows.keys()
    signals = oracle.check_signals(service.read(Topic.SIGNALS))
    assert {place for place, kind in signals if kind is SignalKind.KILL} == ignoring
    assert {place for place, kind in signals if kind is SignalKind.CANCEL} == table.rows.keys()
    oracle.check_progress(service.read(Topic.BATCH_SLICES))
    service.verify()


def _ignores(invocation_id: str) -> bool:
    return int(invocation_id.rpartition("-")[2]) % 100 == 0
