"""The Avro schemas: today's, and every one ever released.

A wheel carries the folder as `streams/schemas`, a checkout has it beside the package.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import fastavro.schema

Schema = dict[str, Any]
"""A record's schema as parsed JSON."""

MARKER = b"\xc3\x01"
"""First two bytes of Avro single-object encoding."""

_PACKAGE = Path(__file__).resolve().parents[1]


class Writer(NamedTuple):
    """A schema that bytes may have been written with; `schema` is parsed, logical types are removed."""

    name: str
    schema: Schema


def folder() -> Path:
    """The folder with the schemas; FileNotFoundError when the package was built without them."""
    for candidate in (_PACKAGE / "schemas", _PACKAGE.parent / "schemas"):
        if any(candidate.glob("*.avsc")):
            return candidate
    raise FileNotFoundError(
        f"no schemas in {_PACKAGE / 'schemas'} nor {_PACKAGE.parent / 'schemas'}: reinstall streams"
    )


def load(path: Path) -> dict[str, Schema]:
    """The schemas of one folder by the record's name, as they stand in the files."""
    return {file.stem: json.loads(file.read_text("utf-8")) for file in sorted(path.glob("*.avsc"))}


def load_all(path: Path) -> list[dict[str, Schema]]:
    """Today's schemas first, then those of each `released/<version>`."""
    return [load(path), *(load(version) for version in sorted(path.glob("released/*")) if version.is_dir())]


def header(schema: Schema) -> bytes:
    """Marker and fingerprint (CRC-64-AVRO of the parsing canonical form, little-endian) that go before the body."""
    canonical = fastavro.schema.to_parsing_canonical_form(schema)
    return MARKER + bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))


def plain(schema: Any) -> Any:
    """The schema without logical types, so that a timestamp stays the number that is on the wire."""
    if isinstance(schema, dict):
        if schema.get("logicalType") is not None:
            return schema["type"]
        return {key: value if key == "default" else plain(value) for key, value in schema.items()}
    if isinstance(schema, list):
        return [plain(part) for part in schema]
    return schema


def parse(schema: Schema) -> Schema:
    """The schema as fastavro wants it, without logical types; `fastavro.schema.SchemaParseException` if it is none."""
    parsed: Schema = fastavro.parse_schema(plain(schema))
    return parsed


def writers(versions: list[dict[str, Schema]]) -> dict[bytes, Writer]:
    """Every schema ever released by its `header`."""
    known: dict[bytes, Writer] = {}
    for version in versions:
        for name, schema in version.items():
            known.setdefault(header(schema), Writer(name, parse(schema)))
    return known
