"""Rows that belong to flows, and rows that have children: found by indexes that hold no other rows."""

from __future__ import annotations

from heapq import merge
from typing import TYPE_CHECKING, Final

from streams.engine.answers import Grouped
from streams.state.columns import json_list
from streams.state.schema import GROUPED

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from streams.engine.answers import PageQuery

_FIRST_READ: Final = 4
_MOST_READ: Final = 4_096
"""Number of rows of a flow that are read at a time: at first, and at most."""


def rows_of_flows(db: sqlite3.Connection, query: PageQuery) -> Iterator[int] | None:
    """Rising seqs of the rows that a page of a filter by flows, or else by parents, looks at; None for another filter.

    Only as many are read as are taken.
    """
    for column, names in (("flow_id", query.filter.flow_ids), ("parent_id", query.filter.parent_ids)):
        if names is not None:
            return merge(*(_seqs(db, column, name, query.cursor, query.cutoff) for name in set(names)))
    return None


def _seqs(db: sqlite3.Connection, column: str, name: str, after: int, below: int) -> Iterator[int]:
    sql = f"SELECT seq FROM invocations WHERE {column} = ? AND seq > ? AND seq < ? ORDER BY seq LIMIT ?"  # noqa: S608
    limit = _FIRST_READ
    while found := db.execute(sql, (name, after, below, limit)).fetchall():
        yield from (seq for (seq,) in found)
        if len(found) < limit:
            return
        after, limit = found[-1][0], min(2 * limit, _MOST_READ)


def any_row_of(db: sqlite3.Connection, flow_id: str, *, children: bool) -> bool:
    """True if a row here belongs to the flow."""
    column = "parent_id" if children else "flow_id"
    sql = f"SELECT 1 FROM invocations WHERE {column} = ? LIMIT 1"  # noqa: S608 - our own names
    return db.execute(sql, (flow_id,)).fetchone() is not None


def grouped_among(db: sqlite3.Connection, seqs: list[int], dense: bool) -> tuple[Grouped, ...]:  # noqa: FBT001
    """Those of the rows with these seqs, which rise, that belong to a flow or have a parent.

    `dense`: there are not many rows besides these between the first and the last.
    """
    if not seqs:
        return ()
    columns = f"SELECT seq, flow_id, parent_id FROM invocations INDEXED BY invocations_grouped WHERE {GROUPED} AND"  # noqa: S608 - our own names
    there = f"{columns} seq BETWEEN ? AND ? ORDER BY seq"
    if dense:
        wanted = set(seqs)
        return tuple(Grouped(*found) for found in db.execute(there, (seqs[0], seqs[-1])) if found[0] in wanted)
    if db.execute(f"{there} LIMIT 1", (seqs[0], seqs[-1])).fetchone() is None:
        return ()
    sql = f"{columns} seq IN (SELECT value FROM json_each(?)) ORDER BY seq"  # noqa: S608
    return tuple(Grouped(*found) for found in db.execute(sql, (json_list(seqs),)))


def parents_among(db: sqlite3.Connection, seqs: list[int], dense: bool) -> tuple[tuple[int, str], ...]:  # noqa: FBT001
    """Seq and id of those of the rows whose children have a flow here; arguments as for `grouped_among`."""
    if not seqs:
        return ()
    there = "SELECT parent, id FROM flows WHERE parent BETWEEN ? AND ? ORDER BY parent"
    if dense:
        wanted = set(seqs)
        return tuple(found for found in db.execute(there, (seqs[0], seqs[-1])) if found[0] in wanted)
    if db.execute(f"{there} LIMIT 1", (seqs[0], seqs[-1])).fetchone() is None:
        return ()
    sql = "SELECT parent, id FROM flows WHERE parent IN (SELECT value FROM json_each(?)) ORDER BY parent"
    return tuple(db.execute(sql, (json_list(seqs),)))
