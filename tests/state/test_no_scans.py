"""Nothing that a turn asks of the table looks at all of its rows."""

from __future__ import annotations

import re
from pathlib import Path

from msgspec.structs import replace

from streams.codec import encode_invocation
from streams.engine.answers import At, PageQuery, PageSizes
from streams.engine.effects import (
    InsertRow,
    PutDelta,
    PutFlow,
    PutMembers,
    RemoveFlow,
    RemoveMembers,
    RemoveRow,
    UpdateRow,
)
from streams.model import (
    Action,
    Cause,
    Change,
    Ending,
    Exclusion,
    Filter,
    Flow,
    Invocation,
    Member,
    PageDelta,
    Row,
    Status,
)
from streams.state.store import Store
from streams.state.table import Table


def test_no_statement_scans_the_rows() -> None:
    """Every statement of a turn, a tick, a page and a restore finds its rows by an index or within its window."""
    store = Store.open(Path(":memory:"), 0)
    statements: set[str] = set()
    store.db.set_trace_callback(statements.add)
    changelog = lived(Table(store, 0, 1, PageSizes(9, 9)))
    store.begin()
    store.apply_changelog([(key, value, offset) for offset, (key, value) in enumerate(changelog)])
    store.rollback()
    store.db.set_trace_callback(None)
    asked = {statement for statement in statements if re.match("SELECT|UPDATE|DELETE|INSERT", statement)}
    assert len(asked) > 20
    for statement in asked:
        plan = [row[3] for row in store.db.execute("EXPLAIN QUERY PLAN " + statement).fetchall()]
        scans = [step for step in plan if re.match("SCAN (i|invocations|p|payloads|d|deltas|flows|members)( |$)", step)]
        assert not scans, (statement, plan)
    store.close()


def lived(table: Table) -> list[tuple[str, bytes | None]]:
    """A turn with everything in it; returns its changelog."""
    table.begin()
    table.load(["i-0", "i-1"])
    table.absorb([row(seq) for seq in range(10)], At(0, 10, 0))
    changes = (Change(Status.KILLED, seqs=(0, 1, 2)), Change(Status.CANCELLING, due_at=5, seqs=(5,)))
    absorb_flows(table)
    filter_ = Filter(
        created_from=0, services=("mail",), batch_ids=("b",), statuses=(Status.RUNNING,), labels={"a": "b"}
    )
    table.select(PageQuery(filter_, Action.KILL, -1, 10, 5, 2, 5))
    table.select(PageQuery(Filter(match_all=True), Action.KILL, -1, 10, 5, 2, 5))
    left_out = Exclusion(0, 9, 0, 9, ("a",), batch_ids=("c",), labels={"a": "c"}, labels_in={"a": ("c", "d")})
    table.select(PageQuery(Filter(labels_in={"a": ("b", "c")}, exclude=left_out), Action.KILL, -1, 10, 5, 2, 5))
    table.select(PageQuery(filter_, Action.KILL, -1, 10, 5, 2, 5, ("i-1", "i-2")))
    ended = UpdateRow(replace(row(9).row, status=Status.FAILED, due_at=None))
    table.absorb([ended], At(0, 10, 0))
    for grouped in (
        Filter(flow_ids=("f", "g")),
        Filter(parent_ids=("i-1",)),
        Filter(flow_ids=("f",), services=("mail",)),
    ):
        table.select(PageQuery(grouped, Action.KILL, -1, 10, 5, 2, 5))
    for action in (Action.PAUSE, Action.RESUME):
        table.select(PageQuery(Filter(match_all=True), action, -1, 10, 5, 2, 5, max_bytes=40))
    purged = table.select(PageQuery(Filter(match_all=True), Action.PURGE, -1, 10, 10, 5)).rows
    assert purged == (ended.row,)
    assert table.select(PageQuery(Filter(match_all=True), Action.RESTART, -1, 10, 10, 5, max_bytes=40)).rows == purged
    table.absorb([PutDelta(PageDelta(1, Ending(Cause("b")), changes), {Status.RUNNING: 4})], At(0, 11, 1))
    again = PageDelta(2, None, (Change(Status.KILLED, seqs=(5,)),))
    table.absorb([PutDelta(again, {Status.CANCELLING: 1})], At(0, 12, 2))
    table.due(9, 5)
    table.held(2, 5)
    table.inboxes([("mail", "k"), ("mail", "l")], {1, 2})
    resting = [resting for resting, _ in table.on_old_deltas(9, 1)]
    gone = table.ended(9, 5)[1:]
    table.absorb([*map(UpdateRow, resting), *(RemoveRow(*ended) for ended in gone)], At(0, 13, 2))
    for seq in (2, 6):
        found = table.row(f"i-{seq}")
        if found is not None:
            table.payload(found)
    changelog = table.flush()
    table.commit(1, 1)
    table.next_due()
    table.retention_due(5, 5)
    table.next_flow_due()
    table.flows_since(0)
    return changelog


def absorb_flows(table: Table) -> None:
    """Flows with members, one of children whose parent is there and one whose parent is not; everything is asked."""
    flows = [Flow("f", False, 1, 1, 1, live=3, due_at=1), Flow("g", False, 1, 1, 1, recheck_left=1, cursors=(-1,))]
    flows += [Flow(name, True, 1, 1, 1, live=1) for name in ("i-1", "nobody", "i-7")]
    for flow in flows:
        table.flow(flow.flow_id, children=flow.children)
        table.members_at(flow, 0, (1, 2))
        put = PutMembers(flow.flow_id, flow.children, 0, (1, 2, 3), Member())
        table.absorb([PutFlow(flow), put, RemoveMembers(flow.flow_id, flow.children, 0, (3,))], At(0, 10, 0))
    table.due_flows(9, 5)
    table.finished_flows(9, 5)
    for flow in flows:
        table.members(flow, 0, -1, 5)
        table.members_at(flow, 0, (1,))
        table.members_at(flow, 0, (1, 2))
        table.all_members(flow)
    table.rows_at((1, 2), Action.KILL, 100, 0)
    table.absorb([RemoveFlow("i-7", children=True), RemoveRow(8, "i-8")], At(0, 10, 0))
    table.write()
    table.absorb([row(8)], At(0, 10, 0))


def row(seq: int) -> InsertRow:
    """A new row."""
    groups = ("f", "i-1" if seq == 2 else None)
    invocation = Invocation(f"i-{seq}", "mail", "send", None, None, *groups, labels={"a": "b"})
    encoded = encode_invocation(invocation)
    plain = Row(invocation.invocation_id, encoded, seq, 0, Status.RUNNING, 1, -1, 0, 0, due_at=seq)
    return InsertRow(replace(plain, flow_id=groups[0], parent_id=groups[1]), invocation, b"payload")
