"""The one JSON form of a record, both ways: the same in `--json`, `tail`, HTTP and events.

Field names and enum symbols are those of the record's Avro schema, times are RFC 3339 in UTC with milliseconds, bytes
are base64, absent fields are left out.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from datetime import timedelta
from enum import Enum
from functools import cache
from math import isfinite
from typing import Any, Final, get_args, get_origin, get_type_hints

from streams.codec.json_reading import EPOCH, NOT_IN_THE_SCHEMA, Fault, JsonFaultsError, from_json, present, times
from streams.model import Record

__all__ = ["MOST_SHOWN", "Fault", "JsonFaultsError", "from_json", "text_or_base64", "time_text", "to_json"]

MOST_SHOWN: Final = 20
"""The most values of a list that are shown where records are not shown whole."""

_LAST_MS: Final = 253_402_300_799_999
_Write = Callable[[Any, bool], Any]


def to_json(record: Record, *, whole: bool = True) -> dict[str, Any]:
    """The record as a JSON object. Numbers that JSON lacks are the texts `Infinity`, `-Infinity` and `NaN`.

    Args:
        record: of any kind with a schema, or a view made of such.
        whole: False: a list of more than `MOST_SHOWN` values is left out, and its length stands under the same name
            followed by `_count`; for lists in a map, lengths by key.
    """
    shown: dict[str, Any] = {}
    for name, write in _writers(type(record)):
        value = getattr(record, name)
        if value is None:
            continue
        if not whole and type(value) is tuple and len(value) > MOST_SHOWN:
            shown[f"{name}_count"] = len(value)
            continue
        if not whole and type(value) is dict and (counts := _counts(value)):
            shown[f"{name}_count"] = counts
            value = {key: part for key, part in value.items() if key not in counts}
        shown[name] = value if write is None else write(value, whole)
    return shown


def time_text(at_ms: int) -> str | int:
    """A point in time, from milliseconds since 1970. One beyond the calendar stays a number."""
    if not 0 <= at_ms <= _LAST_MS:
        return at_ms
    return (EPOCH + timedelta(milliseconds=at_ms)).isoformat(timespec="milliseconds") + "Z"


def text_or_base64(value: bytes | None) -> str | dict[str, str] | None:
    """Bytes as text if they are text, else as `{"base64": ...}`."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(value).decode()}


@cache
def _writers(kind: type[Record]) -> tuple[tuple[str, _Write | None], ...]:
    """The fields of a record, each with the function that makes its JSON value; None where it is that already."""
    hints = get_type_hints(kind)
    names = [name for name in kind.__struct_fields__ if name != NOT_IN_THE_SCHEMA]
    return tuple((name, _writer(name, hints[name])) for name in names)


def _writer(name: str, hint: Any) -> _Write | None:
    hint = present(hint)
    if origin := get_origin(hint):
        return _of_parts(origin, _part_writer(name, get_args(hint)[-1 if origin is dict else 0]))
    if hint is int:
        return _write_time if name in times() else None
    kinds = [kind for kind in _SINGLE if isinstance(hint, type) and issubclass(hint, kind)]
    return _SINGLE[kinds[0]] if kinds else None


def _part_writer(name: str, hint: Any) -> _Write | None:
    """The function for the values of a list or a map, each of which may be absent."""
    write = _writer(name, hint)
    if write is None or present(hint) is hint:
        return write
    return lambda value, whole: None if value is None else write(value, whole)


def _of_parts(origin: Any, write: _Write | None) -> _Write:
    if write is None:
        of_their_own = list if origin is tuple else dict
        return lambda values, whole: of_their_own(values)  # noqa: ARG005
    if origin is tuple:
        return lambda values, whole: [write(value, whole) for value in values]
    return lambda values, whole: {key: write(value, whole) for key, value in values.items()}


def _write_time(value: int, whole: bool) -> str | int:  # noqa: ARG001, FBT001
    return time_text(value)


def _write_number(value: float, whole: bool) -> float | str:  # noqa: ARG001, FBT001
    if isfinite(value):
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"  # noqa: PLR0124


def _write_bytes(value: bytes, whole: bool) -> str:  # noqa: ARG001, FBT001
    return b64encode(value).decode()


def _write_symbol(value: Enum, whole: bool) -> Any:  # noqa: ARG001, FBT001
    return value.value


def _write_record(value: Record, whole: bool) -> dict[str, Any]:  # noqa: FBT001
    return to_json(value, whole=whole)


def _counts(values: dict[str, Any]) -> dict[str, int]:
    """The lengths of a map's long lists."""
    return {key: len(part) for key, part in values.items() if type(part) is tuple and len(part) > MOST_SHOWN}


_SINGLE: Final[dict[type[Any], _Write]] = {
    float: _write_number,
    bytes: _write_bytes,
    Enum: _write_symbol,
    Record: _write_record,
}
