"""Guards against doomed work: a row that a running batch is about to end is held, not started."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from msgspec.structs import replace

from streams.engine.effects import UpdateRow
from streams.engine.filters import Facts

if TYPE_CHECKING:
    from streams.engine.effects import Effect
    from streams.engine.view import View
    from streams.model import Row, Slice


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
    return [] if row.held else [UpdateRow(replace(row, held=True))]


def _to_come(slice_: Slice, row: Row) -> bool:
    if row.seq >= slice_.cutoff:
        return False
    ids = slice_.filter.invocation_ids
    if ids is None:
        return row.seq > slice_.cursor
    # With ids, pages follow the order of the ids, not that of the rows.
    place = bisect_left(ids, row.invocation_id, slice_.cursor)
    return place < len(ids) and ids[place] == row.invocation_id
