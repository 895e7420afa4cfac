"""The rows that have not ended, and the flows that are cancelled: what an export consists of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from streams.codec import decode_invocation
from streams.state.columns import ROWS, SELECT_ROW, row_of
from streams.state.deltas import Endings
from streams.state.kept_flows import flow_of
from streams.state.schema import FIRST_STARTED, FIRST_TERMINAL, STATUSES

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from streams.model import Flow, Invocation, Row, Status

_AT_ONCE: Final = 1_000


class Unfinished(NamedTuple):
    """An invocation that has not ended."""

    row: Row
    invocation: Invocation
    payload: bytes | None


def unfinished_rows(db: sqlite3.Connection) -> Iterator[Unfinished]:
    """Rows that executors may know (a PAUSED one by what it was paused from), then the others; both in order of seq.

    In this order, an object is occupied before the rows of its inbox arrive.
    """
    endings = Endings(db)
    for started in (1, 0):
        seq = -1
        sql = f"""{SELECT_ROW} {ROWS} WHERE r.seq > ? AND r.status < {FIRST_TERMINAL}
            AND (coalesce(r.paused_from, r.status) >= {FIRST_STARTED}) = ? ORDER BY r.seq LIMIT ?"""
        while columns := db.execute(sql, (seq, started, _AT_ONCE)).fetchall():
            seq = columns[-1][2]
            for row in (row_of(found, endings) for found in columns):
                payload = db.execute("SELECT payload FROM payloads WHERE seq = ?", (row.seq,)).fetchone()
                yield Unfinished(row, decode_invocation(row.encoded), None if payload is None else payload[0])


def cancelled_flows(db: sqlite3.Connection) -> Iterator[tuple[Flow, str | None]]:
    """Cancelled flows, named ones first; beside one of children, the parent of their parent."""
    sql = """SELECT f.record, i.parent_id FROM flows f LEFT JOIN invocations i ON i.seq = f.parent
        ORDER BY f.children, f.id"""
    for record, above in db.execute(sql):
        flow = flow_of(record)
        if flow.action is not None:
            yield flow, above


def status_counts(db: sqlite3.Connection) -> dict[Status, int]:
    """Number of rows by status; a status without rows is left out."""
    found = db.execute("SELECT status, count(*) FROM rows GROUP BY status ORDER BY status").fetchall()
    return {STATUSES[code]: count for code, count in found}


def unfinished_batches(db: sqlite3.Connection) -> list[str]:
    """Ids of the batches led here that are not over, sorted."""
    return [batch_id for (batch_id,) in db.execute("SELECT id FROM batches WHERE over IS NULL ORDER BY id").fetchall()]
