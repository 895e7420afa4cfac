"""Time acts: schedules, retries, leases, repeats and retention, on a real broker; and invocations adopted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from streams import codec
from streams.config import Topic
from streams.model import Act, Action, Cause, ReportTransition, Signal, SignalKind, Status
from support.service import oracle
from support.service.workload import invoke, now_ms

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.service.harness import Service

pytestmark = pytest.mark.broker


def _await_signals(service: Service, count: int, timeout: float = 30.0) -> list[Signal]:
    """The first signals, once there are that many."""
    deadline = time.monotonic() + timeout
    with service.reader(Topic.SIGNALS) as reader:
        while len(reader.entries) < count:
            assert time.monotonic() < deadline, f"{len(reader.entries)} of {count} signals in {timeout:g} s"
            reader.more(0.1)
        found = [codec.decode(entry.value) for entry in reader.entries]
    return [signal for signal in found if isinstance(signal, Signal)]


def test_a_schedule_fires_once_and_not_too_early(make_service: Callable[..., Service]) -> None:
    """What is scheduled gets START at its time, with its payload; what is overdue starts at once."""
    service = make_service()
    service.worker("a")
    service.send(invoke("first"))
    _await_signals(service, 1)
    due = now_ms() + 1_500
    service.send_many(invoke(f"due-{each}", scheduled_at=due, payload=b"load") for each in range(50))
    service.send(invoke("overdue", scheduled_at=now_ms() - 1_000))
    signals = [each for each in _await_signals(service, 52) if each.invocation.invocation_id.startswith("due-")]
    assert len(signals) == 50
    assert {(each.kind, each.attempt, each.payload) for each in signals} == {(SignalKind.START, 1, b"load")}
    assert min(each.at for each in signals) >= due
    assert max(each.at for each in signals) < due + 5_000
    service.settle()
    table = oracle.fold(service.read(Topic.CHANGELOG))
    assert {row.status for row in table.rows.values()} == {Status.READY}
    oracle.check_counts(table)
    assert oracle.check_signals(service.read(Topic.SIGNALS)).total() == 52
    service.verify()


def test_adopted_retried_and_leased_invocations(make_service: Callable[..., Service]) -> None:
    """Adopted: running without START. Backing off: the next attempt at its time. A lease without a report likewise."""
    service = make_service(partitions=1)
    service.worker("a")
    service.send(invoke("adopted", adopt=True), invoke("retried"), invoke("leased", lease_ms=1_000))
    retry_at = now_ms() + 1_000
    service.send(ReportTransition("retried", 1, to=Status.BACKING_OFF, retry_at=retry_at, error="try again"))
    signals = _await_signals(service, 4)
    seconds = {each.invocation.invocation_id: each for each in signals if each.attempt == 2}
    assert seconds.keys() == {"retried", "leased"}
    assert seconds["retried"].at >= retry_at
    service.send(
        ReportTransition("leased", 1, to=Status.COMPLETED),
        ReportTransition("leased", 2, to=Status.COMPLETED),
        ReportTransition("retried", 2, to=Status.RUNNING),
        ReportTransition("adopted", 1, to=Status.COMPLETED),
    )
    service.settle()
    table = oracle.fold(service.read(Topic.CHANGELOG))
    found = {row.invocation.invocation_id: (row.status, row.attempt) for row in table.rows.values()}
    assert found == {
        "adopted": (Status.COMPLETED, 1),
        "retried": (Status.RUNNING, 2),
        "leased": (Status.COMPLETED, 2),
    }
    ids = [each.invocation.invocation_id for each in signals]
    assert "adopted" not in ids, "what runs elsewhere is not started"
    oracle.check_signals(service.read(Topic.SIGNALS))
    service.verify()


def test_an_unanswered_cancel_is_repeated_and_then_settled(make_service: Callable[..., Service]) -> None:
    """A CANCEL signal without an answer is sent again within its grace; when that ends the invocation is killed."""
    service = make_service(partitions=1)
    service.worker("a")
    cause = Cause(actor="operator", reason="too slow")
    service.send(invoke("deaf"), Act("deaf", Action.CANCEL, grace_ms=6_000, cause=cause))
    start, *rest = _await_signals(service, 4)
    assert start.kind is SignalKind.START
    assert [(each.kind, each.repeat) for each in rest] == [
        (SignalKind.CANCEL, 0),
        (SignalKind.CANCEL, 1),
        (SignalKind.KILL, 0),
    ]
    assert {each.cause for each in rest} == {cause}
    service.settle()
    table = oracle.fold(service.read(Topic.CHANGELOG))
    assert table.by_id("deaf").status is Status.KILLED
    service.verify()


def test_what_ended_long_ago_is_forgotten(make_service: Callable[..., Service]) -> None:
    """Rows go when their retention is over, whether they rest on a page delta or not; the others stay."""
    service = make_service(partitions=1, STREAMS_RETENTION_MS="500")
    service.worker("a")
    service.send_many(invoke(f"short-{each}") for each in range(20))
    service.send_many(ReportTransition(f"short-{each}", 1, to=Status.COMPLETED) for each in range(20))
    service.send(invoke("long"))
    deadline = time.monotonic() + 30
    while True:
        service.settle()
        table = oracle.fold(service.read(Topic.CHANGELOG))
        if len(table.rows) == 1:
            break
        assert time.monotonic() < deadline, f"{len(table.rows)} rows are still there"
    assert table.by_id("long").status is Status.READY
    oracle.check_counts(table)
    service.verify()
    # An id that is forgotten may be used again.
    service.send(invoke("short-1"))
    service.settle()
    assert oracle.fold(service.read(Topic.CHANGELOG)).by_id("short-1").status is Status.READY
    assert service.read(Topic.DEAD_LETTERS) == []
