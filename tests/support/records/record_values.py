"""Any value of any record, and the same as plain data for another Avro library."""

from __future__ import annotations

import io
import json
from enum import Enum
from functools import cache, lru_cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

import fastavro
import msgspec
from hypothesis import strategies as st

from streams import model
from streams.codec import schemas

if TYPE_CHECKING:
    from streams.model import Record

TODAY = schemas.load(schemas.folder())
KINDS: dict[str, type[Record]] = {name: getattr(model, name) for name in TODAY}
_PRIMITIVES: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(-(2**63), 2**63 - 1) | st.integers(-1, 100) | st.integers(1_700_000_000_000, 1_800_000_000_000),
    str: st.text(max_size=100),
    bytes: st.binary(max_size=200),
    bool: st.booleans(),
    float: st.floats(allow_nan=False),
    NoneType: st.none(),
}


@cache
def records(kind: type[Record]) -> st.SearchStrategy[Any]:
    """Any record of this kind; `encoded`, which is no part of the schema, is left empty."""
    hints = get_type_hints(kind)
    return st.builds(kind, **{name: _values(hints[name]) for name in hints if name != "encoded"})


def any_record() -> st.SearchStrategy[Any]:
    """A record of any kind that has a schema."""
    return st.sampled_from(sorted(KINDS)).flatmap(lambda name: records(KINDS[name]))


def plain(value: Any) -> Any:
    """Dicts, lists and strings instead of structs, tuples and enums."""
    match value:
        case msgspec.Struct():
            return {name: plain(getattr(value, name)) for name in value.__struct_fields__ if name != "encoded"}
        case tuple():
            return [plain(part) for part in value]
        case dict():
            return {key: plain(part) for key, part in value.items()}
        case Enum():
            return value.value
        case _:
            return value


def without_logical_types(schema: Any) -> Any:
    """The schema with timestamps as the numbers that they are."""
    match schema:
        case {"logicalType": _, "type": base}:
            return base
        case dict():
            return {key: value if key == "default" else without_logical_types(value) for key, value in schema.items()}
        case list():
            return [without_logical_types(part) for part in schema]
        case _:
            return schema


def other_body(schema: dict[str, Any], value: Any) -> bytes:
    """The body as fastavro writes it; what the schema does not have is left out."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, _parsed(json.dumps(schema)), value)
    return out.getvalue()


def other_value(written: dict[str, Any], wanted: dict[str, Any], body: bytes) -> Any:
    """The value as fastavro reads it, resolved from the written schema to the wanted one."""
    return fastavro.schemaless_reader(io.BytesIO(body), _parsed(json.dumps(written)), _parsed(json.dumps(wanted)))


@lru_cache(100)
def _parsed(schema: str) -> Any:
    return fastavro.parse_schema(without_logical_types(json.loads(schema)))


def _values(hint: Any) -> st.SearchStrategy[Any]:
    if hint in _PRIMITIVES:
        return _PRIMITIVES[hint]
    if isinstance(hint, UnionType):
        return st.one_of(*map(_values, get_args(hint)))
    if get_origin(hint) is dict:
        key, value = get_args(hint)
        return st.dictionaries(_values(key), _values(value), max_size=3)
    if get_origin(hint) is tuple:
        return st.lists(_values(get_args(hint)[0]), max_size=4).map(tuple)
    return st.sampled_from(list(hint)) if issubclass(hint, Enum) else records(hint)
