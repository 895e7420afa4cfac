"""The reason why a row waits: the started row of its object, or the cancel that is about to end it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from streams.codec import decode
from streams.engine.flows import CANCELLED_PARENT, ends_all, exempt
from streams.engine.guarding import guard_of, guarding
from streams.engine.guards import guard_against
from streams.model import Slice, Status
from streams.state.columns import BY_ID, ROWS
from streams.state.errors import ChangelogError
from streams.state.kept_flows import members_at, stored_flow
from streams.state.schema import HOLDS, STATUSES

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from streams.engine.guarding import Guard
    from streams.model import Invocation, Row
    from streams.state.kept_flows import FlowName

HeldBy = tuple[Literal["invocation_id", "batch_id", "flow_id", "parent_id"], str]
"""The kind of what holds a row, and its id."""


def holder(db: sqlite3.Connection, row: Row, invocation: Invocation) -> HeldBy | None:
    """What holds the row; None if nothing does, or does no longer."""
    if row.held:
        return _guard(db, row, invocation)
    if row.status is not Status.PENDING or invocation.object_key is None:
        return None
    sql = f"SELECT i.id FROM {ROWS} WHERE r.service = ? AND r.object_key = ? AND {HOLDS} LIMIT 1"  # noqa: S608
    found = db.execute(sql, (invocation.service, invocation.object_key)).fetchone()
    return None if found is None else ("invocation_id", found[0])


def _guard(db: sqlite3.Connection, row: Row, invocation: Invocation) -> HeldBy | None:
    flow_id, parent_id = invocation.flow_id, invocation.parent_id
    if flow_id is not None and _reached(db, (False, flow_id), row):
        return "flow_id", flow_id
    if parent_id is not None and _reached(db, (True, parent_id), row):
        return "parent_id", parent_id
    guard = guard_against(row, _guards(db), lambda: invocation)
    return None if guard is None else ("batch_id", guard.slice.batch_id)


def _reached(db: sqlite3.Connection, name: FlowName, row: Row) -> bool:
    """True if a flow's cancel reaches the row; that of a parent's children may still have to be made."""
    flow = stored_flow(db, name)
    if flow is None:
        return name[0] and _cancelled(db, name[1])
    if not ends_all(flow) or not flow.restarted:
        return ends_all(flow)
    (partition,) = db.execute("SELECT partition FROM state").fetchone()
    return not any(exempt(flow, member) for _, member in members_at(db, name, partition, (row.seq,)))


def _cancelled(db: sqlite3.Connection, parent_id: str) -> bool:
    sql = f"SELECT r.status FROM invocations i {BY_ID} WHERE i.id = ?"  # noqa: S608 - our own names
    found = db.execute(sql, (parent_id,)).fetchone()
    return found is not None and STATUSES[found[0]] in CANCELLED_PARENT


def _guards(db: sqlite3.Connection) -> Iterator[Guard]:
    for (record,) in db.execute("SELECT record FROM slices WHERE over IS NULL ORDER BY id").fetchall():
        slice_ = decode(record)
        if not isinstance(slice_, Slice):
            raise ChangelogError(f"the record of a slice is a {type(slice_).__name__}")
        if guarding(slice_):
            yield guard_of(slice_)
