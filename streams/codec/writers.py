"""Writers made from today's schemas: for each record a function from its struct to the bytes of its body."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from streams.codec import wire
from streams.codec.readers import members

if TYPE_CHECKING:
    from enum import Enum

    from streams.codec.schemas import Schema

Writer = Callable[[Any], bytes]
"""A function from a struct to the bytes of its record's body."""

_PRIMITIVES = {
    "string": "write_text({})",
    "bytes": "write_bytes({})",
    # Most numbers are small: a call costs twice as much as the look-up.
    "long": "(small[v << 1] if 0 <= (v := {}) < few else write_long(v))",
    "double": "pack_double({})",
    "boolean": "(b'\\1' if {} else b'\\0')",
}


def symbols(schema: Schema) -> dict[Enum, bytes]:
    """The encoded byte of each member of an enum."""
    return {member: bytes((byte,)) for byte, member in members(schema).items()}


class WriterCompiler:
    """Makes the writers of one schema file; a type that is named twice is made once."""

    def __init__(self) -> None:
        self._enums: set[str] = set()
        self._scope: dict[str, Any] = {
            "write_long": wire.write_long,
            "small": wire.SMALL,
            "few": len(wire.SMALL) // 2,
            "write_recalled": wire.write_recalled,
            "write_longs": wire.write_longs,
            "write_text": wire.write_text,
            "write_texts": wire.write_texts,
            "write_bytes": wire.write_bytes,
            "pack_double": struct.Struct("<d").pack,
        }

    def compile(self, schema: Schema, fields: slice = slice(None)) -> Writer:
        """A function from a struct to its bytes. `fields`: only these, from any object with attributes of those names.

        The writer raises `ValueError`, `TypeError`, `KeyError` or `AttributeError` for values not allowed.
        """
        name = schema["name"]
        every = [self._write(field["type"], f"r.{field['name']}") for field in schema["fields"]]
        text = f"def write_{name}(r):\n    return b''.join(({''.join(part + ', ' for part in every[fields])}))"
        exec(compile(text, f"<writer of {name}>", "exec"), self._scope)  # noqa: S102  made from our own schemas only
        writer: Writer = self._scope[f"write_{name}"]
        return writer

    def _write(self, schema: Any, value: str) -> str:
        """An expression for the bytes of the value that an expression gives."""
        match schema:
            case {"logicalType": "timestamp-millis"}:
                text = f"write_recalled({value})"
            case ["null", present]:
                text = f"(b'\\0' if (v := {value}) is None else b'\\2' + {self._write(present, 'v')})"
            case {"type": "array", "items": items}:
                many = {"long": "write_longs(a)", "string": "write_texts(a)"}
                each = many.get(str(items)) or f"b''.join([{self._write(items, 'i')} for i in a])"
                text = f"(write_long(len(a)) + {each} + b'\\0' if (a := {value}) else b'\\0')"
            case {"type": "map", "values": values}:
                each = f"b''.join([write_text(k) + {self._write(values, 'i')} for k, i in m.items()])"
                text = f"(write_long(len(m)) + {each} + b'\\0' if (m := {value}) else b'\\0')"
            case str() if schema in _PRIMITIVES:
                text = _PRIMITIVES[schema].format(value)
            case _:
                text = self._named(schema, value)
        return text

    def _named(self, schema: Schema | str, value: str) -> str:
        name = schema.rsplit(".", 1)[-1] if isinstance(schema, str) else schema["name"]
        if isinstance(schema, dict):
            if schema["type"] == "enum":
                self._enums.add(name)
                self._scope[f"symbols_{name}"] = symbols(schema)
            else:
                self.compile(schema)
        return f"symbols_{name}[{value}]" if name in self._enums else f"write_{name}({value})"
