"""Queries of a table besides the pages of a batch: rows by id, inboxes, what is due, what is old."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from streams.model import Action, Status
from streams.state.columns import AMONG_SEQS, BY_ID, ROWS, SELECT_ROW, SELECT_WEIGHED, Params, json_list
from streams.state.schema import FIRST_TERMINAL, HOLDS, LEFT, PAUSED, WAITS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from streams.engine.answers import Object, Page
    from streams.state.deltas import OldDeltas

_DUE: Final = f"due_at IS NOT NULL AND held = 0 AND status <> {PAUSED}"
_ENDED: Final = f"status >= {FIRST_TERMINAL} AND delta IS NULL"


def rows_by_ids(db: sqlite3.Connection, ids: list[str]) -> list[Params]:
    """Columns of the rows with these ids, in one statement."""
    sql = f"{SELECT_ROW} json_each(?) j CROSS JOIN invocations i ON i.id = j.value {BY_ID}"
    return db.execute(sql, (json_list(ids),)).fetchall()


def row_by_id(db: sqlite3.Connection, invocation_id: str) -> Params | None:
    """Columns of one row."""
    found: Params | None = db.execute(f"{SELECT_ROW} invocations i {BY_ID} WHERE i.id = ?", (invocation_id,)).fetchone()
    return found


def in_order(db: sqlite3.Connection, ids: Sequence[str]) -> tuple[str, ...]:
    """These ids in order of their rows' seqs, in one statement; those without a row come last, in their own order."""
    found = "json_each(?) j LEFT JOIN invocations i ON i.id = j.value ORDER BY i.seq IS NULL, i.seq, j.key"
    return tuple([each for (each,) in db.execute(f"SELECT j.value FROM {found}", (json_list(list(ids)),)).fetchall()])  # noqa: S608 - our own names


def rows_by_seqs(db: sqlite3.Connection, seqs: list[int]) -> Iterator[Params]:
    """Columns of the rows with these seqs, in order of seq; read one by one."""
    return db.execute(f"{SELECT_ROW} {ROWS} WHERE {AMONG_SEQS} ORDER BY r.seq", (json_list(seqs),))


def weighed_by_seqs(db: sqlite3.Connection, seqs: list[int]) -> Iterator[Params]:
    """Columns of the rows with these seqs, and their payloads' sizes, in order of seq; read one by one."""
    return db.execute(f"{SELECT_WEIGHED} {ROWS} WHERE {AMONG_SEQS} ORDER BY r.seq", (json_list(seqs),))


def written_row_by_row(db: sqlite3.Connection, page: Page, action: Action) -> list[int]:
    """Seqs of the rows that `Page.rows` may contain."""
    match action:
        case Action.PURGE | Action.RESTART:
            return [row.seq for row in page.started]
        case Action.RESUME | Action.PAUSE:
            started = [row.seq for row in page.started if row.status is Status.PAUSED]
            return [*page.unstarted.get(Status.PAUSED, ()), *started]
        case Action.CANCEL:
            asked = [row.seq for row in page.started if row.status is Status.CANCELLING]
            sql = f"SELECT seq FROM rows r WHERE {LEFT} AND {AMONG_SEQS}"  # noqa: S608 - our own names
            return [seq for (seq,) in db.execute(sql, (json_list(asked),))] if asked else []
        case _:
            return []


def inboxes(db: sqlite3.Connection, objects: Sequence[Object], without: list[int]) -> list[tuple[bool, int | None]]:
    """For each object whether a row occupies it, or the first seq that waits for it. Rows in `without` do not count."""
    theirs = """FROM rows WHERE service = json_extract(j.value, '$[0]')
        AND object_key = json_extract(j.value, '$[1]') AND seq NOT IN (SELECT value FROM json_each(?2)) AND """
    sql = f"""SELECT CASE WHEN EXISTS (SELECT 1 {theirs} {HOLDS}) THEN -1
        ELSE (SELECT seq {theirs} {WAITS} ORDER BY seq LIMIT 1) END
        FROM json_each(?1) j ORDER BY j.key"""  # noqa: S608 - our own names
    found = db.execute(sql, (json_list([list(each) for each in objects]), json_list(without))).fetchall()
    return [(True, None) if seq == -1 else (False, seq) for (seq,) in found]


