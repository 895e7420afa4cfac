"""Rows that rest on old page deltas, found without another look at rows that have left them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streams.codec import decode
from streams.model import PageDelta
from streams.state.deltas import seqs_of
from streams.state.errors import ChangelogError
from streams.state.mapping import AMONG_SEQS, json_list

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

_DELTAS_AT_ONCE: Final = 16
_DELTAS_KNOWN: Final = 8


class OldDeltas:
    """The deltas of a table, oldest first, and the rows that may still rest on them.

    A row that has left a delta never comes back to it, so rows found to be gone are skipped from then on. A delta of
    20,000 rows is forgotten in many parts, and each costs only the rows it handles. After a rollback, rows may be back:
    `clear`.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._left: dict[int, list[int]] = {}

    def clear(self) -> None:
        """Forget which rows have left: some may be back."""
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
