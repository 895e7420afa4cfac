"""An invocation as the oracle has it, and what a filter means for it: said a second time, without the engine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from streams.model import SignalKind, Status

if TYPE_CHECKING:
    from streams.model import Exclusion, Filter, Invocation

ENDED = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.KILLED})
_UNSTARTED = frozenset({Status.SCHEDULED, Status.PENDING})


@dataclass
class Expected:
    """An invocation as it must stand; `ended_by`: the batch, `signals`: kinds that its executor must have got.

    `attempt` is 0 before it is first started. `adopted`: it ran elsewhere when it came.
    """

    invocation: Invocation
    created_at: int
    status: Status
    attempt: int
    scheduled_at: int | None = None
    paused_from: Status | None = None
    ended_by: str | None = None
    signals: list[SignalKind] = field(default_factory=list)
    adopted: bool = False

    @property
    def started(self) -> bool:
        """Whether an executor may have it; a paused one is as where it was paused from."""
        return (self.paused_from or self.status) not in _UNSTARTED | ENDED

    def start(self) -> None:
        """Its next attempt."""
        self.status, self.attempt = Status.READY, self.attempt + 1
        self.signals.append(SignalKind.START)

    def arrive(self, clock: int) -> None:
        """As its `Invoke` would now, but that its object is looked at later."""
        if self.scheduled_at is not None and self.scheduled_at > clock:
            self.status = Status.SCHEDULED
        elif self.invocation.object_key is not None:
            self.status = Status.PENDING
        else:
            self.start()


def matches(wanted: Filter, row: Expected) -> bool:
    """Fields that these tests filter by; any other must be absent, or this oracle would lie."""
    if wanted.invocation_ids is not None and row.invocation.invocation_id not in wanted.invocation_ids:
        return False
    return all(_has(wanted, row)) and not (wanted.exclude is not None and any(_has(wanted.exclude, row)))


def _has(said: Filter | Exclusion, row: Expected) -> list[bool]:
    """Of each thing that is said, whether the row has it."""
    known = {"created_from", "created_until", "services", "handlers", "statuses", "labels", "labels_in"} | {"batch_ids"}
    for name in set(said.__struct_fields__) - known - {"invocation_ids", "match_all", "exclude"}:
        if getattr(said, name) is not None:
            raise AssertionError(f"the oracle does not know {name}")
    invocation = row.invocation
    found = []
    if said.created_from is not None or said.created_until is not None:
        after = said.created_from is None or row.created_at >= said.created_from
        found.append(after and (said.created_until is None or row.created_at < said.created_until))
    if said.services is not None:
        found.append(invocation.service in said.services)
    if said.handlers is not None:
        found.append(invocation.handler in said.handlers)
    if said.statuses is not None:
        found.append(row.status in said.statuses)
    if said.batch_ids is not None:
        found.append(row.ended_by in said.batch_ids)
    found += [invocation.labels.get(key) == value for key, value in (said.labels or {}).items()]
    return found + [invocation.labels.get(key) in values for key, values in (said.labels_in or {}).items()]
