"""Page deltas: each is one record that changes many rows, kept for as long as a row rests on it."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Final

from streams.codec import decode
from streams.model import TERMINAL, PageDelta, Status
from streams.state.columns import AMONG_SEQS, json_list, pack_ending, unpack_ending
from streams.state.errors import ChangelogError
from streams.state.schema import CODES

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

    from streams.model import Ending
    from streams.state.conditions import Condition

RESTING: Final = TERMINAL | {Status.PAUSED, Status.CANCELLING}
"""The statuses that a row resting on a delta may have."""

_SET: Final = """UPDATE rows AS r SET status = ?, modified_at = ?, paused_from = ?, due_at = ?, held = 0,
    batch_id = NULL, ending = NULL, delta = ? WHERE """
_CACHED_ENDINGS: Final = 1_024
_DELTAS_AT_ONCE: Final = 16
_DELTAS_KNOWN: Final = 8


def seqs_of(delta: PageDelta) -> list[int]:
    """Seqs of all rows that the delta lists."""
    return [seq for change in delta.changes for seq in accumulate(change.seqs)]


def apply_delta(
    db: sqlite3.Connection, offset: int, delta: PageDelta, record: bytes, all_of: Condition | None = None
) -> int:
    """Change the rows that the delta lists and keep the delta; returns the number of rows changed.

    Rows that rest on an older delta leave it: count them first, and `release` it.

    Args:
        db: an open transaction.
        offset: of the command that caused the page; it names the delta.
        delta: the page's delta.
        record: its changelog value.
        all_of: a condition that exactly the rows of a delta with a single change satisfy; faster than their list.
    """
    resting = 0
    for change in delta.changes:
        seqs = list(accumulate(change.seqs))
        if not seqs:
            continue
        paused_from = None if change.paused_from is None else CODES[change.paused_from]
        values = (CODES[change.status], delta.modified_at, paused_from, change.due_at, offset)
        if all_of is not None:
            cursor = db.execute(_SET + all_of.sql, (*values, *all_of.params))
        elif seqs[-1] - seqs[0] + 1 == len(seqs):
            cursor = db.execute(_SET + "r.seq BETWEEN ? AND ?", (*values, seqs[0], seqs[-1]))
        else:
            cursor = db.execute(_SET + AMONG_SEQS, (*values, json_list(seqs)))
        resting += cursor.rowcount
    ends = any(change.status in TERMINAL for change in delta.changes)
    batch_id = None if delta.ending is None else delta.ending.cause.batch_id
    db.execute(
        "INSERT OR REPLACE INTO deltas VALUES (?, ?, ?, ?, ?, ?, ?)",
        (offset, delta.modified_at, resting, ends, batch_id, pack_ending(delta.ending), record),
    )
    return resting


def count_resting(db: sqlite3.Connection, seqs: list[int]) -> dict[int, int]:
    """Number of these rows that rest on each delta, by the delta's offset."""
    sql = """SELECT delta, count(*) FROM rows
        WHERE seq IN (SELECT value FROM json_each(?)) AND delta IS NOT NULL GROUP BY delta"""
    return dict(db.execute(sql, (json_list(seqs),)).fetchall())


def release(db: sqlite3.Connection, released: dict[int, int]) -> None:
    """Count rows that rest on these deltas no longer: offset of the delta -> number of rows."""
    rows = [(count, offset) for offset, count in released.items()]
    db.executemany("UPDATE deltas SET resting = resting - ? WHERE offset = ?", rows)


def drop_deserted(db: sqlite3.Connection, offsets: Iterable[int]) -> list[int]:
    """Delete those deltas on which no row rests any longer; returns their offsets, rising."""
    sql = "DELETE FROM deltas WHERE offset IN (SELECT value FROM json_each(?)) AND resting = 0 RETURNING offset"
    return sorted(offset for (offset,) in db.execute(sql, (json_list(list(offsets)),)).fetchall())


class Endings:
    """A cache of the endings of deltas, by offset; the rows of a page share one object."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._known: dict[int, Ending | None] = {}

    def __call__(self, offset: int) -> Ending | None:
        """The ending of the delta at `offset`."""
        if offset not in self._known:
            if len(self._known) >= _CACHED_ENDINGS:
                self._known.clear()
            (packed,) = self._db.execute("SELECT ending FROM deltas WHERE offset = ?", (offset,)).fetchone()
            self._known[offset] = unpack_ending(packed)
        return self._known[offset]

    def reload(self) -> None:
        """Read again when asked: the deltas may have changed."""
        self._known.clear()


class OldDeltas:
    """The deltas of a table, oldest first, and the rows that may still rest on them.

    A row that has left a delta never comes back to it, so rows found to be gone are skipped from then on. A delta of
    20,000 rows is forgotten in many parts, and each costs only the rows it handles. After a rollback, rows may be back:
    `reload`.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._left: dict[int, list[int]] = {}

    def reload(self) -> None:
        """Read again when asked which rows have left: some may be back."""
        self._left.clear()

    def each(self, before: int, *, ends: bool) -> Iterator[tuple[int, int]]:
        """(modified_at, offset) of deltas with `modified_at < before`, oldest first; `ends`: only those ending rows."""
        modified_at, offset = -1, -1
        sql = """SELECT modified_at, offset FROM deltas WHERE modified_at >= ?1 AND modified_at < ?2
            AND (modified_at > ?1 OR offset > ?3) AND ends >= ?4 ORDER BY modified_at, offset LIMIT ?5"""
        while found := self._db.execute(sql, (modified_at, before, offset, ends, _DELTAS_AT_ONCE)).fetchall():
            for modified_at, offset in found:
                yield modified_at, offset

    def resting(self, offset: int, size: int) -> Iterator[tuple[int, int]]:
        """(seq, status) of the rows that rest on the delta at `offset`, in order of seq, read `size` at a time."""
        sql = f"SELECT seq, status FROM rows r WHERE {AMONG_SEQS} AND delta = ? ORDER BY seq"  # noqa: S608
        seqs, gone = self._seqs(offset), True
        while seqs:
            found = self._db.execute(sql, (json_list(seqs[:size]), offset)).fetchall()
            if gone:
                # Rows before the first one found have left for good.
                self._left[offset] = seqs[seqs.index(found[0][0]) if found else size :]
            gone, seqs = gone and not found, seqs[size:]
            yield from found

    def _seqs(self, offset: int) -> list[int]:
        if offset not in self._left:
            (record,) = self._db.execute("SELECT record FROM deltas WHERE offset = ?", (offset,)).fetchone()
            delta = decode(record)
            if not isinstance(delta, PageDelta):
                raise ChangelogError(f"delta {offset} holds a {type(delta).__name__}")
            if len(self._left) >= _DELTAS_KNOWN:
                self._left.clear()
            self._left[offset] = sorted(seqs_of(delta))
        return self._left[offset]
