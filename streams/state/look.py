"""The rows that a page looks at: a window of seqs, the rows of flows, or those with the page's ids."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from streams.state import zones
from streams.state.columns import AMONG_SEQS, BY_ID, json_list

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from streams.engine.answers import PageQuery
    from streams.state.conditions import Condition

_WEIGHT: Final = itemgetter(2)


class Look:
    """One page's look at rows, as `PageQuery` says.

    Args:
        db: where the rows are.
        query: the page.
        condition: what matched rows satisfy.
        columns: SQL for what is wanted of them: seq first, weight third.
    """

    found: list[Any]
    """The columns of each matched row, in order of seq."""
    scanned: int
    """Number of rows looked at or passed over."""
    looks: int
    """What that counts towards `max_scanned`."""
    cursor: int
    """The last seq that is done."""
    last: bool
    """True if no row is left below the cut-off."""
    between: int
    """Number of rows passed over between matched ones."""
    weight: int
    """Weight of the matched rows."""

    def __init__(self, db: sqlite3.Connection, query: PageQuery, condition: Condition, columns: str) -> None:
        self.found, self.cursor, self.last = [], query.cursor, True
        self.scanned = self.looks = self.between = self.weight = 0
        self._behind = 0
        self._step = query.max_matched
        self._db = db
        self._query = query
        self._params = condition.params
        self._where = condition.sql
        self._columns = columns

    def at_window(self) -> None:
        """Look at the rows behind the page's cursor."""
        window = f"r.seq > ? AND r.seq <= ? AND {self._where}"
        select = f"SELECT {self._columns} FROM rows r WHERE {window} ORDER BY r.seq LIMIT ?"  # noqa: S608 - our own names
        for part in zones.stretches(self._db, self._query):
            if part.passed:
                self._behind += part.passed
                self._went_on(part.passed, zones.PASSED_LOOKS, part.below - 1)
            else:
                self._at_stretch(select, part.after, part.below)
            if self._full:
                more = "SELECT EXISTS (SELECT 1 FROM rows WHERE seq > ? AND seq < ?)"
                self.last = not self._db.execute(more, (self.cursor, self._query.cutoff)).fetchone()[0]
                return

    def at_seqs(self, seqs: Iterator[int]) -> None:
        """Look at the rows with these seqs, which rise."""
        where = f"{AMONG_SEQS} AND {self._where}"
        select = f"SELECT {self._columns} FROM rows r WHERE {where} ORDER BY r.seq LIMIT ?"  # noqa: S608 - our own names
        ahead = False
        while not self._full:
            looked = list(islice(seqs, self._next_step()))
            if not looked:
                return
            rows, full = self._matched(select, json_list(looked))
            if full:
                place = bisect_left(looked, rows[-1][0]) + 1
                looked, ahead = looked[:place], place < len(looked)
            self._went_on(len(looked), len(looked), looked[-1])
        self.last = not ahead and next(seqs, None) is None

    def at_ids(self, ids: tuple[str, ...]) -> None:
        """Look at the rows with these ids, all of them."""
        listed = "id IN (SELECT value FROM json_each(?)) AND i.seq < ?"
        params = (json_list(list(ids)), self._query.cutoff)
        # To count takes one half alone: `BY_ID` would look at all of a row.
        count = f"SELECT count(*), max(seq) FROM invocations i WHERE {listed}"  # noqa: S608 - our own names
        size, end = self._db.execute(count, params).fetchone()
        where = f"{listed} AND {self._where}"
        sql = f"SELECT {self._columns} FROM invocations i {BY_ID} WHERE {where} ORDER BY r.seq"  # noqa: S608 - our own names
        self.found = self._db.execute(sql, (*params, *self._params)).fetchall()
        self.weight = sum(map(_WEIGHT, self.found))
        self._went_on(size, size, self.cursor if end is None else end)

    @property
    def _full(self) -> bool:
        query = self._query
        done = self.looks >= query.max_scanned or self.weight >= query.max_bytes
        return done or len(self.found) >= query.max_matched

    def _next_step(self) -> int:
        """Number of rows to look at next: twice as many as before.

        The first step is long enough if all rows match, so a page dense with matches costs little more than one pass
        over its rows.
        """
        step = min(self._step, self._query.max_scanned - self.looks)
        self._step = 2 * step
        return step

    def _at_stretch(self, select: str, after: int, below: int) -> None:
        while not self._full:
            size, end = self._stretch(after, below, self._next_step())
            if not size:
                return
            rows, full = self._matched(select, after, end)
            if full and rows[-1][0] < end:
                end = rows[-1][0]
                size = self._count(after, end)
            self._went_on(size, size, end)
            after = end

    def _matched(self, select: str, *params: int | str) -> tuple[list[Any], bool]:
        """Take the matched rows of a step; returns them, and whether the page ends with the last of them."""
        wanted, left = self._query.max_matched - len(self.found), self._query.max_bytes - self.weight
        rows = _as_far_as(self._db.execute(select, (*params, *self._params, wanted)).fetchall(), left)
        if rows:
            self.between += self._behind if self.found else 0
            self._behind = 0
        weight = sum(map(_WEIGHT, rows))
        self.found += rows
        self.weight += weight
        return rows, len(rows) == wanted or weight >= left

    def _went_on(self, rows: int, looks: int, cursor: int) -> None:
        self.scanned, self.looks, self.cursor = self.scanned + rows, self.looks + looks, cursor

    def _stretch(self, after: int, below: int, size: int) -> tuple[int, int]:
        """Number of rows, at most `size`, with `after < seq < below`, and the seq of the last (`after` if none)."""
        nth = "SELECT seq FROM rows WHERE seq > ? AND seq < ? ORDER BY seq LIMIT 1 OFFSET ?"
        found = self._db.execute(nth, (after, below, size - 1)).fetchone()
        if found is not None:
            return size, found[0]
        last = "SELECT seq FROM rows WHERE seq > ? AND seq < ? ORDER BY seq DESC LIMIT 1"
        found = self._db.execute(last, (after, below)).fetchone()
        return (0, after) if found is None else (self._count(after, found[0]), found[0])

    def _count(self, after: int, end: int) -> int:
        """Number of rows with `after < seq <= end`."""
        found = self._db.execute("SELECT count(*) FROM rows WHERE seq > ? AND seq <= ?", (after, end)).fetchone()
        return int(found[0])


def _as_far_as(rows: list[Any], left: int) -> list[Any]:
    """The first of the rows, up to the one that brings their weight to `left`."""
    if sum(map(_WEIGHT, rows)) < left:
        return rows
    reached = list(accumulate(map(_WEIGHT, rows)))
    return rows[: bisect_left(reached, left) + 1]
