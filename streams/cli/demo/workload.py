"""The demo's invocations, and the expected result of a kill of two services."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from streams.client import new_invocation_id
from streams.clock import wall_clock
from streams.model import Invocation, Invoke

if TYPE_CHECKING:
    from collections.abc import Iterator

EMAILS, NEWSLETTERS, ORDERS = "emails", "newsletters", "orders"
DOOMED = (EMAILS, NEWSLETTERS)
"""The services that the demo kills."""
LONG, QUICK = "send", "place"
"""Handlers of a newsletter, which runs until it is stopped, and of an order, which ends at once."""
BEGAN, STOPPED = "newsletter began", "newsletter stopped"
"""The executor's lines about each newsletter."""
OTHERS = ("billing", "reports", "thumbnails")
_PATTERN = (EMAILS, OTHERS[0], EMAILS, OTHERS[1], EMAILS, OTHERS[2])
_TENANTS = ("acme", "globex", "initech")
_DAY_MS = 86_400_000
_MOST_RUNNING = 200
_ONE_IN = 1_000


@dataclass
class Workload:
    """A few newsletters, which the demo's executor runs, then emails and three other services, whose executor is away.

    Every second one of the latter is scheduled for tomorrow, the rest wait for that executor. The two counters, by
    service, are filled as the invocations are made: the service's reports are checked against them, not against
    themselves.
    """

    size: int
    scheduled: Counter[str] = field(default_factory=Counter)
    started: Counter[str] = field(default_factory=Counter)

    def invocations(self) -> Iterator[Invoke]:
        """Yield each invocation once."""
        tomorrow = wall_clock() + _DAY_MS
        for number in range(self.running):
            yield Invoke(self._invocation(number, NEWSLETTERS, LONG))
            self.started[NEWSLETTERS] += 1
        for number in range(self.size - self.running):
            service = _PATTERN[number % len(_PATTERN)]
            later = number // len(_PATTERN) % 2 == 1
            (self.scheduled if later else self.started)[service] += 1
            yield Invoke(self._invocation(number, service, "run"), scheduled_at=tomorrow if later else None)

    @property
    def running(self) -> int:
        """Number of invocations that the demo's executor runs until they are killed."""
        return max(1, min(_MOST_RUNNING, self.size // _ONE_IN))

    @property
    def doomed(self) -> int:
        """Number of invocations that the kill must end."""
        return sum(self.scheduled[service] + self.started[service] for service in DOOMED)

    @property
    def doomed_started(self) -> int:
        """Number of those that an executor may have begun, so that it must be told of their end."""
        return sum(self.started[service] for service in DOOMED)

    @staticmethod
    def _invocation(number: int, service: str, handler: str) -> Invocation:
        return Invocation(new_invocation_id(), service, handler, labels={"tenant": _TENANTS[number % len(_TENANTS)]})
