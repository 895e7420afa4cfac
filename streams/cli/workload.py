"""The demo's invocations, and what a kill of one service must come to."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from streams.client import new_invocation_id
from streams.model import Invocation, Invoke

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVICES = ("billing", "emails", "reports", "thumbnails")
DOOMED = "emails"
_TENANTS = ("acme", "globex", "initech")
_DAY_MS = 86_400_000


@dataclass
class Workload:
    """Invocations of four services, every other one scheduled for tomorrow, the rest started at once.

    The two counters, by service, are filled as the invocations are made: what the service reports is held against
    them, not against itself.
    """

    size: int
    scheduled: Counter[str] = field(default_factory=Counter)
    started: Counter[str] = field(default_factory=Counter)

    def invocations(self) -> Iterator[Invoke]:
        """Each once."""
        tomorrow = time.time_ns() // 1_000_000 + _DAY_MS
        for number in range(self.size):
            service = SERVICES[number % len(SERVICES)]
            later = number // len(SERVICES) % 2 == 1
            (self.scheduled if later else self.started)[service] += 1
            labels = {"tenant": _TENANTS[number % len(_TENANTS)]}
            invocation = Invocation(new_invocation_id(), service, "run", labels=labels)
            yield Invoke(invocation, scheduled_at=tomorrow if later else None)

    @property
    def doomed(self) -> int:
        """How many the kill must end."""
        return self.scheduled[DOOMED] + self.started[DOOMED]
