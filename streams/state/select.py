"""The pages that a batch's filter selects."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from streams.engine.answers import Page, StartedRow
from streams.engine.weights import RECORD, SEQ, SIGNAL
from streams.model import ENDING_ACTIONS, ON_ENDED, Action
from streams.state import lists
from streams.state.columns import AMONG_SEQS, BY_ID, PAYLOAD_BYTES, ROWS, json_list, with_id
from streams.state.conditions import Condition, condition_of
from streams.state.ended import ended_at_once, service_column
from streams.state.groups import grouped_among, parents_among, rows_of_flows
from streams.state.schema import FIRST_STARTED, FIRST_TERMINAL, LEFT, PAUSED, STATUSES, WAITS
from streams.state.shared import whichever

if TYPE_CHECKING:
    import sqlite3
    from collections import Counter
    from collections.abc import Callable, Iterator

    from streams.engine.answers import Object, PageQuery

_STARTED: Final = f"(status >= {FIRST_STARTED} AND (status <> {PAUSED} OR paused_from >= {FIRST_STARTED}))"
_CODE: Final = itemgetter(1)
_WEIGHT: Final = itemgetter(2)
_ENCODED: Final = "(SELECT i.size FROM invocations i WHERE i.seq = r.seq)"
"""SQL for the bytes of an encoded invocation and of its id as a key."""
_PINNED: Final = "coalesce(length(CAST(r.pinned AS BLOB)), 0)"
_WHOLE: Final = f"{RECORD + SIGNAL} + 2 * {_ENCODED} + {_PINNED}"


class Window(NamedTuple):
    """A page's window: a condition that exactly its matched rows satisfy, and their number.

    It is valid until one of these rows is changed. `ending`: see `ended_at_once`.
    """

    condition: Condition
    matched: int
    ending: Counter[str]


def select_page(
    db: sqlite3.Connection, query: PageQuery, counted_by: Callable[[int | None, bytes | None], str | None]
) -> tuple[Page, Window | None]:
    """One page of matching rows, exactly as `PageQuery` says; and its window, unless it is a page of ids.

    `counted_by` returns the batch that counts a row as pending, given the row's delta and packed ending.
    """
    condition = condition_of(query.filter, query.action, query.cutoff)
    lists.know(condition.lists)
    flow_rows = None if query.ids is not None else rows_of_flows(db, query)
    if flow_rows is not None:
        found, scanned, cursor, last = _by_seqs(db, query, condition, flow_rows)
    else:
        look = _window if query.ids is None else _by_ids
        found, scanned, cursor, last = look(db, query, condition)
    weight = sum(map(_WEIGHT, found))
    if query.ids is not None and len(query.ids) > 1 and weight > query.max_bytes:
        return Page(scanned, cursor, last, {}, [], [], weight=weight), None
    listed = flow_rows is not None or query.ids is not None
    window = None if listed else _window_of(query, condition, cursor, found)
    matched = Condition(AMONG_SEQS, (json_list([row[0] for row in found]),)) if window is None else window.condition
    codes = dict.fromkeys(map(_CODE, found))
    unstarted = {STATUSES[code]: [each[0] for each in found if each[1] == code] for code in codes if code is not None}
    started = _started(db, matched, counted_by) if None in codes else []
    samples = _ids_of(db, [row[0] for row in found[: query.samples]])
    objects = _objects_of(db, query.action, matched) if found else ()
    seqs = [row[0] for row in found] if query.action in ENDING_ACTIONS else []
    grouped, parents = grouped_among(db, seqs, dense := window is not None), parents_among(db, seqs, dense)
    page = Page(scanned, cursor, last, unstarted, started, samples, (), objects, weight, grouped, parents)
    return page, window


def _columns(query: PageQuery) -> str:
    """Columns of a matched row: seq, status (NULL if an executor may know the row), weight, `service_column`.

    Only our own numbers go into the statement, which is the same from page to page. Weight: `weights.of_matched`.
    """
    weights = [f"WHEN {_STARTED} THEN {SEQ + SIGNAL + int(query.each)} + {_ENCODED}"]
    if query.action is Action.PAUSE:
        weights.insert(0, f"WHEN status = {PAUSED} THEN {RECORD} + {_ENCODED} + {_PINNED}")
    elif query.action in {Action.RESUME, Action.RESTART}:
        which = f"status >= {FIRST_TERMINAL}" if query.action is Action.RESTART else f"status = {PAUSED}"
        weights.insert(0, f"WHEN {which} THEN {_WHOLE} + coalesce({PAYLOAD_BYTES}, 0)")
    elif query.action is Action.CANCEL:
        weights.insert(0, f"WHEN {LEFT} THEN {_WHOLE} + {3 * int(query.each)}")
    weight = f"CASE {' '.join(weights)} ELSE {SEQ} END"
    return f"r.seq, CASE WHEN {_STARTED} THEN NULL ELSE status END, {weight}, {service_column(query)}"


def _started(
    db: sqlite3.Connection, matched: Condition, counted_by: Callable[[int | None, bytes | None], str | None]
) -> list[StartedRow]:
    """The matched rows that executors may know."""
    columns = f"SELECT r.seq, i.id, {whichever('rest')}, r.status, r.attempt, r.delta, r.ending"
    sql = f"{columns} FROM {ROWS} WHERE {matched.sql} AND {_STARTED} ORDER BY r.seq"
    started = []
    for seq, invocation_id, rest, status, attempt, delta, ending in db.execute(sql, matched.params).fetchall():
        counted = counted_by(delta, ending) if delta is not None or ending is not None else None
        started.append(StartedRow(seq, invocation_id, with_id(rest, invocation_id), STATUSES[status], attempt, counted))
    return started


def _window_of(query: PageQuery, condition: Condition, cursor: int, found: list[Any]) -> Window:
    sql = f"r.seq > ? AND r.seq <= ? AND {condition.sql}"
    return Window(Condition(sql, (query.cursor, cursor, *condition.params)), len(found), ended_at_once(query, found))


def _objects_of(db: sqlite3.Connection, action: Action, matched: Condition) -> tuple[Object, ...]:
    """Objects of the matched rows, as `Page.objects` says."""
    if action in (Action.RESUME, *ON_ENDED) or not _anything_waits(db):
        return ()
    sql = "SELECT DISTINCT service, object_key FROM rows r WHERE object_key IS NOT NULL AND "
    return tuple(db.execute(f"{sql} {matched.sql} ORDER BY 1, 2", matched.params).fetchall())


def _anything_waits(db: sqlite3.Connection) -> bool:
    """True if any object has a row in its inbox."""
    # Every service sorts after the empty text: the index is entered at its first row instead of being scanned.
    first = f"SELECT 1 FROM rows WHERE service > '' AND {WAITS} LIMIT 1"  # noqa: S608 - our own names
    return db.execute(first).fetchone() is not None


def _window(db: sqlite3.Connection, query: PageQuery, condition: Condition) -> tuple[list[Any], int, int, bool]:
    """Matched rows of the window, number of rows looked at, the seq of the last of them, and whether none is left.

    The window is read in stretches, each twice as long as the one before. The first is long enough if all rows match,
    so a page dense with matches costs little more than one pass over its rows.
    """
    window = "r.seq > ? AND r.seq <= ?"
    select = f"SELECT {_columns(query)} FROM rows r WHERE {window} AND {condition.sql} ORDER BY r.seq LIMIT ?"  # noqa: S608
    found: list[Any] = []
    scanned, cursor, step, left = 0, query.cursor, query.max_matched, query.max_bytes
    while len(found) < query.max_matched and scanned < query.max_scanned and left > 0:
        step = min(step, query.max_scanned - scanned)
        size, end = _stretch(db, cursor, query.cutoff, step)
        if not size:
            return found, scanned, cursor, True
        wanted = query.max_matched - len(found)
        rows = _as_far_as(db.execute(select, (cursor, end, *condition.params, wanted)).fetchall(), left)
        found += rows
        left -= sum(map(_WEIGHT, rows))
        if (len(rows) == wanted or left <= 0) and rows[-1][0] < end:
            end = rows[-1][0]
            size = _count(db, cursor, end)
        scanned, cursor, step = scanned + size, end, 2 * step
    more = "SELECT EXISTS (SELECT 1 FROM rows WHERE seq > ? AND seq < ?)"
    return found, scanned, cursor, not db.execute(more, (cursor, query.cutoff)).fetchone()[0]


def _as_far_as(rows: list[Any], left: int) -> list[Any]:
    """The first of the rows, up to the one that brings their weight to `left`."""
    if sum(map(_WEIGHT, rows)) < left:
        return rows
    reached = list(accumulate(map(_WEIGHT, rows)))
    return rows[: bisect_left(reached, left) + 1]


def _stretch(db: sqlite3.Connection, after: int, below: int, size: int) -> tuple[int, int]:
    """Number of rows, at most `size`, with `after < seq < below`, and the seq of the last one (`after` if none)."""
    nth = "SELECT seq FROM rows WHERE seq > ? AND seq < ? ORDER BY seq LIMIT 1 OFFSET ?"
    found = db.execute(nth, (after, below, size - 1)).fetchone()
    if found is not None:
        return size, found[0]
    last = "SELECT seq FROM rows WHERE seq > ? AND seq < ? ORDER BY seq DESC LIMIT 1"
    found = db.execute(last, (after, below)).fetchone()
    return (0, after) if found is None else (_count(db, after, found[0]), found[0])


def _count(db: sqlite3.Connection, after: int, end: int) -> int:
    """Number of rows with `after < seq <= end`."""
    found = db.execute("SELECT count(*) FROM rows WHERE seq > ? AND seq <= ?", (after, end)).fetchone()
    return int(found[0])


def _by_seqs(
    db: sqlite3.Connection, query: PageQuery, condition: Condition, seqs: Iterator[int]
) -> tuple[list[Any], int, int, bool]:
    """As `_window`, of the rows with these seqs, which rise: in stretches, too."""
    select = f"SELECT {_columns(query)} FROM rows r WHERE {AMONG_SEQS} AND {condition.sql} ORDER BY r.seq LIMIT ?"  # noqa: S608
    found: list[Any] = []
    scanned, cursor, step, left = 0, query.cursor, query.max_matched, query.max_bytes
    ahead = False
    while len(found) < query.max_matched and scanned < query.max_scanned and left > 0:
        step = min(step, query.max_scanned - scanned)
        looked = list(islice(seqs, step))
        if not looked:
            return found, scanned, cursor, True
        wanted = query.max_matched - len(found)
        rows = _as_far_as(db.execute(select, (json_list(looked), *condition.params, wanted)).fetchall(), left)
        found += rows
        left -= sum(map(_WEIGHT, rows))
        if len(rows) == wanted or left <= 0:
            place = bisect_left(looked, rows[-1][0]) + 1
            looked, ahead = looked[:place], place < len(looked)
        scanned, cursor, step = scanned + len(looked), looked[-1], 2 * step
    return found, scanned, cursor, not ahead and next(seqs, None) is None


def _by_ids(db: sqlite3.Connection, query: PageQuery, condition: Condition) -> tuple[list[Any], int, int, bool]:
    """Matched rows of the page's ids, number of ids with a row below the cut-off, the seq of the last one, and True."""
    listed = "id IN (SELECT value FROM json_each(?)) AND i.seq < ?"
    params = (json_list(list(query.ids or ())), query.cutoff)
    # To count takes one half alone: `BY_ID` would look at all of a row.
    scanned, cursor = db.execute(f"SELECT count(*), max(seq) FROM invocations i WHERE {listed}", params).fetchone()  # noqa: S608
    sql = f"SELECT {_columns(query)} FROM invocations i {BY_ID} WHERE {listed} AND {condition.sql} ORDER BY r.seq"  # noqa: S608
    rows = db.execute(sql, (*params, *condition.params)).fetchall()
    return rows, scanned, query.cursor if cursor is None else cursor, True


def _ids_of(db: sqlite3.Connection, seqs: list[int]) -> list[str]:
    """Ids of these rows, in order of seq."""
    if not seqs:
        return []
    sql = "SELECT id FROM invocations WHERE seq IN (SELECT value FROM json_each(?)) ORDER BY seq"
    return [invocation_id for (invocation_id,) in db.execute(sql, (json_list(seqs),)).fetchall()]
