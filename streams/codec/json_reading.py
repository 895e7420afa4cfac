"""Records from their JSON form, or all that is wrong with it."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from streams.codec import schemas
from streams.model import Record

NOT_IN_THE_SCHEMA: Final = "encoded"
EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - UTC, without the zone in each text

_OF_VIEWS: Final = ("as_of", "since")
_ID: Final = ("invocation_id", "batch_id", "flow_id", "parent_id", "deployment_id", "service", "handler", "object_key")
_IDS: Final = frozenset((*_ID, *(f"{name}s" for name in _ID)))
"""Fields that hold an id, or ids: none is empty."""
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_HOW_TIMES: Final = "write a time like 2026-01-31T18:00:00.000Z, or milliseconds since 1970"
_NOT_NUMBERS: Final = {"Infinity": float("inf"), "-Infinity": float("-inf"), "NaN": float("nan")}
"""Numbers that JSON does not have, by the texts that stand for them."""
_LONG: Final = 2**63
_LONGEST_SHOWN: Final = 60
_BAD: Final = object()
"""The value of what has a fault; the fault is in the list."""

_R = TypeVar("_R", bound=Record)
_Read = Callable[[Any, str, "list[Fault]"], Any]


class Fault(NamedTuple):
    """One thing that is wrong. `field`: its path, such as `filter.services[0]`; empty for the body as a whole."""

    field: str
    rule: str

    def __str__(self) -> str:
        return f"{self.field} {self.rule}" if self.field else f"the body {self.rule}"


class JsonFaultsError(Exception):
    """JSON that is not the record that it should be, with all its faults; the message has one line for each."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


def from_json(kind: type[_R], body: object) -> _R:
    """The record that a JSON value holds; null is the same as an absent field.

    Times may be RFC 3339 or milliseconds since 1970. The rules of a command's fields are not checked here, but for one:
    where a list or an id may be absent, it may not be empty.

    Raises:
        JsonFaultsError: an unknown or a missing field, a wrong type, an unknown symbol, an empty list or id; with all
            that are wrong.
    """
    faults: list[Fault] = []
    record: _R = _record(kind, body, "", faults)
    if faults:
        raise JsonFaultsError(tuple(faults))
    return record


@cache
def times() -> frozenset[str]:
    """Names of the fields that are points in time: a name means the same in all records."""
    today = schemas.load(schemas.folder()).values()
    records = [part for schema in today for part in schemas.definitions(schema) if part["type"] == "record"]
    fields = {field["name"]: field["type"] for record in records for field in record["fields"]}
    return frozenset((*_OF_VIEWS, *(name for name, kind in fields.items() if _is_time(kind))))


def _is_time(kind: Any) -> bool:
    if isinstance(kind, list):
        return any(map(_is_time, kind))
    return isinstance(kind, dict) and kind.get("logicalType") == "timestamp-millis"


def present(hint: Any) -> Any:
    """The type of a field that is not absent."""
    return next(part for part in get_args(hint) if part is not NoneType) if isinstance(hint, UnionType) else hint


class _Field(NamedTuple):
    """A field: the function that reads it, whether it has no default, and whether it may be absent."""

    read: _Read
    needed: bool
    optional: bool


@cache
def _fields(kind: type[Record]) -> dict[str, _Field]:
    hints = get_type_hints(kind)
    fields = {each.name: each.required for each in msgspec.structs.fields(kind) if each.name != NOT_IN_THE_SCHEMA}
    return {
        name: _Field(_reader(name, hints[name]), needed, NoneType in get_args(hints[name]))
        for name, needed in fields.items()
    }


def _record(kind: type[Record], body: object, path: str, faults: list[Fault]) -> Any:
    if not isinstance(body, dict):
        return _fault(faults, path, f"is {_a(body)}: write an object, the fields of {kind.__name__}")
    fields = _fields(kind)
    below = f"{path}." if path else ""
    faults += [Fault(f"{below}{name}", _unknown(name, kind)) for name in body if name not in fields]
    found: dict[str, Any] = {}
    for name, field in fields.items():
        value = body.get(name)
        if value is not None:
            found[name] = field.read(value, f"{below}{name}", faults)
        elif field.needed:
            found[name] = None if field.optional else _fault(faults, f"{below}{name}", "is missing")
    return _BAD if any(value is _BAD for value in found.values()) else kind(**found)


def _unknown(name: str, kind: type[Record]) -> str:
    known = list(_fields(kind))
    near = get_close_matches(name, known, 1)
    return f"is not a field of {kind.__name__}" + (
        f": did you mean {near[0]}?" if near else f", which has {_or(known)}"
    )


def _reader(name: str, hint: Any, *, within: bool = False) -> _Read:
    """The function that reads a value. A list that may be absent, or stands within a map that may, is not empty."""
    filled = within or NoneType in get_args(hint)
    hint = present(hint)
    if origin := get_origin(hint):
        part = get_args(hint)[-1 if origin is dict else 0]
        read = _or_null(_reader(name, part, within=filled), part)
        return _list_reader(read, filled=filled) if origin is tuple else _map_reader(read, filled=filled)
    if hint is int and name in times():
        return _read_time
    if hint is str and name in _IDS:
        return _read_id
    return _single_reader(hint)


