"""Rules at the door: an invocation that matches one on arrival is ended before any executor is told to start it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from streams.engine.effects import InsertRow, PutSlice
from streams.engine.ledger import MAX_SAMPLES
from streams.engine.lifecycle import ENDED_BY
from streams.engine.rows import asked, ended, signal
from streams.model import Action, Ending, SignalKind, SliceState, Status

if TYPE_CHECKING:
    from streams.engine.answers import At
    from streams.engine.effects import Effect
    from streams.model import Invoke, Row, Slice


def stands(slice_: Slice) -> bool:
    """True if the slice's rule ends matching arrivals. A paused slice lets everything in."""
    return slice_.standing_until is not None and slice_.state is SliceState.RUNNING


def turn_away(row: Row, slice_: Slice, command: Invoke, at: At) -> list[Effect]:
    """The effects of an arrival that the slice's rule ends.

    Args:
        row: the row as it would wait for its start; of an adopted invocation, as it would run.
        slice_: the slice that has the rule and counts the row.
        command: the `Invoke` that brought it.
        at: the command's place and time.
    """
    ending = Ending(slice_.cause, counted_by=slice_.batch_id)
    stopped = ended(row, ENDED_BY[slice_.action], at.now, ending)
    effects: list[Effect] = []
    if command.adopt and slice_.action is Action.CANCEL:
        stopped = asked(row, slice_.cause, slice_.on_timeout, slice_.grace_ms, at.now, slice_.batch_id)
        effects.append(signal(SignalKind.CANCEL, row, 0, at.now, slice_.cause))
    elif command.adopt:
        effects.append(signal(SignalKind.KILL, row, 0, at.now, slice_.cause))
    inserted = InsertRow(stopped, command.invocation, command.payload)
    return [inserted, *effects, PutSlice(_counted(slice_, stopped, at))]


def _counted(slice_: Slice, row: Row, at: At) -> Slice:
    """The slice with one more matched row: no page looked at it, since it was ended at the door."""
    pending = row.status is Status.CANCELLING
    samples = slice_.samples
    return replace(
        slice_,
        matched=slice_.matched + 1,
        done=slice_.done + (not pending),
        pending=slice_.pending + pending,
        acted=slice_.acted + 1,
        samples=samples if len(samples) >= MAX_SAMPLES else (*samples, row.invocation_id),
        revision=at.offset,
        updated_at=at.now,
    )
