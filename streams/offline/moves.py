"""Client commands that recreate an invocation in another service's table.

Commands carry neither attempt nor seq: the new table assigns its own. Where an exact copy would send a START that an
executor would take for a second one, the closest state that sends none is chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from streams.engine.lifecycle import stands_at
from streams.model import UNSTARTED, Act, Action, CancelFlow, Invoke, ReportTransition, Status
from streams.protocol.validation import MAX_GRACE_MS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from streams.model import Flow, Invocation, Row

_FIRST_ATTEMPT: Final = 1
_REPORT_NO: Final = 0
"""Lower than any executor's number, so that a line sent twice is ignored as late."""
_IN_HAND: Final = frozenset({Status.READY, Status.RUNNING})


@dataclass(frozen=True)
class Terms:
    """The terms of a move.

    `now`: wall clock, ms. `restart`: rows that executors have in hand (READY, RUNNING) get a new START; otherwise they
    are adopted. `no_start_before`, ms: a row paused before its start is scheduled no earlier, so that it is paused
    again before it starts.
    """

    now: int
    restart: bool
    no_start_before: int


def cancel_of(flow: Flow) -> CancelFlow | None:
    """The cancel of a flow, as it stands; None for one that is open, or with members that were restarted since."""
    if flow.action is None or flow.policy is None or flow.restarted:
        return None
    cause = flow.cause
    return CancelFlow(
        flow.flow_id, flow.action, flow.policy, flow.grace_ms, flow.on_timeout, cause.reason, cause.actor, flow.children
    )


def parents_first(cancels: Iterable[tuple[CancelFlow, str | None]]) -> Iterator[CancelFlow]:
    """Cancels of named flows, then of children; those of an invocation's children before those of each child's own.

    Args:
        cancels: each with the parent of the invocation whose children it means, if that is one.
    """
    of_children: dict[str, tuple[CancelFlow, str | None]] = {}
    for cancel, above in cancels:
        if cancel.children:
            of_children[cancel.flow_id] = cancel, above
        else:
            yield cancel
    while of_children:
        chain: list[CancelFlow] = []
        name: str | None = next(iter(of_children))
        while name in of_children:
            cancel, name = of_children.pop(name)
            chain.append(cancel)
        yield from reversed(chain)


def commands_for(
    row: Row, invocation: Invocation, payload: bytes | None, terms: Terms
) -> list[Invoke | ReportTransition | Act]:
    """The commands, in order, that recreate an unfinished invocation in another table."""
    if stands_at(row) not in UNSTARTED and not (terms.restart and row.status in _IN_HAND):
        return [Invoke(invocation, adopt=True, payload=payload), *_reports(row, terms), *_acts(row, terms)]
    at = row.scheduled_at
    if row.status is Status.PAUSED:
        at = max(at or 0, terms.no_start_before)
    return [Invoke(invocation, at, payload=payload), *_acts(row, terms)]


def _reports(row: Row, terms: Terms) -> list[ReportTransition]:
    """Reports of an adopted invocation's status and deployment. A paused or cancelled one can only end."""
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
    """The operator's request, repeated: a pause, or a cancel with the rest of its grace."""
    ending = row.ending
    if row.status is Status.PAUSED:
        return [Act(row.invocation_id, Action.PAUSE)]
    if row.status is not Status.CANCELLING or ending is None:
        return []
    grace = min(max(0, (ending.grace_until or 0) - terms.now), MAX_GRACE_MS)
    return [Act(row.invocation_id, Action.CANCEL, grace, ending.on_timeout, cause=ending.cause)]
