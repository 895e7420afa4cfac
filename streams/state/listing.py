"""Read-only queries on a partition's table, from a connection of their own.

Within a partition created_at never falls from one seq to the next: a row's created_at is the partition clock at its
`Invoke`, and that clock never goes back. So newest first is seq downwards, and no index is needed for it.

Rows are looked at in short stretches, each a read transaction of its own: none holds up the write-ahead file, and
another thread may close the listing at any moment.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import contextmanager
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from streams.codec import decode, decode_invocation
from streams.engine.flows import flow_progress
from streams.model import Filter, Meta, Status
from streams.state import lists
from streams.state.candidates import Resting, candidates
from streams.state.columns import AMONG_SEQS, ROWS, SELECT_ROW, json_list, row_of
from streams.state.conditions import condition_of_filter
from streams.state.deltas import Endings
from streams.state.holders import holder
from streams.state.kept_flows import stored_flow
from streams.state.reads import row_by_id
from streams.state.schema import CODES, STATUSES
from streams.state.shared import whichever

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from streams.model import FlowProgress, Invocation, Row
    from streams.state.columns import Params
    from streams.state.conditions import Condition
    from streams.state.holders import HeldBy

_CACHE_KIB: Final = 4_096
_STATEMENTS: Final = 64
_BUSY_S: Final = 1.0
_FIRST_WIDTH: Final = 1_000
_INTERRUPT_S: Final = 0.001
_MOST_WIDTH: Final = 1 << 40
_MOST_REST_S: Final = 0.1
_STRETCH_S: Final = 0.004
"""Time that a stretch should take, seconds; its width follows."""
_MOST_CANDIDATES: Final = 5_000
_TOP: Final = 1 << 62
"""Above every seq."""
_ALL: Final = Filter(match_all=True)
# Asked for together, lowest and highest would cost a look at every row.
_BOUNDS: Final = "SELECT (SELECT min(seq) FROM rows), (SELECT max(seq) FROM rows)"

# Never NULL: SQLite sorts texts alone in half the time.
GROUPS: Final = {
    "service": "r.service",
    "handler": whichever("handler"),
    "deployment_id": f"coalesce(r.pinned, {whichever('deployment_id')}, '')",
}
"""SQL for the values by which rows are counted, by name; the empty text: none."""
_COLUMNS: Final = [each.split()[-1].rpartition(".")[2] for each in SELECT_ROW.removesuffix(" FROM ").split(",")]
_BLOBS: Final = [place for place, name in enumerate(_COLUMNS) if name in {"rest", "ending"}]
_AS_JSON: Final = ", ".join(f"hex({name})" if place in _BLOBS else name for place, name in enumerate(_COLUMNS))
# The sqlite3 module gives up the interpreter with every row, and a busy loop takes it for half a millisecond each time.
# So rows come together, as one text.
_PACKED: Final = f"SELECT json_group_array(json_array({_AS_JSON})) FROM"
_OF_INVOCATIONS: Final = ("handler", "deployment_id")
_decode_rows: Final = msgspec.json.Decoder(list[list[Any]]).decode

RowCounts = dict[str | None, dict[Status, int]]
"""Numbers of rows by status, by the value of the group; under None without a group, or without a value."""


class ListingClosedError(Exception):
    """The table is not this worker's any longer, or is being rebuilt."""


class ListedPage(NamedTuple):
    """Rows, newest first, and how far the page has come.

    `reached`: rows with this seq or a higher one were looked at. `next_at`: created_at of the first row below; 0 if
    `done`, which says that no row below can match.
    """

    rows: list[Row]
    reached: int
    next_at: int
    done: bool


class ListedRow(NamedTuple):
    """One row with all that belongs to it; `children`: the flow of its children."""

    row: Row
    invocation: Invocation
    held_by: HeldBy | None
    children: FlowProgress | None
    payload: bytes | None


