"""Guards against doomed work: a row that a running batch is about to end is held, not started."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from streams.engine.effects import UpdateRow
from streams.engine.filters import Facts, matching
from streams.model import ENDING_ACTIONS, SliceState

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.engine.effects import Effect
    from streams.engine.view import View
    from streams.model import Row, Slice


def guarding(slice_: Slice) -> bool:
    """True if the slice will still end every matching row that its pages have not reached."""
    return (
        slice_.state is SliceState.RUNNING
        and slice_.action in ENDING_ACTIONS
        and slice_.budget is None
        and not slice_.dry_run
        and not slice_.pages_done
    )


class Guard(NamedTuple):
    """A slice that guards starts, with its compiled filter. Ids in the filter are looked up separately."""

    slice: Slice
    matches: Callable[[Facts], bool]


def guard_of(slice_: Slice, known: Guard | None = None) -> Guard:
    """The guard of a slice; `known`: its previous guard, whose compiled filter is reused if it is the same."""
    filter_ = slice_.filter
    if known is not None and known.slice.filter is filter_ and known.slice.cutoff == slice_.cutoff:
        return Guard(slice_, known.matches)
    if filter_.invocation_ids is not None:
        filter_ = replace(filter_, invocation_ids=None)
    return Guard(slice_, matching(filter_, slice_.action, slice_.cutoff))


class Guards:
    """The slices that guard rows while a command is applied; `view` shows the table before the command."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._guards = view.guarding()

    def against(self, row: Row) -> bool:
        """True if the pages of some slice have not reached the row yet, and its filter matches the row as it is now."""
        to_come = [guard for guard in self._guards if _to_come(guard.slice, row)]
        if not to_come:
            return False
        facts = Facts(row, self._view.invocation(row))
        return any(guard.matches(facts) for guard in to_come)


def hold(row: Row) -> list[Effect]:
    """Hold the row instead of starting it: only its `held` mark changes."""
    return [] if row.held else [UpdateRow(replace(row, held=True, delta=None))]


def _to_come(slice_: Slice, row: Row) -> bool:
    if row.seq >= slice_.cutoff:
        return False
    ids = slice_.filter.invocation_ids
    if ids is None:
        return row.seq > slice_.cursor
    # With ids, pages follow the order of the ids, not that of the rows.
    place = bisect_left(ids, row.invocation_id, slice_.cursor)
    return place < len(ids) and ids[place] == row.invocation_id
