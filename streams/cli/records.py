"""Records as JSON and back: `tail` prints them under `record`, `send` takes them.

`{"type": "Invoke", "invocation": {...}, ...}`: the record's JSON form, and its type.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any, cast, get_args

import msgspec

from streams import codec
from streams.codec.json_form import JsonFaultsError, from_json, to_json
from streams.errors import StreamsError
from streams.model import ClientCommand, Command, Record

_CLIENTS: dict[str, type[Record]] = {kind.__name__: kind for kind in get_args(ClientCommand)}
_WORKERS = {kind.__name__ for kind in get_args(Command)} - _CLIENTS.keys()


class BadLineError(StreamsError):
    """A line that is not a command; the message says why."""


def typed_json(record: Record) -> dict[str, Any]:
    """The record's JSON form, its type first."""
    return {"type": type(record).__name__, **to_json(record)}


def decoded(value: bytes | None) -> dict[str, Any]:
    """The record in a value, or the reason why there is none."""
    if value is None:
        return {"record": None}
    try:
        return {"record": typed_json(codec.decode(value))}
    except codec.BadRecordError as error:
        reason = {"code": error.code, "reason": str(error), "base64": b64encode(value).decode()}
        return {"undecodable": reason}


def command_of(line: bytes) -> ClientCommand:
    """The command in a line of JSON, not yet checked against the rules of its fields.

    Raises:
        BadLineError: it is not a JSON object, not of a type that clients may send, or has a field that is unknown,
            missing or of a wrong type.
    """
    try:
        fields = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadLineError(f"not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise BadLineError('not a JSON object: write {"type": "Invoke", ...}')
    kind = _kind(fields.pop("type", None))
    try:
        return cast("ClientCommand", from_json(kind, fields))
    except JsonFaultsError as error:
        raise BadLineError(f"{kind.__name__}: {'; '.join(map(str, error.faults))}") from None


def _kind(name: object) -> type[Record]:
    if isinstance(name, str) and name in _CLIENTS:
        return _CLIENTS[name]
    allowed = ", ".join(_CLIENTS)
    if name is None:
        raise BadLineError(f"type is missing: give one of {allowed}")
    if isinstance(name, str) and name in _WORKERS:
        raise BadLineError(f"type {name} is for workers to write: give one of {allowed}")
    raise BadLineError(f"type {name!r} is not a command: give one of {allowed}")
