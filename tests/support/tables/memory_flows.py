"""The flows of a partition's table in plain dicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.engine.answers import Grouped
from streams.engine.effects import PutFlow, PutMembers, RemoveFlow, RemoveMembers
from streams.engine.flows import has_page, living

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from streams.engine.effects import FlowEffect
    from streams.model import Filter, Flow, Member, Row


class MemoryFlows:
    """Flows by (children, id), and entries of their members by (children, id, partition, seq)."""

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self.flows: dict[tuple[bool, str], Flow] = {}
        self.entries: dict[tuple[bool, str, int, int], Member] = {}

    def flow(self, flow_id: str, *, children: bool) -> Flow | None:
        """A flow of this partition."""
        return self.flows.get((children, flow_id))

    def with_children(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Those of these rows that are parents."""
        return [row for row in rows if (True, row.invocation_id) in self.flows]

    def members(self, flow: Flow, partition: int, after: int, limit: int) -> Sequence[tuple[int, Member]]:
        """The flow's members on one partition behind a seq."""
        name = (flow.children, flow.flow_id, partition)
        found = sorted((key[3], member) for key, member in self.entries.items() if key[:3] == name and key[3] > after)
        return found[:limit]

    def all_members(self, flow: Flow) -> Sequence[tuple[int, int, Member]]:
        """All of the flow's members."""
        name = (flow.children, flow.flow_id)
        return [(*key[2:], member) for key, member in sorted(self.entries.items()) if key[:2] == name]

    def members_at(self, flow: Flow, partition: int, seqs: Sequence[int]) -> Sequence[tuple[int, Member]]:
        """The flow's members with these seqs."""
        name = (flow.children, flow.flow_id, partition)
        return [(seq, self.entries[*name, seq]) for seq in seqs if (*name, seq) in self.entries]

    def dispatching(self) -> Sequence[Flow]:
        """Flows with a page to do."""
        return [flow for _, flow in sorted(self.flows.items()) if has_page(flow, self.partitions)]

    def due_flows(self, until: int, limit: int) -> Sequence[Flow]:
        """Flows whose time has come."""
        due = [(flow.due_at, key) for key, flow in self.flows.items() if flow.due_at is not None]
        return [self.flows[key] for time, key in sorted(due)[:limit] if time <= until]

    def finished_flows(self, before: int, limit: int) -> Sequence[Flow]:
        """Flows that have had no members for long."""
        over = [(flow.updated_at, key) for key, flow in self.flows.items() if not living(flow)]
        return [self.flows[key] for time, key in sorted(over) if time < before][:limit]

    def _absorb_flow(self, effect: FlowEffect) -> None:
        match effect:
            case PutFlow(flow):
                self.flows[flow.children, flow.flow_id] = flow
            case RemoveFlow(flow_id, children):
                del self.flows[children, flow_id]
                self.entries = {key: member for key, member in self.entries.items() if key[:2] != (children, flow_id)}
            case PutMembers(flow_id, children, partition, seqs, member):
                assert (children, flow_id) in self.flows
                assert list(seqs) == sorted(set(seqs))
                for seq in seqs:
                    self.entries[children, flow_id, partition, seq] = member
            case RemoveMembers(flow_id, children, partition, seqs):
                for seq in seqs:
                    del self.entries[children, flow_id, partition, seq]


def looked_at(row: Row, filter_: Filter) -> bool:
    """Whether a page of this filter looks at the row: one by flows, or else by parents, at theirs only."""
    if filter_.flow_ids is not None:
        return row.flow_id in filter_.flow_ids
    return filter_.parent_ids is None or row.parent_id in filter_.parent_ids


def groups_of(
    rows: Iterable[Row], flows: Mapping[tuple[bool, str], Flow]
) -> tuple[tuple[Grouped, ...], tuple[tuple[int, str], ...]]:
    """`Page.grouped` and `Page.parents` of matched rows."""
    of_flows = [row for row in rows if row.flow_id is not None or row.parent_id is not None]
    parents = [(row.seq, row.invocation_id) for row in rows if (True, row.invocation_id) in flows]
    return tuple(Grouped(row.seq, row.flow_id, row.parent_id) for row in of_flows), tuple(parents)
