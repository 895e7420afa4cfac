"""Records to bytes and back."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import msgspec

from streams import model
from streams.codec import schemas
from streams.codec.errors import BadRecordError
from streams.model import Cause, Command, Invocation, InvocationRow, Invoke, PageDelta, Record, Row, Signal, SignalKind

ENGINE = "fastavro"

_HEADER = 10
_TODAY = schemas.load(schemas.folder())
_PARSED = {name: schemas.parse(schema) for name, schema in _TODAY.items()}
_HEADERS = {name: schemas.header(schema) for name, schema in _TODAY.items()}
_WRITERS = schemas.writers(schemas.load_all(schemas.folder()))
_TYPES: dict[str, type[Record]] = {name: getattr(model, name) for name in _TODAY}
_COMMANDS = Command.__args__
_INVOCATION = schemas.parse(_TODAY["Invoke"]["fields"][0]["type"])


def _lists(value: Any) -> Any:
    """Tuples as lists: fastavro takes a tuple in a union for a pair of type and value."""
    if isinstance(value, dict):
        return {key: _lists(part) for key, part in value.items()}
    if isinstance(value, (tuple, list)):
        return [_lists(part) for part in value]
    return value


def _write(schema: Any, record: Record) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, _lists(msgspec.to_builtins(record, builtin_types=(bytes,))))
    return out.getvalue()


def encode(record: Record) -> bytes:
    """The record in single-object encoding."""
    name = type(record).__name__
    return _HEADERS[name] + _write(_PARSED[name], record)


def decode(data: bytes | None) -> Record:
    """The record that the bytes hold; `BadRecordError` when they hold none."""
    if not data:
        raise BadRecordError("empty_value", "the value is empty")
    if data[:2] != schemas.MARKER or len(data) < _HEADER:
        raise BadRecordError("not_avro", "the value is not in Avro single-object encoding")
    writer = _WRITERS.get(data[:_HEADER])
    if writer is None:
        raise BadRecordError("unknown_schema", f"no released schema has the fingerprint {data[2:_HEADER].hex()}")
    try:
        stream = io.BytesIO(data)
        stream.seek(_HEADER)
        value = fastavro.schemaless_reader(stream, writer.schema, _PARSED[writer.name])
        if stream.tell() != len(data):
            raise ValueError("bytes after the record")
        record = msgspec.convert(value, _TYPES[writer.name])
        if isinstance(record, Invoke):
            record = msgspec.structs.replace(record, encoded=encode_invocation(record.invocation))
    except Exception as error:
        raise BadRecordError("malformed", f"{writer.name}: {error}") from error
    return record


def decode_command(data: bytes | None) -> Command:
    """As `decode`; `not_a_command` for a record that has no place in the command log."""
    record = decode(data)
    if not isinstance(record, _COMMANDS):
        raise BadRecordError("not_a_command", f"{type(record).__name__} is not a command")
    return record


def encode_invocation(invocation: Invocation) -> bytes:
    """The bare body."""
    return _write(_INVOCATION, invocation)


def decode_invocation(body: bytes) -> Invocation:
    """The invocation that a bare body holds."""
    return msgspec.convert(fastavro.schemaless_reader(io.BytesIO(body), _INVOCATION, _INVOCATION), Invocation)


def encode_row(row: Row) -> bytes:
    """The row's `InvocationRow`."""
    values: dict[str, Any] = {name: getattr(row, name) for name in InvocationRow.__struct_fields__[1:]}
    return encode(InvocationRow(decode_invocation(row.encoded), **values))


def decode_row(data: bytes) -> tuple[Row, Invocation]:
    """The row that an `InvocationRow` holds, and its invocation."""
    record = decode(data)
    if not isinstance(record, InvocationRow):
        raise BadRecordError("malformed", f"{type(record).__name__} is not an InvocationRow")
    values = {name: getattr(record, name) for name in InvocationRow.__struct_fields__[1:]}
    invocation = record.invocation
    encoded = encode_invocation(invocation)
    return Row(invocation.invocation_id, encoded, lease_ms=invocation.lease_ms, **values), invocation


def encode_signal(
    kind: SignalKind,
    encoded: bytes,
    seq: int,
    attempt: int,
    repeat: int,
    at: int,
    payload: bytes | None = None,
    cause: Cause | None = None,
) -> bytes:
    """A `Signal` around the encoded invocation."""
    return encode(Signal(kind, decode_invocation(encoded), seq, attempt, repeat, at, payload, cause))


def encode_delta(delta: PageDelta) -> bytes:
    """A `PageDelta`, fast for thousands of seqs."""
    return encode(delta)
