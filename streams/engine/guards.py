"""No doomed work: what a running batch is about to end is not started first, but held for it."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from msgspec.structs import replace

from streams.engine.effects import UpdateRow
from streams.engine.filters import Facts, matches
from streams.model import Action, SliceState

if TYPE_CHECKING:
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


class Guards:
    """The slices that guard rows while a command is applied; `view` shows the table before it."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._slices = view.guarding()

    def against(self, row: Row) -> bool:
        """Whether a slice has the row still to come, and matches it as it stands."""
        if not self._slices:
            return False
        facts = Facts(row, self._view.invocation(row))
        return any(_to_come(slice_, row) and _matches(slice_, facts) for slice_ in self._slices)


def hold(row: Row) -> list[Effect]:
    """The row is not started: nothing of it changes but the mark that says so."""
    return [] if row.held else [UpdateRow(replace(row, held=True, delta=None))]


def _to_come(slice_: Slice, row: Row) -> bool:
    ids = slice_.filter.invocation_ids
    if ids is None:
        return row.seq > slice_.cursor
    # Pages go over the ids, in their order, wherever the rows are.
    place = bisect_left(ids, row.invocation_id, slice_.cursor)
    return place < len(ids) and ids[place] == row.invocation_id


def _matches(slice_: Slice, facts: Facts) -> bool:
    filter_ = slice_.filter
    if filter_.invocation_ids is not None:
        # Looked up already.
        filter_ = replace(filter_, invocation_ids=None)
    return matches(filter_, slice_.action, slice_.cutoff, facts)
