"""RESTART: what has ended lives again, in its old place, and its flows learn of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.engine.effects import PutFlow, UpdateRow
from streams.engine.flows import opened
from streams.engine.members import rejoining
from streams.engine.release import begin_release
from streams.engine.rows import alive, signal, started, waiting
from streams.model import SignalKind, Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.engine.answers import At
    from streams.engine.effects import Effect
    from streams.engine.guards import Guards
    from streams.engine.view import View
    from streams.model import Row


def restartable(row: Row, at: At, guards: Guards) -> bool:
    """True if the ended row can start here, and no slice would end it as it then stands."""
    return not (row.adopted or guards.of_slices(_restarted(row, at)))


def restart(rows: Sequence[Row], at: At, view: View) -> list[Effect]:
    """Let restartable rows live again: scheduled, in the inboxes of their objects, or by their next attempt.

    The inboxes are still to be looked at.
    """
    effects: list[Effect] = []
    for row in rows:
        again = _restarted(row, at)
        effects.append(UpdateRow(again))
        if again.status is Status.READY:
            effects.append(signal(SignalKind.START, again, 0, at.now, None, view.payload(row)))
    return effects + _opened(rows, at, view) + rejoining(rows, at, view)


def _restarted(row: Row, at: At) -> Row:
    """The row as an arrival at its old seq."""
    again = alive(row)
    if row.scheduled_at is not None and row.scheduled_at > at.now:
        return waiting(again, Status.SCHEDULED, row.scheduled_at, at.now)
    return started(again, at) if row.object_key is None else waiting(again, Status.PENDING, None, at.now)


def _opened(rows: Sequence[Row], at: At, view: View) -> list[Effect]:
    """The flows of their children, open again; what these flows held here is let go."""
    flows = [view.flow(row.invocation_id, children=True) for row in view.with_children(rows)]
    effects: list[Effect] = [
        PutFlow(opened(flow, at)) for flow in flows if flow is not None and flow.action is not None
    ]
    return [*effects, *begin_release(at, view)] if effects else []