def held_rows(db: sqlite3.Connection, after: int, limit: int) -> Iterator[Params]:
    """As `weighed_by_seqs`, of held rows with `seq > after`, in order of seq."""
    rows = ROWS.replace("rows r", "rows r INDEXED BY rows_held")
    sql = f"{SELECT_WEIGHED} {rows} WHERE r.held = 1 AND r.seq > ? ORDER BY r.seq LIMIT ?"
    return db.execute(sql, (after, limit))


def any_held(db: sqlite3.Connection) -> bool:
    """True if any row is held."""
    return db.execute("SELECT 1 FROM rows INDEXED BY rows_held WHERE held = 1 LIMIT 1").fetchone() is not None


def due_rows(db: sqlite3.Connection, until: int, limit: int) -> Iterator[Params]:
    """The same of rows with `due_at <= until` that are neither paused nor held, in order of due_at, then seq."""
    sql = f"{SELECT_WEIGHED} {ROWS} WHERE {_DUE} AND due_at <= ? ORDER BY due_at, r.seq LIMIT ?"
    return db.execute(sql, (until, limit))


def next_due(db: sqlite3.Connection) -> int | None:
    """The earliest due_at of such a row."""
    found = db.execute(f"SELECT due_at FROM rows WHERE {_DUE} ORDER BY due_at LIMIT 1").fetchone()  # noqa: S608
    return None if found is None else int(found[0])


class EndedRow(NamedTuple):
    """All that is needed to forget a row."""

    modified_at: int
    seq: int
    invocation_id: str
    status: int
    delta: int | None


def ended_rows(db: sqlite3.Connection, old: OldDeltas, before: int, limit: int) -> list[EndedRow]:
    """Terminal rows with `modified_at < before`, in order of modified_at, then seq."""
    columns = f"SELECT r.modified_at, r.seq, i.id, r.status, r.delta FROM {ROWS}"  # noqa: S608 - our own names
    sql = f"{columns} WHERE {_ENDED} AND modified_at < ? ORDER BY 1, 2 LIMIT ?"
    own = db.execute(sql, (before, limit)).fetchall()
    paged: list[tuple[int, int]] = []
    for modified_at, offset in old.each(before, ends=True):
        if len(paged) >= limit and modified_at > paged[-1][0]:
            break
        ended = (seq for seq, status in old.resting(offset, limit) if status >= FIRST_TERMINAL)
        paged += [(modified_at, seq) for seq in islice(ended, limit)]
    seqs = [seq for _, seq in sorted(paged)[:limit]]
    own += db.execute(f"{columns} WHERE {AMONG_SEQS}", (json_list(seqs),)).fetchall()
    return [EndedRow(*row) for row in sorted(own)[:limit]]


def rows_on_deltas(db: sqlite3.Connection, old: OldDeltas, before: int, limit: int) -> Iterator[Params]:
    """The same of rows that rest on deltas with `modified_at < before`: by age of the delta, then in order of seq."""
    left = limit
    for _, offset in old.each(before, ends=False):
        seqs = [seq for seq, _ in islice(old.resting(offset, limit), left)]
        left -= len(seqs)
        yield from weighed_by_seqs(db, seqs)
        if not left:
            return


def anything_to_forget(db: sqlite3.Connection, ended_before: int, deltas_before: int) -> bool:
    """True if `ended_rows` or `rows_on_deltas` would find something."""
    sql = f"""SELECT EXISTS (SELECT 1 FROM rows WHERE {_ENDED} AND modified_at < ?)
        OR EXISTS (SELECT 1 FROM deltas WHERE modified_at < ? AND ends)
        OR EXISTS (SELECT 1 FROM deltas WHERE modified_at < ?)"""  # noqa: S608
    (found,) = db.execute(sql, (ended_before, ended_before, deltas_before)).fetchone()
    return bool(found)
