"""Rules at the door: an invocation that matches one on arrival is ended before any executor is told to start it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from streams.engine.acts import ended, signal
from streams.engine.effects import InsertRow, PutSlice
from streams.engine.filters import Facts, saying
from streams.engine.ledger import MAX_SAMPLES
from streams.engine.lifecycle import ENDED_BY, next_repeat
from streams.model import Action, Ending, Row, SignalKind, SliceState, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.engine.effects import Effect
    from streams.engine.view import At
    from streams.model import Invocation, Invoke, Slice


def stands(slice_: Slice) -> bool:
    """True if the slice's rule ends matching arrivals. A paused slice lets everything in."""
    return slice_.standing_until is not None and slice_.state is SliceState.RUNNING


class _Rule(NamedTuple):
    """A slice that stands, with its compiled filter; `until`: when the rule ends at the latest, ms."""

    slice: Slice
    until: int
    says: Callable[[Facts], bool]


class Door:
    """The rules that stand on one partition, in order of their cut-off."""

    def __init__(self) -> None:
        self._rules: dict[str, _Rule] = {}

    def put(self, slice_: Slice) -> None:
        """Record the slice's new state: its rule is added, replaced or dropped."""
        batch_id, until = slice_.batch_id, slice_.standing_until
        if until is None or not stands(slice_):
            self._rules.pop(batch_id, None)
            return
        known = self._rules.get(batch_id)
        if known is not None and known.slice.filter is slice_.filter:
            self._rules[batch_id] = _Rule(slice_, until, known.says)
            return
        self._rules[batch_id] = _Rule(slice_, until, saying(slice_.filter))
        self._rules = dict(sorted(self._rules.items(), key=_cutoff))

    def remove(self, batch_id: str) -> None:
        """Drop the rule of a forgotten slice."""
        self._rules.pop(batch_id, None)

    def first(self, invocation: Invocation, now: int) -> Slice | None:
        """The slice whose rule ends an invocation that arrives at `now`, ms. Of several, the one that began first."""
        if not self._rules:
            return None
        # Rules cannot ask for anything that an arriving row does not have yet.
        row = Row(invocation.invocation_id, b"", 0, 0, Status.PENDING, 0, -1, now, now)
        facts = Facts(row, invocation)
        for slice_, until, says in self._rules.values():
            if now < until and says(facts):
                return slice_
        return None


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
        stopped = _asked(row, slice_, at)
        effects.append(signal(SignalKind.CANCEL, row, 0, at.now, slice_.cause))
    elif command.adopt:
        effects.append(signal(SignalKind.KILL, row, 0, at.now, slice_.cause))
    inserted = InsertRow(stopped, command.invocation, command.payload)
    return [inserted, *effects, PutSlice(_counted(slice_, stopped, at))]


def _asked(row: Row, slice_: Slice, at: At) -> Row:
    grace_until = at.now + slice_.grace_ms
    return replace(
        row,
        status=Status.CANCELLING,
        due_at=next_repeat(at.now, 0, grace_until),
        ending=Ending(slice_.cause, slice_.on_timeout, grace_until, counted_by=slice_.batch_id),
    )


def _counted(slice_: Slice, row: Row, at: At) -> Slice:
    """The slice with one more matched row: no page looked at it, since it was ended at the door."""
    asked = row.status is Status.CANCELLING
    samples = slice_.samples
    return replace(
        slice_,
        matched=slice_.matched + 1,
        done=slice_.done + (not asked),
        pending=slice_.pending + asked,
        acted=slice_.acted + 1,
        samples=samples if len(samples) >= MAX_SAMPLES else (*samples, row.invocation_id),
        revision=at.offset,
        updated_at=at.now,
    )


def _cutoff(item: tuple[str, _Rule]) -> int:
    return item[1].slice.cutoff
