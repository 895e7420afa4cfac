"""Columns of rows in SQLite: their SQL, and the binding of a row's fields."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import msgspec

from streams.codec.wire import write_long
from streams.model import Ending, Row
from streams.state import zones
from streams.state.labels import labels_text
from streams.state.schema import CODES, STATUSES
from streams.state.shared import JOIN, count_uses, whichever

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Sequence

    from streams.model import Invocation
    from streams.state.shared import Shared

_encode_ending: Final = msgspec.msgpack.Encoder().encode
_decode_ending: Final = msgspec.msgpack.Decoder(Ending).decode
_encode_json: Final = msgspec.json.Encoder().encode


def json_list(values: list[int] | list[str] | list[list[str]]) -> str:
    """The list as JSON text for `json_each`."""
    return _encode_json(values).decode()


def pack_ending(ending: Ending | None) -> bytes | None:
    """The ending in the form of its column."""
    return None if ending is None else _encode_ending(ending)


def unpack_ending(packed: bytes | None) -> Ending | None:
    """The ending of a column."""
    return None if packed is None else _decode_ending(packed)


_LENGTHS: Final = tuple(map(write_long, range(1025)))
"""Avro's lengths of ids, which have up to 256 characters of up to four bytes."""


def without_id(encoded: bytes, invocation_id: str) -> bytes:
    """An encoded `Invocation` without its leading id."""
    size = len(invocation_id) if invocation_id.isascii() else len(invocation_id.encode())
    return encoded[len(_LENGTHS[size]) + size :]


def with_id(rest: bytes, invocation_id: str) -> bytes:
    """The opposite of `without_id`."""
    name = invocation_id.encode()
    return b"".join((_LENGTHS[len(name)], name, rest))


Params = tuple[Any, ...]

_OF_ROW: Final = f"""SELECT i.id, {whichever("rest")} AS rest, r.seq, i.content_hash, r.status,
    r.attempt, r.last_report_no, i.created_at, r.modified_at, r.started_seq, r.pinned, r.scheduled_at, r.due_at,
    r.paused_from, r.held, r.ending, i.adopted, i.lease_ms, r.delta, r.object_key, i.flow_id, i.parent_id"""
SELECT_ROW: Final = f"{_OF_ROW} FROM "
PAYLOAD_BYTES: Final = "(SELECT length(payload) FROM payloads p WHERE p.seq = r.seq)"
"""SQL for the size of a row's payload; SQLite knows it without reading the payload."""
SELECT_WEIGHED: Final = f"{_OF_ROW}, {PAYLOAD_BYTES} FROM "
"""SQL for the columns of a row, then the size of its payload."""
ROWS: Final = f"rows r CROSS JOIN invocations i ON i.seq = r.seq {JOIN}"
"""SQL for both halves of rows; those in `rows` are looked up first."""
BY_ID: Final = f"CROSS JOIN rows r ON r.seq = i.seq {JOIN}"
"""The same join, for a query that begins with `invocations i`."""
AMONG_SEQS: Final = "r.seq IN (SELECT value FROM json_each(?))"
"""SQL for the rows with one of the seqs of a `json_list`."""

# Binding is most of the cost of a write. For a None, a bool or bytes the `sqlite3` module looks for an adapter, which
# takes several times as long as binding an int or a text. So NULL is passed as the empty text, which no column holds,
# and bytes as bytearray. The tuples say when columns are bound; few rows have those with `_IF_`.
_NULL: Final = ""
_ALWAYS: Final = ("status", "modified_at", "attempt", "last_report_no")
_AT_INSERT: Final = ("started_seq", "object_key")
_AT_INSERT_IF_GIVEN: Final = ("due_at", "scheduled_at", "pinned")
_AT_UPDATE: Final = ("started_seq", *_AT_INSERT_IF_GIVEN)
_IF_MARKED: Final = ("held", "paused_from", "batch_id", "ending")
_ONCE: Final = ("seq", "created_at", "content_hash", "id", "size")
_ONCE_IF_GIVEN: Final = ("lease_ms", "adopted", "flow_id", "parent_id")
_UNLESS_SHARED: Final = ("handler", "rest")
_UNLESS_SHARED_OR_NULL: Final = ("deployment_id", "labels")


def _inserting(table: str, fixed: Sequence[str], nullable: Sequence[str], **constants: str) -> str:
    names = ", ".join([*fixed, *nullable, *constants])
    values = ", ".join(["?"] * len(fixed) + [f"NULLIF(?, '{_NULL}')"] * len(nullable) + list(constants.values()))
    return f"INSERT INTO {table}({names}) VALUES ({values})"  # noqa: S608 - our own names


