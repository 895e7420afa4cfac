"""Guards against doomed work: a row that a running batch is about to end is held, not started."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from msgspec.structs import replace

from streams.engine.effects import UpdateRow
from streams.engine.filters import Facts
from streams.engine.flows import CANCELLED_PARENT, ends_all, exempt
from streams.protocol.routing import partition_of, routing_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from collections.abc import Set as AbstractSet

    from streams.engine.effects import Effect
    from streams.engine.guarding import Guard
    from streams.engine.view import View
    from streams.model import Flow, Invocation, Row, Slice


class Guards:
    """The slices and flows that guard rows while a command is applied; `view` shows the table before the command.

    `ending`: seqs of the rows that the command itself cancels or kills. `freed`: of those that it restarts, or that end
    by themselves; no flow guards them, and none of their children for their sake.
    """

    def __init__(
        self, view: View, ending: AbstractSet[int] = frozenset(), freed: AbstractSet[int] = frozenset()
    ) -> None:
        self._view = view
        self._guards = view.guarding()
        self._ending = ending
        self._freed = freed

    def against(self, row: Row) -> bool:
        """True if the pages of some slice have not reached the row yet, and its filter matches the row as it is now.

        Or if a cancelled flow has still to end it.
        """
        if (row.flow_id is not None or row.parent_id is not None) and self._of_flows(row):
            return True
        return self.of_slices(row)

    def of_slices(self, row: Row) -> bool:
        """The same, but for flows."""
        return guard_against(row, self._guards, lambda: self._view.invocation(row)) is not None

    def _of_flows(self, row: Row) -> bool:
        """True if the row is a member of a flow of this partition whose cancel reaches everybody.

        A child's parent that this command ends, or that was cancelled before its child has joined, counts alike.
        """
        if row.seq in self._freed:
            return False
        if row.flow_id is not None and self._ends(self._view.flow(row.flow_id, children=False), row):
            return True
        return row.parent_id is not None and self._of_parent(row.parent_id, row)

    def _of_parent(self, parent_id: str, row: Row) -> bool:
        flow, parent = self._view.flow(parent_id, children=True), self._view.row(parent_id)
        if parent is not None and parent.seq in self._ending:
            return True
        if parent is not None and parent.seq in self._freed:
            return False
        if flow is None:
            return parent is not None and parent.status in CANCELLED_PARENT
        return self._ends(flow, row)

    def _ends(self, flow: Flow | None, row: Row) -> bool:
        """True if the flow's cancel reaches everybody, and the row is not exempt from it."""
        if flow is None or not ends_all(flow):
            return False
        if not flow.restarted:
            return True
        home = partition_of(routing_key(row.invocation_id), self._view.partitions)
        return not any(exempt(flow, member) for _, member in self._view.members_at(flow, home, (row.seq,)))


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
