"""Invocations by the thousand, a third of which one filter matches."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from streams.model import Action, Filter, Invocation, Invoke, ReportTransition, StartBatch, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.model import Record

MATCHING = Filter(services=("billing",), labels={"tenant": "acme"})
"""Matches every third of `invocations`."""

DAY_MS = 86_400_000


def now_ms() -> int:
    """The time of day, milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def invoke(
    invocation_id: str,
    service: str = "billing",
    *,
    tenant: str = "acme",
    lease_ms: int | None = None,
    scheduled_at: int | None = None,
    adopt: bool = False,
    payload: bytes | None = None,
) -> Invoke:
    """One `Invoke`."""
    invocation = Invocation(invocation_id, service, "run", lease_ms=lease_ms, labels={"tenant": tenant})
    return Invoke(invocation, scheduled_at, adopt, payload)


def invocations(count: int, prefix: str = "inv") -> Iterator[Record]:
    """`count` invocations, of the matching ones and the others alike a third scheduled, some running, some ended."""
    tomorrow = now_ms() + DAY_MS
    kinds = (("billing", "acme"), ("billing", "other"), ("mail", "acme"))
    for number in range(count):
        service, tenant = kinds[number % 3]
        invocation_id = f"{prefix}-{number:07d}"
        scheduled_at = tomorrow if number // 3 % 3 == 0 else None
        yield invoke(invocation_id, service, tenant=tenant, scheduled_at=scheduled_at)
        if number // 3 % 10 == 1:
            yield ReportTransition(invocation_id, 1, to=Status.RUNNING)
        if number // 3 % 100 == 2:
            yield ReportTransition(invocation_id, 1, to=Status.COMPLETED)


def kill(batch_id: str, wanted: Filter = MATCHING) -> StartBatch:
    """A batch that kills."""
    return StartBatch(batch_id, Action.KILL, wanted, reason="acceptance")
