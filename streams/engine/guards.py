"""No doomed work: what a running batch is about to end is not started first, but held for it."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from streams.engine.effects import UpdateRow
from streams.engine.filters import Facts, matching
from streams.model import Action, SliceState

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.engine.effects import Effect
    from streams.engine.view import View
    from streams.model import Row, Slice


def guarding(slice_: Slice) -> bool:
    """Whether the slice is going to end all that it matches, as far as it has not come yet."""
    return (
        slice_.state is SliceState.RUNNING
        and slice_.action in {Action.KILL, Action.CANCEL}
        and slice_.budget is None
        and not slice_.dry_run
        and not slice_.pages_done
    )


class Guard(NamedTuple):
    """A slice that guards starts, with its filter made ready; ids in the filter are looked up apart."""

    slice: Slice
    matches: Callable[[Facts], bool]


def guard_of(slice_: Slice, known: Guard | None = None) -> Guard:
    """The guard of a slice; `known`: the one that the slice had before, whose filter may be ready already."""
    filter_ = slice_.filter
    if known is not None and known.slice.filter is filter_ and known.slice.cutoff == slice_.cutoff:
        return Guard(slice_, known.matches)
    if filter_.invocation_ids is not None:
        filter_ = replace(filter_, invocation_ids=None)
    return Guard(slice_, matching(filter_, slice_.action, slice_.cutoff))


class Guards:
    """The slices that guard rows while a command is applied; `view` shows the table before it."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._guards = view.guarding()

    def against(self, row: Row) -> bool:
        """Whether a slice has the row still to come, and matches it as it stands."""
        to_come = [guard for guard in self._guards if _to_come(guard.slice, row)]
        if not to_come:
            return False
        facts = Facts(row, self._view.invocation(row))
        return any(guard.matches(facts) for guard in to_come)


def hold(row: Row) -> list[Effect]:
    """The row is not started: nothing of it changes but the mark that says so."""
    return [] if row.held else [UpdateRow(replace(row, held=True, delta=None))]


def _to_come(slice_: Slice, row: Row) -> bool:
    if row.seq >= slice_.cutoff:
        return False
    ids = slice_.filter.invocation_ids
    if ids is None:
        return row.seq > slice_.cursor
    # Pages go over the ids, in their order, wherever the rows are.
    place = bisect_left(ids, row.invocation_id, slice_.cursor)
    return place < len(ids) and ids[place] == row.invocation_id
