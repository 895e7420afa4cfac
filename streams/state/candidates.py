"""Rows that a filter by ids, flows, parents or batches may match, newest first, found by the indexes there are."""

from __future__ import annotations

from bisect import bisect_left
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


class Resting:
    """The rows that rest on the page deltas of batches; found again only when there are other deltas."""

    def __init__(self, batch_ids: tuple[str, ...]) -> None:
        self._listed = json_list(sorted(set(batch_ids)))
        self._known: tuple[int, int] | None = None
        self._rising: list[int] = []

    def below(self, db: sqlite3.Connection, seq: int) -> Iterator[int] | None:
        """Their seqs below this one, falling; None: they are too many."""
        deltas = "FROM deltas WHERE batch_id IN (SELECT value FROM json_each(?))"
        # A delta never changes, and each new one has the highest offset of all.
        numbers = "SELECT count(*), coalesce(max(offset), 0), coalesce(sum(length(record)), 0)"
        *now, size = db.execute(f"{numbers} {deltas}", (self._listed,)).fetchone()
        if size > _MOST_DELTA_BYTES:
            return None
        if (known := (now[0], now[1])) != self._known:
            found: set[int] = set()
            for (record,) in db.execute(f"SELECT record {deltas}", (self._listed,)).fetchall():
                delta = decode(record)
                if not isinstance(delta, PageDelta):
                    raise ChangelogError(f"a delta holds a {type(delta).__name__}")
                found.update(seqs_of(delta))
            self._known, self._rising = known, sorted(found)
        rising = self._rising
        return (rising[place] for place in range(bisect_left(rising, seq) - 1, -1, -1))


def candidates(
    db: sqlite3.Connection, filter_: Filter, below: int, resting: Resting | None = None
) -> Iterator[int] | None:
    """Falling seqs, below this one, of rows among which are all that the filter matches; None: look at every row.

    Only as many are read as are taken, so the connection stays in its transaction meanwhile.

    `resting`: those of the filter's batches; made here if it is None.
    """
    if filter_.invocation_ids is not None:
        rows = "SELECT seq FROM invocations WHERE id IN (SELECT value FROM json_each(?)) AND seq < ?"
        return iter(_seqs(db, rows, json_list(list(filter_.invocation_ids)), below))
    for column, names in (("flow_id", filter_.flow_ids), ("parent_id", filter_.parent_ids)):
        if names is not None:
            each = (_falling(db, f"invocations WHERE {column} = ?", name, below) for name in set(names))
            return merge(*each, reverse=True)
    if filter_.batch_ids is not None:
        found = (resting or Resting(filter_.batch_ids)).below(db, below)
        if found is None:
            return None
        own = (_falling(db, "rows WHERE batch_id = ?", name, below) for name in set(filter_.batch_ids))
        return _distinct(merge(found, *own, reverse=True))
    return None


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
