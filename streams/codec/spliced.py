"""The hot path: rows and signals around an invocation's bytes, which are carried and never encoded again."""

from __future__ import annotations

from collections import namedtuple
from functools import lru_cache
from typing import TYPE_CHECKING

from streams.codec.wire import write_bytes, write_long, write_recalled
from streams.codec.writers import WriterCompiler, symbols
from streams.model import InvocationRow, Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from streams.codec.records import Records
    from streams.codec.schemas import Schema
    from streams.model import Cause, Row, SignalKind

_KNOWN_CAUSES = 1024
_KNOWN_SHARED = 4096
_SHARED = ("status", "attempt", "last_report_no", "created_at", "modified_at")
"""Consecutive fields of an `InvocationRow` that are the same in many new rows."""


def _remembering(schema: Schema, fields: slice) -> Callable[..., bytes]:
    """A writer of these fields of a record, passed one by one, that caches its results."""
    names = [field["name"] for field in schema["fields"][fields]]
    write, values = WriterCompiler().compile(schema, fields), namedtuple("values", names)  # noqa: PYI024
    return lru_cache(_KNOWN_SHARED)(lambda *given: write(values(*given)))


def _place(schema: Schema, names: tuple[str, ...]) -> slice:
    """The place of these fields in a record; they must be consecutive, in this order."""
    every = [field["name"] for field in schema["fields"]]
    place = slice(every.index(names[0]), every.index(names[-1]) + 1)
    if tuple(every[place]) != names:
        raise AssertionError(f"{schema['name']} has other fields there: {every[place]}")
    return place


class Spliced:
    """Encodes `InvocationRow` and `Signal` from a row and its encoded invocation."""

    def __init__(self, today: dict[str, Schema], records: Records) -> None:
        """`today`: today's schemas by name."""
        row, signal = today["InvocationRow"], today["Signal"]
        kind, cause = signal["fields"][0]["type"], signal["fields"][-1]["type"][1]
        self._row_header = records.headers[InvocationRow]
        self._write_tail = WriterCompiler().compile(row, slice(1, None))
        shared = _place(row, _SHARED)
        self._write_shared = _remembering(row, shared)
        self._write_rest = WriterCompiler().compile(row, slice(shared.stop, None))
        header = records.headers[Signal]
        self._signal_heads = {member: header + symbol for member, symbol in symbols(kind).items()}
        self._write_cause = lru_cache(_KNOWN_CAUSES)(WriterCompiler().compile(cause))

    def encode_row(self, row: Row) -> bytes:
        """The row as an `InvocationRow`."""
        created_at, modified_at = row.created_at, row.modified_at
        if modified_at != created_at:
            return self._row_header + row.encoded + self._write_tail(row)
        return b"".join(
            (
                self._row_header,
                row.encoded,
                write_recalled(row.seq),
                write_long(row.content_hash),
                self._write_shared(row.status, row.attempt, row.last_report_no, created_at, modified_at),
                self._write_rest(row),
            )
        )

    def encode_signal(
        self,
        kind: SignalKind,
        encoded: bytes,
        seq: int,
        attempt: int,
        repeat: int,
        at: int,
        payload: bytes | None = None,
        cause: Cause | None = None,
    ) -> bytes:
        """A `Signal`; `encoded` holds the bytes of its invocation, `at` is in milliseconds since 1970."""
        return b"".join(
            (
                self._signal_heads[kind],
                encoded,
                write_recalled(seq),
                write_recalled(attempt),
                write_recalled(repeat),
                write_recalled(at),
                b"\0" if payload is None else b"\2" + write_bytes(payload),
                b"\0" if cause is None else b"\2" + self._write_cause(cause),
            )
        )

    def encode_signals(
        self, kind: SignalKind, rows: Iterable[tuple[int, bytes, int]], at: int, cause: Cause | None
    ) -> list[bytes]:
        """Like `encode_signal` for each (seq, invocation's bytes, attempt): no payload, sent for the first time."""
        head, values = self._signal_heads[kind], []
        tails: dict[int, bytes] = {}
        ending = write_long(0) + write_long(at) + b"\0" + (b"\0" if cause is None else b"\2" + self._write_cause(cause))
        for seq, encoded, attempt in rows:
            tail = tails.get(attempt)
            if tail is None:
                tail = tails[attempt] = write_long(attempt) + ending
            values.append(b"".join((head, encoded, write_long(seq), tail)))
        return values
