"""Workers that are killed while batches are paused, slow, waited for and standing, all at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from streams.config import Topic
from streams.model import (
    Action,
    BatchState,
    ControlBatch,
    ControlOperation,
    Filter,
    ReportTransition,
    StartBatch,
    Status,
)
from support.service import oracle
from support.service.workload import DAY_MS, invoke, now_ms

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.service.harness import Progress, Service

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

EACH = 2_000
SLOW = 10_000
"""Rows of the slow batch: at its rate it is not through before the test is."""

RATE = 100.0


def _of(service: str) -> Filter:
    return Filter(services=(service,))


def _loaded(service: Service) -> None:
    tomorrow = now_ms() + DAY_MS
    for name, count in (("paused", EACH), ("slow", SLOW)):
        service.send_many(invoke(f"{name}-{each}", name, scheduled_at=tomorrow) for each in range(count))
    for name in ("asked", "standing", "bystander"):
        service.send_many(invoke(f"{name}-{each}", name) for each in range(EACH))
    service.settle()


def _all_under_way(service: Service) -> None:
    """One batch is paused half-way, one slow, one waits for executors, one stands."""
    service.start_batch(StartBatch("paused", Action.KILL, _of("paused"), max_rate=RATE))
    service.start_batch(StartBatch("slow", Action.KILL, _of("slow"), max_rate=RATE))
    service.start_batch(StartBatch("asked", Action.CANCEL, _of("asked"), grace_ms=3_600_000))
    service.start_batch(StartBatch("standing", Action.KILL, _of("standing"), standing_until=now_ms() + DAY_MS))
    service.await_progress("paused", lambda progress: progress.total("done") > 0, what="under way")
    service.send(ControlBatch("paused", ControlOperation.PAUSE))
    service.await_progress("paused", lambda progress: progress.state is BatchState.PAUSED, what="PAUSED")
    service.await_progress("asked", lambda progress: progress.state is BatchState.DRAINING, what="DRAINING")
    service.await_progress("standing", lambda progress: progress.total("done") == EACH, what="standing")


def _as_they_were(service: Service, paused: Progress) -> None:
    now = service.progress("paused", to_end=True)
    assert (now.state, now.counters) == (BatchState.PAUSED, paused.counters)
    now = service.progress("asked")
    assert (now.state, now.counters) == (BatchState.DRAINING, (EACH, 0, EACH, 0, 0))
    assert service.progress("standing").state is BatchState.RUNNING


def test_all_go_on_as_they_were(make_service: Callable[..., Service]) -> None:
    """After `kill -9` of both workers the paused batch rests, the slow one keeps its rate, and so on to their ends.

    The one that waits for executors goes on waiting, the one that stands lets nothing in.
    """
    service = make_service()
    a, b = service.worker("a"), service.worker("b")
    service.await_partitions(a, b)
    _loaded(service)
    _all_under_way(service)
    service.settle()
    paused = service.progress("paused", to_end=True)
    for worker in (a, b):
        worker.kill9()
    service.send_many(invoke(f"late-{each}", "standing") for each in range(EACH))
    for worker in (a, b):
        worker.start()
    service.await_partitions(a, b)
    service.await_progress("standing", lambda progress: progress.total("done") == 2 * EACH, what="standing")
    _as_they_were(service, paused)
    before, began = service.progress("slow", to_end=True).total("done"), time.monotonic()
    service.await_progress("slow", lambda progress: progress.total("done") >= before + 5 * RATE, 10.0, "going on")
    assert time.monotonic() - began >= 5 / 1.3

    service.send(ControlBatch("paused", ControlOperation.RESUME))
    for batch_id, count in (("paused", EACH), ("slow", SLOW)):
        service.send(ControlBatch(batch_id, ControlOperation.SET_RATE, max_rate=100_000.0))
        assert service.await_batch(batch_id).counters == (count, count, 0, 0, 0)
    service.send_many(ReportTransition(f"asked-{each}", 1, to=Status.CANCELLED) for each in range(EACH))
    assert service.await_batch("asked").counters == (EACH, EACH, 0, 0, 0)
    service.send(ControlBatch("standing", ControlOperation.ABORT))
    assert service.await_batch("standing").counters == (2 * EACH, 2 * EACH, 0, 0, 0)
    table = oracle.fold(service.read(Topic.CHANGELOG))
    left = {row.invocation.service for row in table.rows.values() if row.status is Status.READY}
    assert left == {"bystander"}
    oracle.check_signals(service.read(Topic.SIGNALS))
    oracle.check_progress(service.read(Topic.BATCH_SLICES))
    service.verify()
