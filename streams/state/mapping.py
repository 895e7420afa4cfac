"""Between records, their changelog keys and their columns in SQLite."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from itertools import count, repeat
from operator import is_
from typing import TYPE_CHECKING, Any, Final

import msgspec

from streams.model import Ending, Row
from streams.state.errors import ChangelogError
from streams.state.schema import CODES, STATUSES

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from streams.model import Invocation

META_KEY: Final = "m/"
_KINDS: Final = frozenset("ipbsdm")
_KEY_PARTS: Final = 2


def invocation_key(invocation_id: str) -> str:
    """Changelog key of an invocation's row."""
    return "i/" + invocation_id


def payload_key(invocation_id: str) -> str:
    """Changelog key of an invocation's payload."""
    return "p/" + invocation_id


def batch_key(batch_id: str) -> str:
    """Changelog key of a batch's record at its lead."""
    return "b/" + batch_id


def slice_key(batch_id: str) -> str:
    """Changelog key of a partition's slice of a batch."""
    return "s/" + batch_id


def delta_key(offset: int) -> str:
    """Changelog key of the page delta caused by the command at `offset`."""
    return f"d/{offset}"


def split_key(key: str) -> tuple[str, str]:
    """Kind (one letter) and name of a changelog key.

    Raises:
        ChangelogError: the key is none that this engine writes.
    """
    if key[1:2] != "/" or key[0] not in _KINDS:
        raise ChangelogError(f"changelog key {key!r} is of a kind this worker does not know: upgrade this worker")
    return key[0], key[_KEY_PARTS:]


# --- columns ----------------------------------------------------------------------------------------------------

_encode_ending: Final = msgspec.msgpack.Encoder().encode
_decode_ending: Final = msgspec.msgpack.Decoder(Ending).decode
_encode_json: Final = msgspec.json.Encoder().encode


def json_list(values: list[int] | list[str] | list[list[str]]) -> str:
    """The list as text for `json_each`."""
    return _encode_json(values).decode()


def pack_ending(ending: Ending | None) -> bytes | None:
    """The ending as its column holds it."""
    return None if ending is None else _encode_ending(ending)


def unpack_ending(packed: bytes | None) -> Ending | None:
    """The ending of a column."""
    return None if packed is None else _decode_ending(packed)


def _id_length(size: int) -> bytes:
    """Avro's length of a string: a zigzag varint."""
    value, out = size << 1, bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits a byte
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_LENGTHS: Final = tuple(_id_length(size) for size in range(1025))
"""Ids have up to 256 characters of up to four bytes."""


def without_id(encoded: bytes, invocation_id: str) -> bytearray:
    """An encoded `Invocation` without its leading id."""
    size = len(invocation_id.encode())
    return bytearray(encoded)[len(_LENGTHS[size]) + size :]


def with_id(rest: bytes, invocation_id: str) -> bytes:
    """The opposite of `without_id`."""
    name = invocation_id.encode()
    return b"".join((_LENGTHS[len(name)], name, rest))


_LABEL, _VALUE = "\x1f", "\x1e"
_KNOWN_LABELS: Final = 1_024
"""Many invocations have the same labels."""
_UNSAFE: Final = re.compile("[\x00\x1b\x1e\x1f]")


def _escape(text: str) -> str:
    """Keep separators, and NUL, which ends a text in some functions of SQLite, out of keys and values; injective."""
    return text if text.isprintable() else _UNSAFE.sub(lambda found: f"\x1b{ord(found[0]) + 0x40:c}", text)


def label_text(key: str, value: str) -> str:
    """One label in such a form that labels hold it exactly when their text contains it."""
    return f"{_LABEL}{_escape(key)}{_VALUE}{_escape(value)}{_LABEL}"


def labels_text(labels: Mapping[str, str]) -> str | None:
    """All labels, as their column holds them; None without labels."""
    return _joined(tuple(labels.items())) if labels else None


@lru_cache(_KNOWN_LABELS)
def _joined(labels: tuple[tuple[str, str], ...]) -> str:
    return "".join([label_text(key, value) for key, value in labels])


Params = tuple[Any, ...]

_FIXED: Final = ("seq", "status", "modified_at", "held", "attempt", "last_report_no")
_MOVING: Final = ("due_at", "paused_from", "started_seq", "pinned", "batch_id", "scheduled_at", "ending")
_LASTING: Final = ("seq", "handler", "created_at", "content_hash", "id", "rest")
_LASTING_OPTIONAL: Final = ("deployment_id", "flow_id", "parent_id", "labels", "lease_ms")
SELECT_ROW: Final = """SELECT i.id, i.rest, r.seq, i.content_hash, r.status, r.attempt, r.last_report_no, i.created_at,
    r.modified_at, r.started_seq, r.pinned, r.scheduled_at, r.due_at, r.paused_from, r.held, r.ending, i.lease_ms,
    r.delta, r.object_key FROM """
