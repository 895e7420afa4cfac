"""The Avro schemas: today's, and all that were ever released.

A wheel has the folder as `streams/schemas`, a checkout beside the package.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fastavro.schema

if TYPE_CHECKING:
    from collections.abc import Iterator

Schema = dict[str, Any]
"""A record's or an enum's schema as parsed JSON."""

MARKER = b"\xc3\x01"
"""First two bytes of Avro single-object encoding."""

_PACKAGE = Path(__file__).resolve().parents[1]


def folder() -> Path:
    """The folder with the schemas; raises `FileNotFoundError` if the package was built without them."""
    candidates = (_PACKAGE / "schemas", _PACKAGE.parent / "schemas")
    for candidate in candidates:
        if any(candidate.glob("*.avsc")):
            return candidate
    raise FileNotFoundError(f"no schemas in {' nor in '.join(map(str, candidates))}: install the package again")


def load(path: Path) -> dict[str, Schema]:
    """The schemas of one folder by the record's name, from the files `<name>.avsc`."""
    return {file.stem: json.loads(file.read_text("utf-8")) for file in sorted(path.glob("*.avsc"))}


def load_all(path: Path) -> list[dict[str, Schema]]:
    """The folder's schemas first, then those of each `released/<version>`."""
    return [load(path), *(load(version) for version in sorted(path.glob("released/*")) if version.is_dir())]


def header(schema: Schema) -> bytes:
    """The bytes before the body: marker and fingerprint (CRC-64-AVRO of the parsing canonical form, little-endian)."""
    return MARKER + _fingerprint(fastavro.schema.to_parsing_canonical_form(schema))


@cache
def _fingerprint(canonical: str) -> bytes:
    """A cached fingerprint: most schemas are unchanged since a release, and fastavro takes a millisecond for each."""
    return bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))


def definitions(schema: Any) -> Iterator[Schema]:
    """The record and every record and enum that is defined inside it."""
    match schema:
        case {"type": "record", "fields": fields}:
            yield schema
            for field in fields:
                yield from definitions(field["type"])
        case {"type": "enum"}:
            yield schema
        case {"type": "array", "items": part} | {"type": "map", "values": part}:
            yield from definitions(part)
        case list():
            for part in schema:
                yield from definitions(part)
