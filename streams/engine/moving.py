"""What puts an invocation into another service's table as it stands in this one's: client commands, nothing else.

A command says neither attempt nor seq: the new table begins with its own. What cannot be said without a START that an
executor would take for a second one is said in the nearest way that sends none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from streams.engine.lifecycle import UNSTARTED, stands_at
from streams.model import Act, Action, Invoke, ReportTransition, Status
from streams.rules import MAX_GRACE_MS

if TYPE_CHECKING:
    from streams.model import Invocation, Row

_FIRST_ATTEMPT: Final = 1
_REPORT_NO: Final = 0
"""Lower than any number of an executor, so that the same line sent again is ignored as late."""
_IN_HAND: Final = frozenset({Status.READY, Status.RUNNING})


@dataclass(frozen=True)
class Terms:
    """How invocations are moved.

    `now`: wall clock, ms. `restart`: what executors have in hand (READY, RUNNING) gets a START anew; otherwise it is
    adopted. `no_start_before`, ms: what was paused before its start is scheduled no earlier, so that it is paused
    again before it is started.
    """

    now: int
    restart: bool
    no_start_before: int


def commands_for(
    row: Row, invocation: Invocation, payload: bytes | None, terms: Terms
) -> list[Invoke | ReportTransition | Act]:
    """The commands that put an invocation that has not ended into another table, in order."""
    if stands_at(row) not in UNSTARTED and not (terms.restart and row.status in _IN_HAND):
        return [Invoke(invocation, adopt=True, payload=payload), *_reports(row, terms), *_acts(row, terms)]
    at = row.scheduled_at
    if row.status is Status.PAUSED:
        at = max(at or 0, terms.no_start_before)
    return [Invoke(invocation, at, payload=payload), *_acts(row, terms)]


def _reports(row: Row, terms: Terms) -> list[ReportTransition]:
    """Where an adopted invocation stands, and its deployment; one that is paused or cancelled can only end."""
    to, retry_at = Status.RUNNING, None
    match row.status:
        case Status.SUSPENDED:
            to = Status.SUSPENDED
        case Status.BACKING_OFF:
            to, retry_at = Status.BACKING_OFF, terms.now if row.due_at is None else row.due_at
        case _ if row.deployment_id is None:
            return []
        case _:
            pass
    report = ReportTransition(
        row.invocation_id,
        _FIRST_ATTEMPT,
        report_no=_REPORT_NO,
        to=to,
        retry_at=retry_at,
        deployment_id=row.deployment_id,
    )
    return [report]


def _acts(row: Row, terms: Terms) -> list[Act]:
    """What an operator has asked of it: a pause, or a cancel with what is left of its grace."""
    ending = row.ending
    if row.status is Status.PAUSED:
        return [Act(row.invocation_id, Action.PAUSE)]
    if row.status is not Status.CANCELLING or ending is None:
        return []
    grace = min(max(0, (ending.grace_until or 0) - terms.now), MAX_GRACE_MS)
    return [Act(row.invocation_id, Action.CANCEL, grace, ending.on_timeout, cause=ending.cause)]
