"""The start of a row: at its scheduled time, from an inbox, for a retry, after an expired lease, or by RESUME."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.engine.effects import UpdateRow
from streams.engine.guards import hold
from streams.engine.lifecycle import stands_at
from streams.engine.rows import signal, started, waiting
from streams.model import UNSTARTED, SignalKind, Status

if TYPE_CHECKING:
    from streams.engine.answers import At
    from streams.engine.effects import Effect
    from streams.engine.guards import Guards
    from streams.engine.view import View
    from streams.model import Row


def start(row: Row, at: At, view: View, guards: Guards) -> list[Effect]:
    """Begin the row's next attempt: READY, with a START signal that carries its payload. A guarded row is held."""
    if guards.against(row):
        return hold(row)
    begun = started(row, at)
    return [UpdateRow(begun), signal(SignalKind.START, begun, 0, at.now, None, view.payload(row))]


def resume(row: Row, at: At, view: View, guards: Guards) -> list[Effect]:
    """Resume a paused row: with its next attempt, or like an arrival if it was never started."""
    if stands_at(row) not in UNSTARTED:
        return start(row, at, view, guards)
    scheduled_at = row.scheduled_at
    if scheduled_at is None or scheduled_at <= at.now:
        return arrive(row, at, view, guards)
    return [UpdateRow(waiting(row, Status.SCHEDULED, scheduled_at, at.now))]


def arrive(row: Row, at: At, view: View, guards: Guards) -> list[Effect]:
    """Let a row that was never started go on: into its object's inbox, or to its first attempt."""
    if row.object_key is None:
        return start(row, at, view, guards)
    if guards.against(row):
        # The inbox would change its status and modified time, so that the guarding batch might not match it any longer.
        return hold(row)
    return [UpdateRow(waiting(row, Status.PENDING, None, at.now))]
