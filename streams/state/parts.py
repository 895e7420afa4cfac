"""The view of the parts of a table that are not rows: batches, slices, flows, and what these hold back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.engine.answers import MAX_BYTES
from streams.engine.view import View
from streams.engine.weights import of_start
from streams.state import reads

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from streams.engine.answers import Weighed
    from streams.engine.guarding import Guard
    from streams.model import Batch, Flow, Invocation, Member, Row, Slice
    from streams.state.batches import Batches
    from streams.state.flows import Flows
    from streams.state.kept_flows import Backlog
    from streams.state.overlay import Overlay
    from streams.state.remembered import OverCounts


class PartsOfTable(View):
    """What a table answers from its batches, slices and flows, and of the rows held for them."""

    _db: sqlite3.Connection
    _overlay: Overlay
    _batches: Batches
    _flows: Flows

    @property
    def may_hold(self) -> bool:
        """False only if no row is held."""
        return self._overlay.may_hold

    def held(self, after: int, limit: int, max_bytes: int = MAX_BYTES) -> Sequence[Weighed]:
        """Held rows with `seq > after`, in order of seq."""
        if not self._overlay.may_hold:
            return ()
        self._overlay.write()
        found = self._overlay.weighed(reads.held_rows(self._db, after, limit), of_start, max_bytes)
        if not found:
            self._overlay.may_hold = after >= 0 and reads.any_held(self._db)
        return found

    def batch(self, batch_id: str) -> Batch | None:
        """A batch that this partition leads; None if unknown."""
        return self._batches.batch(batch_id)

    def slice(self, batch_id: str) -> Slice | None:
        """This partition's slice of a batch; None if unknown."""
        return self._batches.slice(batch_id)

    def batches(self) -> tuple[Batch, ...]:
        """The unfinished batches that this partition leads."""
        return tuple(self._batches.running_batches.values())

    def slices(self) -> tuple[Slice, ...]:
        """This partition's unfinished slices."""
        return tuple(self._batches.running_slices.values())

    def held_rows(self) -> int:
        """Number of held rows, as last counted."""
        return self._batches.held.total

    def over(self) -> OverCounts:
        """Counts of the batches and slices that are over and remembered."""
        return self._batches.over_counts

    def in_order(self, ids: Sequence[str]) -> tuple[str, ...]:
        """A slice's ids in order of their rows' seqs; those without a row come last, in their own order."""
        self._overlay.write()
        return reads.in_order(self._db, ids)

    def at_the_door(self, invocation: Invocation, now: int) -> Slice | None:
        """The slice whose rule ends `invocation` if it arrives at `now`, ms; of several that with the first cut-off."""
        return self._batches.door.first(invocation, now)

    def running_slices(self) -> Sequence[str]:
        """Ids of the batches whose slice has a page to do now (`slices.takes_turns`), in order of their cut-off."""
        return self._batches.turns()

    def guarding(self) -> Sequence[Guard]:
        """The slices that guard starts, as `guarding.guarding` says."""
        return self._batches.guarding()

    def due_slices(self, until: int, limit: int) -> Sequence[Slice]:
        """Slices with `due_at <= until`, in order of due_at, then id of their batch."""
        return [self._batches.running_slices[batch_id] for batch_id in self._batches.due_slices.due(until, limit)]

    def expiring(self, until: int, limit: int) -> Sequence[Batch]:
        """Batches led here on which time acts at `until` or before, in order of that time, then id."""
        return [self._batches.running_batches[batch_id] for batch_id in self._batches.expiring.due(until, limit)]

    def finished_batches(self, before: int, limit: int) -> Sequence[str]:
        """Batches led here that are over and whose `updated_at < before`, oldest first."""
        return self._batches.finished(before, limit)

    def flow(self, flow_id: str, *, children: bool) -> Flow | None:
        """A flow of this partition; None if it knows none."""
        return self._flows.flow((children, flow_id))

    def with_children(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Those of these rows whose children have a flow here, in their order."""
        self._overlay.write_new(rows)
        return self._flows.with_children(rows)

    def members(self, flow: Flow, partition: int, after: int, limit: int) -> Sequence[tuple[int, Member]]:
        """The members of a flow on one partition with `seq > after`, in order of seq; at most `limit`."""
        return self._flows.members((flow.children, flow.flow_id), partition, after, limit)

    def all_members(self, flow: Flow) -> Sequence[tuple[int, int, Member]]:
        """Partition, seq and entry of every member of a flow that has few."""
        return self._flows.all_members((flow.children, flow.flow_id))

    def members_at(self, flow: Flow, partition: int, seqs: Sequence[int]) -> Sequence[tuple[int, Member]]:
        """The members of a flow on one partition among these seqs, which rise, in order."""
        return self._flows.members_at((flow.children, flow.flow_id), partition, seqs)

    def dispatching(self) -> Sequence[Flow]:
        """The flows that have a page to do now (`flows.has_page`), in order of kind and id."""
        return self._flows.dispatching()

    def due_flows(self, until: int, limit: int) -> Sequence[Flow]:
        """Flows with `due_at <= until`, in order of due_at, then kind and id."""
        return self._flows.due(until, limit)

    def finished_flows(self, before: int, limit: int) -> Sequence[Flow]:
        """Flows whose `updated_at < before` and that have no live, pending, kept or failed members, oldest first."""
        return self._flows.finished(before, limit)

    def flow_backlog(self) -> Backlog:
        """The reconciler's backlog: its flows, and their pending members."""
        return self._flows.backlog

    def next_flow_due(self) -> int | None:
        """The earliest `due_at` of a flow, ms; the reconciler's interval comes on top."""
        return self._flows.next_due()

    def has_members(self, flow_id: str, *, children: bool) -> bool:
        """True if a row of this partition belongs to the flow, wherever that is; as the last turn has left them."""
        return self._flows.any_row_of(flow_id, children=children)

    def flows_since(self, time: int) -> dict[str, Flow]:
        """The named flows that have changed at that time, ms, or later, by id, as the last turn has left them."""
        return self._flows.since(time)

    def changed_flows(self) -> dict[str, Flow | None]:
        """The named flows that the turn has changed, by id; None is one removed. Ask before `commit`."""
        return self._flows.changed()