def _or_null(read: _Read, hint: Any) -> _Read:
    """The function that reads a value of a list or a map, which may be null."""
    if NoneType not in get_args(hint):
        return read
    return lambda value, path, faults: None if value is None else read(value, path, faults)


def _single_reader(hint: Any) -> _Read:
    if hint in _SINGLE:
        return _SINGLE[hint]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _symbol_reader(hint)
    if isinstance(hint, type) and issubclass(hint, Record):
        return lambda value, path, faults: _record(hint, value, path, faults)
    return lambda value, path, faults: value  # noqa: ARG005


def _list_reader(read: _Read, *, filled: bool) -> _Read:
    def read_list(value: Any, path: str, faults: list[Fault]) -> Any:
        if not isinstance(value, list):
            return _fault(faults, path, f"is {_a(value)}: write a list")
        if filled and not value:
            return _fault(faults, path, "is an empty list: name at least one, or leave the field out")
        values = tuple([read(part, f"{path}[{place}]", faults) for place, part in enumerate(value)])
        return _BAD if _BAD in values else values

    return read_list


def _map_reader(read: _Read, *, filled: bool) -> _Read:
    def read_map(value: Any, path: str, faults: list[Fault]) -> Any:
        if not isinstance(value, dict):
            return _fault(faults, path, f"is {_a(value)}: write an object of keys and values")
        if filled and not value:
            return _fault(faults, path, "is empty: name at least one, or leave the field out")
        keys = [_read_text(key, path, faults) for key in value]
        values = [read(part, f"{path}.{key}", faults) for key, part in value.items()]
        return _BAD if _BAD in keys or _BAD in values else dict(zip(keys, values, strict=True))

    return read_map


def _symbol_reader(kind: type[Enum]) -> _Read:
    symbols = {symbol.value: symbol for symbol in kind}
    article = "an" if kind.__name__[0] in "AEIOU" else "a"

    def read_symbol(value: Any, path: str, faults: list[Fault]) -> Any:
        if isinstance(value, str) and value in symbols:
            return symbols[value]
        near = get_close_matches(value.upper(), symbols, 1) if isinstance(value, str) else []
        hint = f": did you mean {near[0]}?" if near else f": write {_or(list(symbols))}"
        return _fault(faults, path, f"is {_shown(value)}, not {article} {kind.__name__}{hint}")

    return read_symbol


def _read_id(value: Any, path: str, faults: list[Fault]) -> Any:
    if value == "":
        return _fault(faults, path, "is empty: write one of at least one character")
    return _read_text(value, path, faults)


def _read_text(value: Any, path: str, faults: list[Fault]) -> Any:
    if not isinstance(value, str):
        return _fault(faults, path, f"is {_a(value)}: write a text")
    if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
        return _fault(faults, path, "holds half a surrogate pair, which is not a character")
    return value


def _read_long(value: Any, path: str, faults: list[Fault]) -> Any:
    if isinstance(value, bool) or not isinstance(value, int):
        return _fault(faults, path, f"is {_shown(value)}: write a whole number")
    if not -_LONG <= value < _LONG:
        return _fault(faults, path, "does not fit in 64 bits")
    return value


def _read_time(value: Any, path: str, faults: list[Fault]) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return _read_long(value, path, faults)
    try:
        if isinstance(value, str) and _TIME.fullmatch(value):
            moment = datetime.fromisoformat(value.upper()).astimezone(UTC).replace(tzinfo=None)
            return (moment - EPOCH) // timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        pass  # such as a 31st of February
    return _fault(faults, path, f"is {_shown(value)}: {_HOW_TIMES}")


def _read_number(value: Any, path: str, faults: list[Fault]) -> Any:
    if isinstance(value, str) and value in _NOT_NUMBERS:
        return _NOT_NUMBERS[value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _fault(faults, path, f"is {_shown(value)}: write a number")
    try:
        return float(value)
    except OverflowError:
        return _fault(faults, path, "is too large for a number")


def _read_flag(value: Any, path: str, faults: list[Fault]) -> Any:
    return value if isinstance(value, bool) else _fault(faults, path, f"is {_shown(value)}: write true or false")


def _read_bytes(value: Any, path: str, faults: list[Fault]) -> Any:
    try:
        if isinstance(value, str):
            return b64decode(value, validate=True)
    except ValueError:
        pass
    return _fault(faults, path, f"is {_shown(value)}: write bytes in base64")


_SINGLE: Final[dict[Any, _Read]] = {
    str: _read_text,
    int: _read_long,
    float: _read_number,
    bool: _read_flag,
    bytes: _read_bytes,
}


def _fault(faults: list[Fault], field: str, rule: str) -> Any:
    faults.append(Fault(field, rule))
    return _BAD


def _a(value: object) -> str:
    """What kind of JSON value it is, in words."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case _:
            return "an object"


def _shown(value: object) -> str:
    """A single value as JSON, cut if it is long; of others, what kind of value it is."""
    if value is None or isinstance(value, list | dict):
        return _a(value)
    text = repr(value) if isinstance(value, str) else str(value).lower()
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _or(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else "".join(words)