class Listing:
    """The queries on one partition's file. For any thread; one query at a time.

    Every query raises `ListingClosedError` after `close`, and `sqlite3.Error` if the file cannot be read.

    Args:
        path: the partition's file.
        rest: how long a query rests after a stretch, in times of what that took; asked after each.
    """

    def __init__(self, path: Path, rest: Callable[[], float] = lambda: 0.0) -> None:
        self._path = path
        self.rest = rest
        self._lock = threading.Lock()
        self._closed = False
        self._db: sqlite3.Connection | None = None

    def close(self) -> None:
        """Close the file; a query under way ends at once."""
        self._closed = True
        while not self._lock.acquire(timeout=_INTERRUPT_S):
            # A statement that has not begun yet is not interrupted.
            if (db := self._db) is not None:
                db.interrupt()
        if self._db is not None:
            self._db.close()
            self._db = None
        self._lock.release()

    def page(self, filter_: Filter, below: int | None, limit: int, budget_s: float) -> ListedPage:
        """Up to `limit` matching rows with a seq below this one, or all, newest first; fewer when time is up.

        At least one stretch is looked at, so that each page comes further than the one before.
        """
        search = _Search(self, filter_, _TOP if below is None else below, budget_s)
        rows: list[Row] = []
        while len(rows) < limit and search.goes_on():
            rows += search.rows(limit - len(rows))
        return search.page(rows)

    def counts(self, filter_: Filter, group: str | None, budget_s: float) -> RowCounts | None:
        """The number of matching rows; None if time is up first. `group`: a name of `GROUPS`."""
        if group is None and filter_ == _ALL:
            return {None: {Status(name): count for name, count in self.meta().counts.items()}}
        search = _Search(self, filter_, _TOP, budget_s)
        found: RowCounts = {}
        while search.goes_on():
            for value, status, count in search.counts(group):
                counts = found.setdefault(value, {})
                counts[STATUSES[status]] = counts.get(STATUSES[status], 0) + count
        return found if search.done else None

    def meta(self) -> Meta:
        """The partition's record."""
        with self.reading() as db:
            return _meta(db)

    def one(self, invocation_id: str, *, payload: bool) -> tuple[ListedRow, ...]:
        """The row of an invocation, or nothing if there is none. `payload`: whether its payload is wanted."""
        with self.reading() as db:
            columns = row_by_id(db, invocation_id)
            if columns is None:
                return ()
            row = row_of(columns, Endings(db))
            invocation = decode_invocation(row.encoded)
            flow = stored_flow(db, (True, invocation_id))
            sql = "SELECT payload FROM payloads WHERE seq = ?"
            kept = db.execute(sql, (row.seq,)).fetchone() if payload else None
            children = None if flow is None else flow_progress(flow)
            return (ListedRow(row, invocation, holder(db, row, invocation), children, kept and bytes(kept[0])),)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection in a read transaction."""
        with self._lock:
            if self._closed:
                raise ListingClosedError
            if self._db is None:
                self._db = _opened(self._path)
            db = self._db
            try:
                db.execute("BEGIN")
                yield db
            except sqlite3.Error as error:
                if self._closed:
                    raise ListingClosedError from error
                raise
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")


class _Search:
    """A walk down a partition's rows, or down the candidates of a filter, stretch by stretch, until time is up."""

    def __init__(self, listing: Listing, filter_: Filter, below: int, budget_s: float) -> None:
        self._listing = listing
        self._filter = filter_
        # Times of creation become bounds of seqs.
        self._condition, self._joins = condition_of_filter(replace(filter_, created_from=None, created_until=None))
        self._ends_at = time.monotonic() + budget_s
        self._width = _FIRST_WIDTH
        self._looked = False
        self._resting = None if filter_.batch_ids is None else Resting(filter_.batch_ids)
        self.done = False
        with listing.reading() as db:
            lists.know(self._condition.lists)
            lowest, highest = db.execute(_BOUNDS).fetchone()
            self._lowest: int = 0 if lowest is None else lowest
            self._below: int = 0 if highest is None else min(below, highest + 1)
            if filter_.created_from is not None:
                self._lowest = max(self._lowest, _first_at(db, filter_.created_from, self._lowest, self._below))
            if filter_.created_until is not None:
                self._below = min(self._below, _first_at(db, filter_.created_until, self._lowest, self._below))
            self._by_index = candidates(db, filter_, self._below, self._resting) is not None
            self.done = self._below <= self._lowest or not _present(db, filter_)

    def goes_on(self) -> bool:
        """True while rows are left and time is; true once in any case."""
        return not self.done and (not self._looked or time.monotonic() < self._ends_at)

    def rows(self, most: int) -> list[Row]:
        """The matching rows of the next stretch, at most this number."""
        with self._listing.reading() as db:
            began = time.monotonic()
            where, low, last = self._stretch(db)
            sql = f"{_PACKED} ({SELECT_ROW} {ROWS} WHERE {where.sql} ORDER BY r.seq DESC LIMIT ?)"
            (packed,) = db.execute(sql, (*where.params, most)).fetchone()
            endings = Endings(db)
            rows = [row_of(_unpacked(columns), endings) for columns in _decode_rows(packed)]
        rows.sort(key=attrgetter("seq"), reverse=True)
        if len(rows) == most:
            low, last = rows[-1].seq, False
        self._came(low, last=last, began=began)
        return rows

    def counts(self, group: str | None) -> list[tuple[str | None, int, int]]:
        """(value, status, number) of the matching rows of the next stretch; `group`: a name of `GROUPS`."""
        rows = ROWS if self._joins or group in _OF_INVOCATIONS else "rows r"
        value, grouped = ("NULL", "") if group is None else (GROUPS[group], "GROUP BY 1")
        with self._listing.reading() as db:
            began = time.monotonic()
            codes = _present(db, self._filter)
            if not codes:
                self.done = True
                return []
            where, low, last = self._stretch(db)
            # Sorted by one column only, and by none without a group: comparing two takes twice as long.
            numbers = ", ".join(f"count(*) FILTER (WHERE r.status = {code}) n{code}" for code in codes)
            counted = f"SELECT {value} value, {numbers} FROM {rows} WHERE {where.sql} {grouped}"  # noqa: S608
            columns = ", ".join(["value", *(f"n{code}" for code in codes)])
            sql = f"SELECT json_group_array(json_array({columns})) FROM ({counted})"  # noqa: S608
            (packed,) = db.execute(sql, where.params).fetchone()
        self._came(low, last=last, began=began)
        each = ((of or None, zip(codes, found, strict=True)) for of, *found in _decode_rows(packed))
        return [(of, code, number) for of, numbers in each for code, number in numbers if number]

    def page(self, rows: list[Row]) -> ListedPage:
        """The page, with the place that was reached."""
        if not self.done:
            sql = "SELECT created_at FROM invocations WHERE seq >= ? AND seq < ? ORDER BY seq DESC LIMIT 1"
            with self._listing.reading() as db:
                found = db.execute(sql, (self._lowest, self._below)).fetchone()
            if found is not None:
                return ListedPage(rows, self._below, found[0], done=False)
        return ListedPage(rows, self._below, 0, done=True)

    def _stretch(self, db: sqlite3.Connection) -> tuple[Condition, int, bool]:
        """The condition on the rows of the next stretch, the lowest seq in it, and whether it is the last."""
        where: str
        params: tuple[Any, ...]
        if self._by_index and (found := candidates(db, self._filter, self._below, self._resting)) is not None:
            most = min(self._width, _MOST_CANDIDATES)
            seqs = list(islice(found, most))
            low = seqs[-1] if seqs else self._lowest
            where, params = AMONG_SEQS, (json_list(seqs),)
            last = len(seqs) < most
        else:
            self._by_index = False  # a batch that runs may have become too large for that
            low = max(self._lowest, self._below - self._width)
            where, params = "r.seq >= ? AND r.seq < ?", (low, self._below)
            last = low <= self._lowest
        condition = self._condition
        return condition._replace(sql=f"{where} AND {condition.sql}", params=(*params, *condition.params)), low, last

    def _came(self, low: int, *, last: bool, began: float) -> None:
        """Note that the rows down to `low` were looked at."""
        took = time.monotonic() - began
        self._below, self.done, self._looked = low, last, True
        if not last and (rest := self._listing.rest()):
            time.sleep(min(rest * took, _MOST_REST_S))
        if took < _STRETCH_S / 2:
            self._width = min(_MOST_WIDTH, self._width * (4 if took < _STRETCH_S / 8 else 2))
        elif took > _STRETCH_S:
            self._width = max(1, self._width // 2)


def _meta(db: sqlite3.Connection) -> Meta:
    (packed,) = db.execute("SELECT meta FROM state").fetchone()
    meta = packed and decode(packed)
    return meta if isinstance(meta, Meta) else Meta()


def _present(db: sqlite3.Connection, filter_: Filter) -> list[int]:
    """The codes of the filter's statuses, or of all, that some row has."""
    wanted, names = filter_.statuses, map(Status, _meta(db).counts)
    return sorted(CODES[status] for status in names if wanted is None or status in wanted)


def _unpacked(columns: list[Any]) -> Params:
    """The columns of a row from their JSON."""
    for place in _BLOBS:
        columns[place] = bytes.fromhex(columns[place]) or None
    return tuple(columns)


def _first_at(db: sqlite3.Connection, created_at: int, low: int, high: int) -> int:
    """The lowest seq from `low` to `high` from which no row was created before this time; found by halving."""
    sql = "SELECT created_at FROM invocations WHERE seq >= ? ORDER BY seq LIMIT 1"
    while low < high:
        middle = (low + high) // 2
        found = db.execute(sql, (middle,)).fetchone()
        if found is not None and found[0] < created_at:
            low = middle + 1
        else:
            high = middle
    return low


def _opened(path: Path) -> sqlite3.Connection:
    """A read-only connection that any thread may use, one at a time."""
    uri = f"file:{quote(str(path.absolute()))}?mode=ro"
    db = sqlite3.connect(
        uri, _BUSY_S, isolation_level=None, check_same_thread=False, cached_statements=_STATEMENTS, uri=True
    )
    db.execute("PRAGMA query_only = ON")
    db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    db.execute("PRAGMA temp_store = MEMORY")
    lists.add_function(db)
    return db
