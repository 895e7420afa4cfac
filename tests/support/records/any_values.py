"""Values that a schema allows and that make no sense, and their bytes by a library that is not ours."""

from __future__ import annotations

import json
from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form

from support.service.programs import ROOT

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

LONGS: Final = (
    *(0, 1, -1, 2, 100, 20_000, 10**12, 1_800_000_000_000),
    *(2**31 - 1, 2**31, -(2**31), 2**53, 2**62, 2**63 - 1, -(2**63)),
)
_DOUBLES: Final = (
    *(0.0, -1.0, 1.0, 50.0, 1e-300, 5e-324, 1e300, 1e9),
    *(float("inf"), float("-inf"), float("nan")),
)
_TEXTS: Final = (
    *("", "a", "x" * 256, "x" * 257, "y" * 1_001, "a\nb", "\0", "a/b/lead", "~", "a~", "~a"),
    *("\u202e\U0001f600", "'; --", "mail", "s-1", "b-1"),
)


class AnyValues:
    """Makes records as dicts.

    Args:
        random: what they are made from.
        common: gives values of sense by field, which most fields of these names get.
    """

    def __init__(self, random: random.Random, common: Callable[[], dict[str, Any]]) -> None:
        self._random = random
        self._common = common

    def record(self, name: str) -> dict[str, Any]:
        """A value of the record of that name."""
        schema = _schema(name)
        value: dict[str, Any] = self._value(schema, _named(schema))
        return value

    def _value(self, schema: Any, named: dict[str, Any]) -> Any:
        pick = self._random.choice
        if isinstance(schema, list):
            return self._value(pick(schema), named)
        if isinstance(schema, str):
            schema = named.get(schema.rpartition(".")[2], {"type": schema})
        many = range(pick((0, 1, 2)))
        match schema["type"]:
            case "record":
                return self._record(schema, named)
            case "enum":
                return pick(schema["symbols"])
            case "array":
                return [self._value(schema["items"], named) for _ in many]
            case "map":
                return {pick(_TEXTS): self._value(schema["values"], named) for _ in many}
            case single:
                return self._single(single)

    def _record(self, schema: Any, named: dict[str, Any]) -> dict[str, Any]:
        sense = self._common()
        value = {}
        for field in schema["fields"]:
            name = field["name"]
            sensible = name in sense and self._random.random() < 0.8
            value[name] = sense[name] if sensible else self._value(field["type"], named)
        return value

    def _single(self, kind: str) -> Any:
        pick = self._random.choice
        values = {
            "null": (None,),
            "boolean": (True, False),
            "double": _DOUBLES,
            "string": _TEXTS,
            "bytes": (b"", b"x", self._random.randbytes(50)),
            "long": (*LONGS, self._random.randrange(-5, 5_000)),
        }
        return pick(values[kind])


def encoded(name: str, value: dict[str, Any]) -> bytes:
    """The record of that name in single-object encoding."""
    parsed, header = _parsed(name)
    out = BytesIO()
    fastavro.schemaless_writer(out, parsed, value)
    return header + out.getvalue()


@lru_cache(None)
def _schema(name: str) -> Any:
    return json.loads((ROOT / "schemas" / f"{name}.avsc").read_text(encoding="utf-8"))


@lru_cache(None)
def _parsed(name: str) -> tuple[Any, bytes]:
    """The schema as its library wants it, and what stands before each record."""
    parsed = fastavro.parse_schema(_schema(name))
    digest = fingerprint(to_parsing_canonical_form(parsed), "CRC-64-AVRO")
    return parsed, b"\xc3\x01" + bytes.fromhex(digest)


def _named(schema: Any) -> dict[str, Any]:
    """The types that a schema defines, by name."""
    if isinstance(schema, list):
        return {name: found for each in schema for name, found in _named(each).items()}
    if not isinstance(schema, dict):
        return {}
    own = {schema["name"]: schema} if schema["type"] in ("record", "enum") else {}
    parts = (schema.get(part) for part in ("fields", "type", "items", "values"))
    return own | {name: found for part in parts for name, found in _named(part).items()}
