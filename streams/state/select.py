"""The pages that a batch's filter selects."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from streams.engine.answers import Page, StartedRow
from streams.engine.weights import RECORD, SEQ, SIGNAL
from streams.model import ENDING_ACTIONS, ON_ENDED, Action
from streams.state import lists
from streams.state.columns import AMONG_SEQS, PAYLOAD_BYTES, ROWS, json_list, with_id
from streams.state.conditions import Condition, condition_of
from streams.state.ended import ended_at_once, service_column
from streams.state.groups import grouped_among, parents_among, rows_of_flows
from streams.state.look import Look
from streams.state.schema import FIRST_STARTED, FIRST_TERMINAL, LEFT, PAUSED, STATUSES, WAITS
from streams.state.shared import whichever

if TYPE_CHECKING:
    import sqlite3
    from collections import Counter
    from collections.abc import Callable

    from streams.engine.answers import Object, PageQuery

_STARTED: Final = f"(status >= {FIRST_STARTED} AND (status <> {PAUSED} OR paused_from >= {FIRST_STARTED}))"
_CODE: Final = itemgetter(1)
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
    look = Look(db, query, condition, _columns(query))
    if flow_rows is not None:
        look.at_seqs(flow_rows)
    elif query.ids is not None:
        look.at_ids(query.ids)
    else:
        look.at_window()
    found, weight = look.found, look.weight
    if query.ids is not None and len(query.ids) > 1 and weight > query.max_bytes:
        return Page(look.scanned, look.cursor, look.last, {}, [], [], weight=weight), None
    listed = flow_rows is not None or query.ids is not None or look.between > len(found)
    window = None if listed or not found else _window_of(query, condition, found)
    matched = Condition(AMONG_SEQS, (json_list([row[0] for row in found]),)) if window is None else window.condition
    codes = dict.fromkeys(map(_CODE, found))
    unstarted = {STATUSES[code]: [each[0] for each in found if each[1] == code] for code in codes if code is not None}
    started = _started(db, matched, counted_by) if None in codes else []
    samples = _ids_of(db, [row[0] for row in found[: query.samples]])
    objects = _objects_of(db, query.action, matched) if found else ()
    seqs = [row[0] for row in found] if query.action in ENDING_ACTIONS else []
    grouped, parents = grouped_among(db, seqs, dense := window is not None), parents_among(db, seqs, dense)
    at = look.scanned, look.cursor, look.last
    page = Page(*at, unstarted, started, samples, (), objects, weight, grouped, parents, look.looks)
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


def _window_of(query: PageQuery, condition: Condition, found: list[Any]) -> Window:
    sql = f"r.seq >= ? AND r.seq <= ? AND {condition.sql}"
    bounds = found[0][0], found[-1][0]
    return Window(Condition(sql, (*bounds, *condition.params)), len(found), ended_at_once(query, found))


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


def _ids_of(db: sqlite3.Connection, seqs: list[int]) -> list[str]:
    """Ids of these rows, in order of seq."""
    if not seqs:
        return []
    sql = "SELECT id FROM invocations WHERE seq IN (SELECT value FROM json_each(?)) ORDER BY seq"
    return [invocation_id for (invocation_id,) in db.execute(sql, (json_list(seqs),)).fetchall()]
