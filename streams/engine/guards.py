"""Guards against doomed work: a row that a running batch is about to end is held, not started."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from msgspec.structs import replace

from streams.engine.effects import UpdateRow
from streams.engine.filters import Facts
from streams.engine.flows import CANCELLED_PARENT, ends_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from collections.abc import Set as AbstractSet

    from streams.engine.effects import Effect
    from streams.engine.guarding import Guard
    from streams.engine.view import View
    from streams.model import Invocation, Row, Slice


class Guards:
    """The slices and flows that guard rows while a command is applied; `view` shows the table before the command.

    `ending`: seqs of the rows that the command itself cancels or kills.
    """

    def __init__(self, view: View, ending: AbstractSet[int] = frozenset()) -> None:
        self._view = view
        self._guards = view.guarding()
        self._ending = ending

    def against(self, row: Row) -> bool:
        """True if the pages of some slice have not reached the row yet, and its filter matches the row as it is now.

        Or if a cancelled flow has still to end it.
        """
        if (row.flow_id is not None or row.parent_id is not None) and self._of_flows(row):
            return True
        return guard_against(row, self._guards, lambda: self._view.invocation(row)) is not None

    def _of_flows(self, row: Row) -> bool:
        """Whether the row is a member of a flow of this partition whose cancel reaches everybody.

        A child's parent that this command ends, or that was cancelled before its child has joined, counts alike.
        """
        view = self._view
        if row.flow_id is not None and ends_all(view.flow(row.flow_id, children=False)):
            return True
        if row.parent_id is None:
            return False
        flow, parent = view.flow(row.parent_id, children=True), view.row(row.parent_id)
        if parent is not None and parent.seq in self._ending:
            return True
        return ends_all(flow) or (flow is None and parent is not None and parent.status in CANCELLED_PARENT)


def guard_against(row: Row, guards: Iterable[Guard], invocation: Callable[[], Invocation]) -> Guard | None:
    """The guard whose pages have not reached the row yet and whose filter matches it; `invocation` gives its part."""
    to_come = [guard for guard in guards if _to_come(guard.slice, row)]
    if not to_come:
        return None
    facts = Facts(row, invocation())
    return next((guard for guard in to_come if guard.matches(facts)), None)


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