ROWS: Final = "rows r CROSS JOIN invocations i ON i.seq = r.seq"
"""Both halves of rows, those of `rows` looked up first."""
BY_ID: Final = "CROSS JOIN rows r ON r.seq = i.seq"
"""Likewise, to follow rows of `invocations i`."""
AMONG_SEQS: Final = "r.seq IN (SELECT value FROM json_each(?))"
"""Which rows have one of the seqs of a `json_list`."""


_NONES: Final = repeat(None)
Shape = tuple[bool, ...]
"""Which of the optional columns are null."""
_Shapes = dict[Shape, list[list[Any]]]


@cache
def _insert_statement(table: str, fixed: tuple[str, ...], optional: tuple[str, ...], shape: Shape) -> str:
    """Insert a row whose optional columns are null as `shape` says."""
    names = [*fixed, *(name for name, null in zip(optional, shape, strict=True) if not null)]
    marks = ", ".join("?" * len(names))
    return f"INSERT INTO {table}({', '.join(names)}) VALUES ({marks})"  # noqa: S608 - our own names


@cache
def _update_statement(shape: Shape) -> str:
    """Update a row likewise; its seq comes last of the fixed columns, the optional ones follow it."""
    numbers = count(len(_FIXED) + 1)
    moving = [f"{name} = {'NULL' if null else f'?{next(numbers)}'}" for name, null in zip(_MOVING, shape, strict=True)]
    fixed = [f"{name} = ?{place}" for place, name in enumerate(_FIXED[1:], 1)]
    return f"UPDATE rows SET {', '.join(fixed + moving)}, delta = NULL WHERE seq = ?{len(_FIXED)}"  # noqa: S608


def insert_rows(db: sqlite3.Connection, rows: Sequence[tuple[Row, Invocation]]) -> None:
    """Insert rows, quickest in order of seq.

    Rows go by shape, and bytes as bytearray: to bind a None, a bool or bytes costs the `sqlite3` module several times
    what an int or a text does, since it looks for an adapter first.
    """
    shapes: _Shapes = {}
    for row, invocation in rows:
        fixed = [
            row.seq,
            CODES[row.status],
            row.modified_at,
            1 if row.held else 0,
            row.attempt,
            row.last_report_no,
            invocation.service,
        ]
        _add(shapes, fixed, (*_moving(row), row.object_key))
    for shape, found in shapes.items():
        db.executemany(_insert_statement("rows", (*_FIXED, "service"), (*_MOVING, "object_key"), shape), found)
    _insert_invocations(db, rows)


def _insert_invocations(db: sqlite3.Connection, rows: Iterable[tuple[Row, Invocation]]) -> None:
    """The half of the rows that never changes."""
    shapes: _Shapes = {}
    for row, invocation in rows:
        invocation_id = row.invocation_id
        fixed = [
            row.seq,
            invocation.handler,
            row.created_at,
            row.content_hash,
            invocation_id,
            without_id(row.encoded, invocation_id),
        ]
        optional = (
            invocation.deployment_id,
            invocation.flow_id,
            invocation.parent_id,
            labels_text(invocation.labels) if invocation.labels else None,
            row.lease_ms,
        )
        _add(shapes, fixed, optional)
    for shape, found in shapes.items():
        db.executemany(_insert_statement("invocations", _LASTING, _LASTING_OPTIONAL, shape), found)


def update_rows(db: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Write what may change in a row's life, quickest in order of seq; the rows rest on no delta any longer."""
    shapes: _Shapes = {}
    for row in rows:
        fixed = [
            CODES[row.status],
            row.modified_at,
            1 if row.held else 0,
            row.attempt,
            row.last_report_no,
            row.seq,
        ]
        _add(shapes, fixed, _moving(row))
    for shape, found in shapes.items():
        db.executemany(_update_statement(shape), found)


def _moving(row: Row) -> Params:
    """Values of the optional columns that may change."""
    ending, paused_from = row.ending, row.paused_from
    return (
        row.due_at,
        None if paused_from is None else CODES[paused_from],
        row.started_seq,
        row.deployment_id,
        None if ending is None else ending.cause.batch_id,
        row.scheduled_at,
        None if ending is None else bytearray(_encode_ending(ending)),
    )


def _add(shapes: _Shapes, fixed: list[Any], optional: Params) -> None:
    """Put a row's parameters among those of its shape, optional ones last."""
    fixed += [value for value in optional if value is not None]
    shapes.setdefault(tuple(map(is_, optional, _NONES)), []).append(fixed)


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
        lease_ms,
        delta,
        object_key,
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
        lease_ms,
        delta,
        object_key,
    )