def _updating(marks: str) -> str:
    changes = [*(f"{name} = ?" for name in _ALWAYS), *(f"{name} = NULLIF(?, '{_NULL}')" for name in _AT_UPDATE)]
    return f"UPDATE rows SET {marks}, delta = NULL, {', '.join(changes)} WHERE seq = ?"  # noqa: S608 - our own names


_INSERT: Final = _inserting("rows", ("seq", "service", *_ALWAYS), _AT_INSERT, held="0")
_INSERT_ALL: Final = _inserting("rows", ("seq", "service", *_ALWAYS), (*_AT_INSERT, *_AT_INSERT_IF_GIVEN, *_IF_MARKED))
_UPDATE: Final = _updating("held = 0, paused_from = NULL, batch_id = NULL, ending = NULL")
_UPDATE_MARKED: Final = _updating(", ".join(f"{name} = NULLIF(?, '{_NULL}')" for name in _IF_MARKED))
_INSERT_SHARED: Final = _inserting("invocations", (*_ONCE, "shared"), ())
_INSERT_SHARED_ALL: Final = _inserting("invocations", (*_ONCE, "shared"), _ONCE_IF_GIVEN)
_INSERT_WHOLE: Final = _inserting("invocations", (*_ONCE, *_UNLESS_SHARED), _UNLESS_SHARED_OR_NULL)
_INSERT_WHOLE_ALL: Final = _inserting(
    "invocations", (*_ONCE, *_UNLESS_SHARED), (*_UNLESS_SHARED_OR_NULL, *_ONCE_IF_GIVEN)
)


def insert_rows(db: sqlite3.Connection, rows: Sequence[tuple[Row, Invocation]], shared: Shared) -> None:
    """Insert rows; fastest in order of seq."""
    plain: list[Params] = []
    others: list[Params] = []
    for row, invocation in rows:
        due_at, started_seq, scheduled_at = row.due_at, row.started_seq, row.scheduled_at
        values = (
            row.seq,
            invocation.service,
            CODES[row.status],
            row.modified_at,
            row.attempt,
            row.last_report_no,
            _NULL if started_seq is None else started_seq,
            row.object_key or _NULL,
        )
        if due_at is None and scheduled_at is None and row.deployment_id is None and not _is_marked(row):
            plain.append(values)
            continue
        times = (_NULL if due_at is None else due_at, _NULL if scheduled_at is None else scheduled_at)
        others.append((*values, *times, row.deployment_id or _NULL, *_marks(row)))
    db.executemany(_INSERT, plain)
    db.executemany(_INSERT_ALL, others)
    _insert_invocations(db, rows, shared)


def _insert_invocations(db: sqlite3.Connection, rows: Iterable[tuple[Row, Invocation]], shared: Shared) -> None:
    """The half of the rows that never changes."""
    sharing: list[Params] = []
    sharing_all: list[Params] = []
    whole: list[Params] = []
    whole_all: list[Params] = []
    kinds: list[tuple[int, int | zones.Marks]] = []
    sharers: dict[int, Invocation] = {}
    bits = zones.ZONE_BITS
    known = shared.numbers()
    for row, invocation in rows:
        invocation_id, encoded = row.invocation_id, row.encoded
        rest = without_id(encoded, invocation_id)
        flow_id, parent_id, lease_ms = invocation.flow_id, invocation.parent_id, row.lease_ms
        plain = flow_id is None and parent_id is None
        # A flow, a parent or an object is of few rows: nearly every part would be another.
        shareable = plain and invocation.object_key is None
        number = known.get(rest) or shared.meet(rest, invocation) if shareable else None
        size = len(encoded) + (len(invocation_id) if invocation_id.isascii() else len(invocation_id.encode()))
        values: Params = (row.seq, row.created_at, row.content_hash, invocation_id, size)
        if number is not None:
            kinds.append((row.seq >> bits, number))
            sharers[number] = invocation
            values = (*values, number)
        else:
            labels = labels_text(invocation.labels)
            kinds.append((row.seq >> bits, zones.marks_of(invocation.service, invocation.handler, labels)))
            whole_values = (invocation.handler, bytearray(rest), invocation.deployment_id or _NULL, labels or _NULL)
            values = (*values, *whole_values)
        if plain and lease_ms is None and not row.adopted:
            (whole if number is None else sharing).append(values)
            continue
        lease, adopted = _NULL if lease_ms is None else lease_ms, 1 if row.adopted else _NULL
        values = (*values, lease, adopted, flow_id or _NULL, parent_id or _NULL)
        (whole_all if number is None else sharing_all).append(values)
    db.executemany(_INSERT_SHARED, sharing)
    db.executemany(_INSERT_SHARED_ALL, sharing_all)
    db.executemany(_INSERT_WHOLE, whole)
    db.executemany(_INSERT_WHOLE_ALL, whole_all)
    _count_kinds(db, Counter(kinds), sharers)


