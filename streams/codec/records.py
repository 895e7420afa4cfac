"""Encoding and decoding of all records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from streams import model
from streams.codec import schemas
from streams.codec.errors import BadRecordError
from streams.codec.readers import FAILURES, ReaderCompiler, reason
from streams.codec.writers import WriterCompiler
from streams.model import Command, Invocation, InvocationRow, Invoke, Record, Row

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.codec.readers import Reader
    from streams.codec.schemas import Schema
    from streams.codec.writers import Writer

_HEADER = 10
_NO_HEADER = "the value does not begin with C3 01 and the fingerprint of a schema"
_CONFLUENT = 5
"""Bytes of another framing: 00 and the id of a schema in a registry."""
_COMMANDS = frozenset(kind.__name__ for kind in get_args(Command))


class _Readers(dict[bytes, "Reader"]):
    """Readers by the header before the body; each is made when the first record of its schema comes."""

    def __init__(self, make: Callable[[bytes], Reader]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, header: bytes) -> Reader:
        reader = self[header] = self._make(header)
        return reader


class Records:
    """Reads records of all given schema versions, and writes today's."""

    def __init__(self, versions: list[dict[str, Schema]]) -> None:
        """`versions`: the records' schemas by name, today's first."""
        self._today = versions[0]
        self._parts = {part["name"]: part for schema in self._today.values() for part in schemas.definitions(schema)}
        self._known = {schemas.header(schema): schema for version in versions for schema in version.values()}
        self._any = _Readers(self._any_reader)
        self._commands = _Readers(self._command_reader)
        self._rows = _Readers(self._row_reader)
        self._read_invocation = ReaderCompiler(self._parts).compile(self._parts["Invocation"])
        self._writers: dict[type[Record], Writer] = {}
        self.headers = {getattr(model, name): schemas.header(schema) for name, schema in self._today.items()}
        self.encode_invocation: Callable[[Invocation], bytes] = WriterCompiler().compile(self._parts["Invocation"])

    def encode(self, record: Record) -> bytes:
        """The record in single-object encoding.

        Raises `ValueError`, `TypeError`, `KeyError` or `AttributeError` for values that its schema does not allow.
        """
        kind = type(record)
        write = self._writers.get(kind)
        if write is None:
            write = self._writers[kind] = WriterCompiler().compile(self._today[kind.__name__])
        return self.headers[kind] + write(record)

    def decode(self, data: bytes | None) -> Record:
        """The record in the bytes; raises `BadRecordError` if there is none."""
        data = data or b""
        record: Record = _read(self._any[data[:_HEADER]], data, _HEADER)
        return record

    def decode_command(self, data: bytes | None) -> Command:
        """Like `decode`; a record that does not belong in the command log raises with `not_a_command`."""
        data = data or b""
        command: Command = _read(self._commands[data[:_HEADER]], data, _HEADER)
        return command

    def decode_row(self, data: bytes | None) -> tuple[Row, Invocation]:
        """The row of an encoded `InvocationRow`, with its encoded invocation, and the decoded invocation."""
        data = data or b""
        row: tuple[Row, Invocation] = _read(self._rows[data[:_HEADER]], data, _HEADER)
        return row

    def decode_invocation(self, body: bytes) -> Invocation:
        """The invocation in a bare body under today's schema; raises `BadRecordError` if there is none."""
        invocation: Invocation = _read(self._read_invocation, body, 0)
        return invocation

    def _schema(self, header: bytes) -> Schema:
        """The writer's schema, by the fingerprint in the header; raises `BadRecordError`."""
        if not header:
            raise BadRecordError("empty_value", "the value is empty")
        if not header.startswith(schemas.MARKER) or len(header) < _HEADER:
            raise BadRecordError("not_avro", f"{_NO_HEADER}{_framing(header)}")
        schema = self._known.get(header)
        if schema is None:
            fingerprint = header[len(schemas.MARKER) :].hex()
            raise BadRecordError("unknown_schema", f"no schema of this version has the fingerprint {fingerprint}")
        return schema

    def _any_reader(self, header: bytes) -> Reader:
        schema = self._schema(header)
        if schema["name"] == Invoke.__name__:
            return self._carrying_reader(schema, Invoke)
        return ReaderCompiler(self._parts).compile(schema)

    def _command_reader(self, header: bytes) -> Reader:
        name = self._schema(header)["name"]
        if name not in _COMMANDS:
            raise BadRecordError("not_a_command", f"{name} has no place in the command log")
        return self._any[header]

    def _row_reader(self, header: bytes) -> Reader:
        schema = self._schema(header)
        if schema["name"] != InvocationRow.__name__:
            raise BadRecordError("malformed", f"{schema['name']} stands where an InvocationRow is expected")
        return self._carrying_reader(schema, _row)

    def _carrying_reader(self, schema: Schema, build: Callable[..., Any]) -> Reader:
        """A reader that calls `build` with the record's fields and then the invocation's bytes under today's schema."""
        compiler = ReaderCompiler(self._parts)
        invocation = schema["fields"][0]["type"]
        if schemas.header(invocation) == schemas.header(self._parts["Invocation"]):
            return compiler.compile(schema, build, carried="invocation")
        return compiler.compile(schema, lambda *fields: build(*fields, self.encode_invocation(fields[0])))


def _framing(header: bytes) -> str:
    """A guess at the nature of a value that is not ours, as the end of a sentence."""
    if header[:1] != b"\0" or len(header) < _CONFLUENT:
        return ""
    number = int.from_bytes(header[1:_CONFLUENT], "big")
    return f": it looks like Confluent framing (00, then schema id {number}); write it in single-object encoding"


def _read(read: Reader, data: bytes, at: int) -> Any:
    """The record that a reader reads, if it ends where the data ends."""
    try:
        value, end = read(data, at)
    except FAILURES as error:
        raise BadRecordError("malformed", reason(error)) from error
    if end != len(data):
        problem = f"{len(data) - end} bytes follow its end" if end < len(data) else "it ends too early"
        raise BadRecordError("malformed", f"{read.__name__}: {problem}")
    return value


def _row(invocation: Invocation, *rest: Any) -> tuple[Row, Invocation]:
    """The row and its invocation; `rest`: the other fields of an `InvocationRow`, then the invocation's bytes."""
    new_row: Callable[..., Row] = Row
    of_it = (invocation.object_key, invocation.flow_id, invocation.parent_id)
    row = new_row(invocation.invocation_id, rest[-1], *rest[:-1], invocation.lease_ms, None, *of_it)
    return row, invocation
