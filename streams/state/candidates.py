"""Rows that a filter by ids, flows, parents or batches may match, newest first, found by the indexes there are."""

from __future__ import annotations

from heapq import merge
from typing import TYPE_CHECKING, Final

import msgspec

from streams.codec import decode
from streams.model import PageDelta
from streams.state.columns import json_list
from streams.state.deltas import seqs_of
from streams.state.errors import ChangelogError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from streams.model import Filter

_decode_seqs: Final = msgspec.json.Decoder(list[int]).decode
_FIRST_READ: Final = 64
_MOST_READ: Final = 4_096
"""Number of rows of a flow that are read at a time: at first, and at most."""
_MOST_DELTA_BYTES: Final = 100_000
"""Most bytes of a batch's page deltas that are read. More belong to many rows: looking at all rows finds them soon."""


def candidates(db: sqlite3.Connection, filter_: Filter, below: int) -> Iterator[int] | None:
    """Falling seqs, below this one, of rows among which are all that the filter matches; None: look at every row.

    Only as many are read as are taken, so the connection stays in its transaction meanwhile.
    """
    if filter_.invocation_ids is not None:
        rows = "SELECT seq FROM invocations WHERE id IN (SELECT value FROM json_each(?)) AND seq < ?"
        return iter(_seqs(db, rows, json_list(list(filter_.invocation_ids)), below))
    for column, names in (("flow_id", filter_.flow_ids), ("parent_id", filter_.parent_ids)):
        if names is not None:
            each = (_falling(db, f"invocations WHERE {column} = ?", name, below) for name in set(names))
            return merge(*each, reverse=True)
    if filter_.batch_ids is not None:
        return _of_batches(db, set(filter_.batch_ids), below)
    return None


def _of_batches(db: sqlite3.Connection, names: set[str], below: int) -> Iterator[int] | None:
    deltas = "FROM deltas WHERE batch_id IN (SELECT value FROM json_each(?))"
    listed = (json_list(sorted(names)),)
    (size,) = db.execute(f"SELECT coalesce(sum(length(record)), 0) {deltas}", listed).fetchone()
    if size > _MOST_DELTA_BYTES:
        return None
    resting: set[int] = set()
    for (record,) in db.execute(f"SELECT record {deltas}", listed).fetchall():
        delta = decode(record)
        if not isinstance(delta, PageDelta):
            raise ChangelogError(f"a delta holds a {type(delta).__name__}")
        resting.update(seqs_of(delta))
    own = [_falling(db, "rows WHERE batch_id = ?", name, below) for name in names]
    return _distinct(merge(sorted((seq for seq in resting if seq < below), reverse=True), *own, reverse=True))


def _falling(db: sqlite3.Connection, rows: str, name: str, below: int) -> Iterator[int]:
    limit = _FIRST_READ
    sql = f"SELECT seq FROM {rows} AND seq < ? ORDER BY seq DESC LIMIT ?"  # noqa: S608 - our own names
    while found := _seqs(db, sql, name, below, limit):
        yield from found
        if len(found) < limit:
            return
        below, limit = found[-1], min(2 * limit, _MOST_READ)


def _seqs(db: sqlite3.Connection, rows: str, *params: str | int) -> list[int]:
    """The seqs that a statement selects, falling; as one text, as `listing` says why."""
    (packed,) = db.execute(f"SELECT json_group_array(seq) FROM ({rows})", params).fetchone()  # noqa: S608
    return sorted(_decode_seqs(packed), reverse=True)


def _distinct(seqs: Iterator[int]) -> Iterator[int]:
    last: int | None = None
    for seq in seqs:
        if seq != last:
            yield seq
        last = seq
