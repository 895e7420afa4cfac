"""Readers made from schemas: for each record a function of straight-line code that builds its struct.

A writer's schema is resolved against today's by name: a missing field takes today's default, a removed one is skipped.
`reason` derives the field at which a reader failed from the line of generated code, so good records pay nothing for it.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Protocol, get_type_hints

import msgspec

from streams import model
from streams.codec import wire
from streams.codec.part_cache import Known
from streams.codec.reader_source import Source

if TYPE_CHECKING:
    from collections.abc import Callable
    from enum import Enum

    from streams.codec.schemas import Schema


FAILURES = (ValueError, IndexError, KeyError, struct.error)
"""Exceptions that a reader raises on bytes that are not such a record."""

_BOOLEANS = {0: False, 1: True}
_RECALLED = "Invocation"
"""The record whose fields, except the first one, its id, often repeat."""
_fields_of_lines: dict[str, list[str]] = {}


class Reader(Protocol):
    """A generated reader: from data and a position to the record there and the position after it."""

    __name__: str

    def __call__(self, data: bytes, at: int, /) -> tuple[Any, int]:
        """Read the record at the position; raises one of `FAILURES`."""


def reason(error: Exception) -> str:
    """Record, field and rule that a reader's failure is about, such as `Act.on_timeout: no such symbol (0)`."""
    path: list[str] = []
    trace = error.__traceback__
    while trace:
        lines = _fields_of_lines.get(trace.tb_frame.f_code.co_filename)
        if lines:
            path += [trace.tb_frame.f_code.co_name] if not path else []
            path.append(lines[trace.tb_lineno - 1])
        trace = trace.tb_next
    match error:
        case KeyError(args=(0,)):
            rule = "UNKNOWN is not a value"
        case KeyError():
            rule = f"no value has the byte {error}"
        case IndexError() | struct.error():
            rule = "the record ends here, too early"
        case _:
            rule = str(error)
    return f"{'.'.join(filter(None, path))}: {rule}"


def members(schema: Schema) -> dict[int, Enum]:
    """An enum's members by their encoded byte, without UNKNOWN."""
    known = getattr(model, schema["name"]).__members__
    return {2 * n: known[symbol] for n, symbol in enumerate(schema["symbols"]) if symbol in known}


class ReaderCompiler:
    """Makes the readers of one schema file; a type that is named twice is made once."""

    def __init__(self, today: dict[str, Schema]) -> None:
        """`today`: today's record schemas by name, nested ones included."""
        self._today = today
        self._enums: set[str] = set()
        self._scope: dict[str, Any] = {
            "read_long": wire.read_long,
            "read_length": wire.read_length,
            "read_block": wire.read_block,
            "read_longs": wire.read_longs,
            "read_texts": wire.read_texts,
            "read_time": wire.read_time,
            "known_times": wire.KNOWN_TIMES,
            "bad_branch": wire.bad_branch,
            "unpack_double": struct.Struct("<d").unpack_from,
            "booleans": _BOOLEANS,
        }

    def compile(self, schema: Schema, build: Callable[..., Any] | None = None, carried: str = "") -> Reader:
        """The reader of this record.

        `build` is called with the fields in today's order; it is the record's struct unless given. `carried` names a
        field whose bytes are passed to `build` as well, last.
        """
        name, fields = schema["name"], schema["fields"]
        source = Source(self.named)
        if name == _RECALLED:
            self._read_fields(source, fields[:1])
            self._recall_fields(source, fields[1:])
        else:
            self._read_fields(source, fields, carried)
        source.field = ""
        values = self._values(schema) + (["carried"] if carried else [])
        source.line(f"return build_{name}({', '.join(values)}), p")
        self._scope[f"build_{name}"] = build or getattr(model, name)
        return self._define(name, source)

    @staticmethod
    def _read_fields(source: Source, fields: list[Schema], carried: str = "") -> None:
        for field in fields:
            source.field = field["name"]
            if field["name"] == carried:
                source.line("start = p")
            source.read(field["type"], f"f_{field['name']}")
            if field["name"] == carried:
                source.line("carried = b[start:p]")

    def _recall_fields(self, source: Source, fields: list[Schema]) -> None:
        """Write code that decodes fields only if they were not the same in an earlier record."""
        self._scope["tails"] = Known()
        with source.recalling("tails", [f"f_{field['name']}" for field in fields]):
            self._read_fields(source, fields)
        for field in fields:
            if isinstance(field["type"], dict) and field["type"]["type"] == "map":
                # Each record gets its own map, since someone may change it.
                source.line(f"f_{field['name']} = f_{field['name']}.copy()")

    def _values(self, schema: Schema) -> list[str]:
        """The expression for each of today's fields."""
        name = schema["name"]
        written = {field["name"] for field in schema["fields"]}
        values = []
        for field in self._today[name]["fields"]:
            variable = f"f_{field['name']}"
            if field["name"] not in written:
                variable = f"default_{name}_{field['name']}"
                hint = get_type_hints(getattr(model, name))[field["name"]]
                self._scope[variable] = msgspec.convert(field["default"], hint)
            values.append(variable)
        return values

    def _define(self, name: str, source: Source) -> Reader:
        filename = f"<reader {len(_fields_of_lines)} of {name}>"
        _fields_of_lines[filename] = ["", *source.fields]
        text = "\n".join([f"def {name}(b, p):", *source.lines])
        exec(compile(text, filename, "exec"), self._scope)  # noqa: S102  made from our own schemas only
        reader: Reader = self._scope[name]
        return reader

    def named(self, schema: Schema | str) -> tuple[str, str]:
        """Kind (record or enum) and name of a type; the type is made when its definition comes."""
        if isinstance(schema, str):
            name = schema.rsplit(".", 1)[-1]
            return ("enum" if name in self._enums else "record"), name
        name = schema["name"]
        if schema["type"] == "enum":
            self._enums.add(name)
            self._scope[f"members_{name}"] = members(schema)
        else:
            self.compile(schema)
        return schema["type"], name
