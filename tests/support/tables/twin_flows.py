"""Flows and members of the two tables of `state_twin`: what random turns do to them, and what both must answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.codec import encode
from streams.engine.effects import PutFlow, PutMembers, RemoveFlow, RemoveMembers, SetReconciled
from streams.engine.flows import ALL_ASKED
from streams.engine.weights import of_member
from streams.model import Action, CancelPolicy, Flow, FlowAction, Member, MemberState

if TYPE_CHECKING:
    from streams.engine.effects import Effect
    from streams.state.table import Table
    from support.tables.memory_table import MemoryTable

FLOWS = (
    (False, "x"),
    (False, "a/b"),
    (False, "i-0"),
    (True, "i-0"),
    (True, "i-1"),
    (True, "pay/ü~0"),
    (True, "x" * 256),
)
FLOW_IDS = (None, None, "x", "a/b", "i-0")
PARENTS = (None, None, "i-0", "i-1")
NAMES = {True: "c", False: "n"}


class TwinFlows:
    """The part of a twin that is about flows."""

    table: Table
    plain: MemoryTable
    offset: int
    now: int

    def _flow(self, name: int, shape: int, due_at: int | None) -> list[Effect]:
        children, flow_id = FLOWS[name % len(FLOWS)]
        cursors = ((), (-1,), (ALL_ASKED,), (7,))[shape % 4]
        flow = Flow(
            flow_id,
            children,
            self.offset,
            self.now,
            self.now,
            live=shape % 3,
            action=FlowAction.KILL if cursors else None,
            policy=CancelPolicy.CANCEL_ALL if cursors else None,
            cursors=cursors,
            failures=("ü",) * (shape % 2),
            due_at=due_at,
            recheck_left=shape // 8,
        )
        return [PutFlow(flow)]

    def _unflow(self, name: int) -> list[Effect]:
        children, flow_id = FLOWS[name % len(FLOWS)]
        return [RemoveFlow(flow_id, children)] if (children, flow_id) in self.plain.flows else []

    def _members(self, name: int, shape: int) -> list[Effect]:
        children, flow_id = FLOWS[name % len(FLOWS)]
        if (children, flow_id) not in self.plain.flows:
            return []
        seqs = tuple(sorted({shape, shape + 1, self.offset} if shape % 2 else {self.offset}))
        self._same_members(shape % 3, seqs)
        labels = {"k": "v"} if shape % 5 == 0 else {}
        member = Member(list(MemberState)[shape % 6], shape, labels, "ü" if shape == 4 else None, shape % 3 - 1)
        return [PutMembers(flow_id, children, shape % 3, seqs, member)]

    def _unmembers(self, name: int, shape: int) -> list[Effect]:
        children, flow_id = FLOWS[name % len(FLOWS)]
        there = sorted(key[3] for key in self.plain.entries if key[:3] == (children, flow_id, shape % 3))
        seqs = tuple(there[: shape % 4])
        return [RemoveMembers(flow_id, children, shape % 3, seqs)] if seqs else []

    def _reconciled(self, number: int) -> list[Effect]:
        return [SetReconciled(number, {"k": str(number)})]

    def _look_at_flows(self, limit: int) -> None:
        """Ask everything about flows of both."""
        table, plain = self.table, self.plain
        assert list(table.dispatching()) == plain.dispatching()
        for until in (4, 9, self.now):
            assert list(table.due_flows(until, limit)) == plain.due_flows(until, limit)
            assert list(table.finished_flows(until, limit)) == plain.finished_flows(until, limit)
        for children, flow_id in FLOWS:
            assert table.flow(flow_id, children=children) == plain.flow(flow_id, children=children)
        for flow in plain.flows.values():
            assert table.all_members(flow) == plain.all_members(flow)
            for partition in range(3):
                assert table.members(flow, partition, limit, limit) == plain.members(flow, partition, limit, limit)
        self._same_members(limit % 3, range(limit, 60, 2))
        due = [flow for flow in plain.flows.values() if flow.due_at is not None]
        assert table.flow_backlog() == (len(due), sum(flow.pending for flow in due))
        assert table.next_flow_due() == min((flow.due_at for flow in due if flow.due_at is not None), default=None)
        assert (table.meta.reconciled_at, table.meta.reconcile_labels) == (
            plain.meta.reconciled_at,
            plain.meta.reconcile_labels,
        )

    def _same_members(self, partition: int, seqs: tuple[int, ...] | range) -> None:
        for flow in self.plain.flows.values():
            assert self.table.members_at(flow, partition, seqs) == self.plain.members_at(flow, partition, seqs)

    def _same_rows(self, max_bytes: int) -> None:
        """Rows by seq, as far as their weight allows."""
        seqs = sorted({row.seq for row in self.plain.rows.values()} | {2, 5})
        found = self.table.rows_at(seqs, Action.CANCEL, max_bytes, 9)
        assert found == self.plain.rows_at(seqs, Action.CANCEL, max_bytes, 9)
        assert sum(of_member(row, Action.CANCEL, None, 9) for row in found[0][:-1]) < max_bytes

    def flow_records(self) -> dict[str, bytes]:
        """The dump of flows and members that the plain table calls for."""
        plain = self.plain
        dump = {f"f/{NAMES[children]}/{name}": encode(flow) for (children, name), flow in plain.flows.items()}
        entries = plain.entries.items()
        return dump | {f"g/{NAMES[key[0]]}/{key[1]}/{key[2]}/{key[3]}": encode(member) for key, member in entries}

    def links(self) -> list[tuple[object, ...]]:
        """What is derived of each flow, by the store."""
        columns = "SELECT children, id, turns, due_at, over, parent FROM flows ORDER BY 1, 2"
        return self.table._store.db.execute(columns).fetchall()
