"""Twenty batches at once on a real broker, on the same rows: each row is ended by one of them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from streams.config import Topic
from streams.model import Action, BatchState, Filter, SignalKind, StartBatch, Status
from support.service import oracle
from support.service.workload import DAY_MS, invoke, now_ms

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.service.harness import Service

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]

SERVICES = ("billing", "mail", "orders", "stock")
BATCHES = [
    *(StartBatch(f"all-{n}", Action.KILL, Filter(services=SERVICES)) for n in range(5)),
    *(StartBatch(f"one-{n}", Action.KILL, Filter(services=(SERVICES[n % 4],))) for n in range(5)),
    *(StartBatch(f"soft-{n}", Action.CANCEL, Filter(services=SERVICES[n % 4 :]), grace_ms=2_000) for n in range(5)),
    *(StartBatch(f"some-{n}", Action.KILL, Filter(services=SERVICES), limit=100 * n) for n in range(1, 3)),
    StartBatch("ids", Action.KILL, Filter(invocation_ids=tuple(f"i-{n}" for n in range(0, 500, 5)))),
    StartBatch("slow", Action.CANCEL, Filter(match_all=True), max_rate=500.0, grace_ms=1_000),
    StartBatch("dry", Action.KILL, Filter(match_all=True), dry_run=True),
]


def test_each_invocation_is_ended_by_exactly_one_of_twenty(make_service: Callable[..., Service], scale: float) -> None:
    """Kills and cancels, bounded and not: each batch's counters add up to what the table says that it has ended."""
    service = make_service()
    a, b = service.worker("a"), service.worker("b")
    service.await_partitions(a, b)
    count, tomorrow = int(50_000 * scale), now_ms() + DAY_MS
    service.send_many(
        invoke(f"i-{n}", SERVICES[n % 4], scheduled_at=tomorrow if n % 3 else None, adopt=n % 6 == 0)
        for n in range(count)
    )
    service.settle()
    assert len(BATCHES) == 20
    service.send(*BATCHES)
    totals = {}
    for batch in BATCHES:
        progress = service.await_batch(batch.batch_id)
        assert progress.state is BatchState.COMPLETED, progress
        totals[batch.batch_id] = progress.counters
    service.settle()
    table = oracle.fold(service.read(Topic.CHANGELOG))
    assert {row.status for row in table.rows.values()} <= {Status.KILLED, Status.CANCELLED}
    ended = Counter(row.batch_id for row in table.rows.values())
    assert sum(ended.values()) == count
    for batch_id, (matched, done, pending, skipped, failed) in totals.items():
        assert (pending, failed, matched) == (0, 0, done + skipped), batch_id
        assert done == (matched if batch_id == "dry" else ended[batch_id]), batch_id
    signals = oracle.check_signals(service.read(Topic.SIGNALS))
    killed = Counter(place for place, kind in signals.elements() if kind is SignalKind.KILL)
    assert max(killed.values(), default=1) == 1, "nobody is told to stop twice"
    oracle.check_progress(service.read(Topic.BATCH_SLICES))
    service.verify()
