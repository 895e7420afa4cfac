"""Batches that stand, on a real broker: what arrives is ended at the door, also of workers that were killed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from streams.config import Topic
from streams.model import Action, BatchState, ControlBatch, ControlOperation, Filter, SignalKind, StartBatch, Status
from support.service import oracle
from support.service.workload import invoke, now_ms

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.service.harness import Service

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]

BILLING = Filter(services=("billing",))


def _arrive(service: Service, prefix: str, count: int) -> None:
    service.send_many(invoke(f"{prefix}-{n}", ("billing", "mail")[n % 2]) for n in range(count))


def _stood(service: Service, batch_id: str, matched: int) -> None:
    progress = service.await_progress(
        batch_id,
        lambda each: each.total("matched") == matched and each.state is not BatchState.STARTING,
        what="counting",
    )
    assert progress.state is BatchState.RUNNING
    assert progress.counters == (matched, matched, 0, 0, 0)


def test_a_rule_outlives_the_workers(make_service: Callable[..., Service]) -> None:
    """Killed and started again, they still let in nothing that it matches, until it is aborted or its time is over."""
    service = make_service()
    a, b = service.worker("a"), service.worker("b")
    service.await_partitions(a, b)
    _arrive(service, "before", 1_000)
    service.start_batch(StartBatch("hour", Action.KILL, BILLING, standing_until=now_ms() + 3_600_000))
    _stood(service, "hour", 500)
    _arrive(service, "while", 2_000)
    _stood(service, "hour", 1_500)
    for worker in (a, b):
        worker.kill9()
    _arrive(service, "down", 2_000)
    for worker in (a, b):
        worker.start()
    service.await_partitions(a, b)
    _stood(service, "hour", 2_500)
    service.send(ControlBatch("hour", ControlOperation.ABORT))
    assert service.await_batch("hour").state is BatchState.ABORTED
    until = now_ms() + 4_000
    service.start_batch(StartBatch("short", Action.KILL, BILLING, standing_until=until))
    progress = service.await_batch("short", timeout=30)
    assert (progress.state, now_ms() >= until) == (BatchState.COMPLETED, True)
    time.sleep(0.1)
    _arrive(service, "after", 2_000)
    service.settle()
    table = oracle.fold(service.read(Topic.CHANGELOG))
    names = {place: row.invocation.invocation_id.split("-")[0] for place, row in table.rows.items()}
    fates = {(names[place], row.invocation.service, row.status) for place, row in table.rows.items()}
    prefixes = ("before", "while", "down", "after")
    assert fates == {
        *((prefix, "mail", Status.READY) for prefix in prefixes),
        *((prefix, "billing", Status.KILLED) for prefix in prefixes[:3]),
        ("after", "billing", Status.READY),
    }
    signals = oracle.check_signals(service.read(Topic.SIGNALS))
    kinds = {(names[place], kind) for place, kind in signals if table.rows[place].invocation.service == "billing"}
    start = SignalKind.START
    assert kinds == {("before", start), ("before", SignalKind.KILL), ("after", start)}
    oracle.check_progress(service.read(Topic.BATCH_SLICES))
    service.verify()
