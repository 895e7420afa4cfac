"""Records as JSON and back: `tail` prints them under `record`, `send` takes them.

`{"type": "Invoke", "invocation": {...}, ...}`: the fields of the schema, those at their default left out; bytes are
base64, times milliseconds since 1970.
"""

from __future__ import annotations

from base64 import b64encode
from types import UnionType
from typing import TYPE_CHECKING, Any, cast, get_args, get_type_hints

import msgspec

from streams import codec, model
from streams.errors import StreamsError
from streams.model import ClientCommand, Command, Record

if TYPE_CHECKING:
    from collections.abc import Mapping

_CLIENTS: dict[str, type[Record]] = {kind.__name__: kind for kind in get_args(ClientCommand)}
_WORKERS = {kind.__name__ for kind in get_args(Command)} - _CLIENTS.keys()
_NOT_IN_THE_SCHEMA = "encoded"


class BadLineError(StreamsError):
    """A line that is not a command; the message says why."""


def to_json(record: Record) -> dict[str, Any]:
    """The record's type and fields, as a JSON object."""
    fields: dict[str, Any] = msgspec.to_builtins(record)
    fields.pop(_NOT_IN_THE_SCHEMA, None)
    return {"type": type(record).__name__, **fields}


def decoded(value: bytes | None) -> dict[str, Any]:
    """The record in a value, or the reason why there is none."""
    if value is None:
        return {"record": None}
    try:
        return {"record": to_json(codec.decode(value))}
    except codec.BadRecordError as error:
        reason = {"code": error.code, "reason": str(error), "base64": b64encode(value).decode()}
        return {"undecodable": reason}


def text_or_base64(value: bytes | None) -> str | dict[str, str] | None:
    """Bytes as text if they are text, else as `{"base64": ...}`."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(value).decode()}


def command_of(line: bytes) -> ClientCommand:
    """The command in a line of JSON, not yet checked against the rules of its fields.

    Raises:
        BadLineError: it is not a JSON object, not of a type that clients may send, or has a field that is unknown,
            missing or of a wrong type.
    """
    try:
        fields = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadLineError(f"no JSON: {error}") from None
    if not isinstance(fields, dict):
        raise BadLineError('no JSON object: write {"type": "Invoke", ...}')
    kind = _kind(fields.pop("type", None))
    _require_known(fields, kind, "")
    try:
        return cast("ClientCommand", msgspec.convert(fields, kind))
    except msgspec.ValidationError as error:
        raise BadLineError(f"{kind.__name__}: {error}") from None


def _kind(name: object) -> type[Record]:
    if isinstance(name, str) and name in _CLIENTS:
        return _CLIENTS[name]
    allowed = ", ".join(_CLIENTS)
    if name is None:
        raise BadLineError(f"type is missing: give one of {allowed}")
    if isinstance(name, str) and name in _WORKERS:
        raise BadLineError(f"type {name} is for workers to write: give one of {allowed}")
    raise BadLineError(f"type {name!r} is not a command: give one of {allowed}")


def _require_known(fields: Mapping[str, Any], kind: type[Record], path: str) -> None:
    """Refuse unknown fields: a misspelt field must not pass as an absent one."""
    inner = _RECORDS_IN[kind]
    for name, value in fields.items():
        if name not in kind.__struct_fields__ or name == _NOT_IN_THE_SCHEMA:
            known = ", ".join(each for each in kind.__struct_fields__ if each != _NOT_IN_THE_SCHEMA)
            raise BadLineError(f"{path}{name} is not a field of {kind.__name__}, which has {known}")
        if isinstance(value, dict) and name in inner:
            _require_known(value, inner[name], f"{path}{name}.")


def _records_in(kind: type[Record]) -> dict[str, type[Record]]:
    """Fields of a record that are or may be records themselves."""
    parts = ((name, part) for name, hint in get_type_hints(kind, vars(model)).items() for part in _parts(hint))
    return {name: part for name, part in parts if isinstance(part, type) and issubclass(part, Record)}


def _parts(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if isinstance(hint, UnionType) else (hint,)


_NESTED: tuple[type[Record], ...] = (model.Invocation, model.Filter, model.Exclusion, model.Cause)
_RECORDS_IN: dict[type[Record], dict[str, type[Record]]] = {
    kind: _records_in(kind) for kind in (*_CLIENTS.values(), *_NESTED)
}