def _count_kinds(
    db: sqlite3.Connection, kinds: Counter[tuple[int, int | zones.Marks]], sharers: dict[int, Invocation]
) -> None:
    """Count new rows by zone and part: the number of a shared one, of which `sharers` has a row, or marks."""
    uses: Counter[int] = Counter()
    marks: list[tuple[int, zones.Marks, int]] = []
    for (zone, kind), rows in kinds.items():
        if isinstance(kind, int):
            uses[kind] += rows
            sharer = sharers[kind]
            marks.append((zone, zones.marks_of(sharer.service, sharer.handler, labels_text(sharer.labels)), rows))
        else:
            marks.append((zone, kind, rows))
    count_uses(db, uses)
    zones.count_marks(db, marks)


def update_rows(db: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Write the changing half of rows, which then rest on no delta any longer; fastest in order of seq."""
    plain: list[Params] = []
    marked: list[Params] = []
    for row in rows:
        due_at, started_seq, scheduled_at = row.due_at, row.started_seq, row.scheduled_at
        values = (
            CODES[row.status],
            row.modified_at,
            row.attempt,
            row.last_report_no,
            _NULL if started_seq is None else started_seq,
            _NULL if due_at is None else due_at,
            _NULL if scheduled_at is None else scheduled_at,
            row.deployment_id or _NULL,
            row.seq,
        )
        if _is_marked(row):
            marked.append((*_marks(row), *values))
        else:
            plain.append(values)
    db.executemany(_UPDATE, plain)
    db.executemany(_UPDATE_MARKED, marked)


def delete_rows(db: sqlite3.Connection, seqs: str) -> list[int]:
    """Delete both halves of rows, and their payloads; `seqs`: a `json_list`. Returns the seqs that had a payload."""
    gone = "WHERE seq IN (SELECT value FROM json_each(?))"
    columns = f"r.seq >> {zones.ZONE_BITS}, i.shared, r.service, {whichever('handler')}, {whichever('labels')}"
    found = db.execute(f"SELECT {columns} FROM {ROWS} WHERE {AMONG_SEQS}", (seqs,)).fetchall()  # noqa: S608
    kinds = Counter(found)
    zones.count_marks(db, [(zone, zones.marks_of(*kind), -rows) for (zone, _, *kind), rows in kinds.items()])
    uses: Counter[int] = Counter()
    for (_, number, *_), rows in kinds.items():
        if number is not None:
            uses[number] -= rows
    count_uses(db, uses)
    db.execute(f"DELETE FROM rows {gone}", (seqs,))  # noqa: S608 - our own names
    db.execute(f"DELETE FROM invocations {gone}", (seqs,))  # noqa: S608 - our own names
    return [seq for (seq,) in db.execute(f"DELETE FROM payloads {gone} RETURNING seq", (seqs,))]  # noqa: S608


def _is_marked(row: Row) -> bool:
    return row.ending is not None or row.paused_from is not None or row.held


def _marks(row: Row) -> Params:
    """Values of `_IF_MARKED`."""
    ending, paused_from = row.ending, row.paused_from
    return (
        1 if row.held else 0,
        _NULL if paused_from is None else CODES[paused_from],
        _NULL if ending is None else ending.cause.batch_id or _NULL,
        _NULL if ending is None else bytearray(_encode_ending(ending)),
    )


def row_of(columns: Params, delta_ending: Callable[[int], Ending | None]) -> Row:
    """A row from the columns of `SELECT_ROW`; `delta_ending` gives the ending of a delta by its offset."""
    (
        invocation_id,
        rest,
        seq,
        content_hash,
        status,
        attempt,
        last_report_no,
        created_at,
        modified_at,
        started_seq,
        pinned,
        scheduled_at,
        due_at,
        paused_from,
        held,
        ending,
        adopted,
        lease_ms,
        delta,
        object_key,
        flow_id,
        parent_id,
    ) = columns
    return Row(
        invocation_id,
        with_id(rest, invocation_id),
        seq,
        content_hash,
        STATUSES[status],
        attempt,
        last_report_no,
        created_at,
        modified_at,
        started_seq,
        pinned,
        scheduled_at,
        due_at,
        None if paused_from is None else STATUSES[paused_from],
        bool(held),
        unpack_ending(ending) if delta is None else delta_ending(delta),
        adopted is not None,
        lease_ms,
        delta,
        object_key,
        flow_id,
        parent_id,
    )
