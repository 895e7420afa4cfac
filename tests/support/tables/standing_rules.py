"""Batches that stand, and what a cluster in memory tells of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from streams.model import Action, Filter, SignalKind, StartBatch
from support.tables.memory_cluster import MemoryCluster

if TYPE_CHECKING:
    from streams.engine.effects import Send

MAIL = Filter(services=("mail",))
BEGAN = MemoryCluster().now
UNTIL = BEGAN + 60_000


def rule(action: Action = Action.KILL, batch_id: str = "b", **fields: Any) -> StartBatch:
    """A batch that ends all mail for a minute."""
    return replace(StartBatch(batch_id, action, MAIL, standing_until=UNTIL), **fields)


def told(cluster: MemoryCluster) -> list[tuple[str, SignalKind]]:
    """What executors were told."""
    return [(send.invocation_id, send.kind) for send in signals(cluster)]


def signals(cluster: MemoryCluster) -> list[Send]:
    """All signals."""
    return [send for _, send in cluster.signals]


def counted(cluster: MemoryCluster, batch_id: str = "b") -> tuple[int, ...]:
    """(matched, done, pending, skipped, failed)."""
    return tuple(cluster.total(batch_id).values())
