"""Bodies of requests: JSON into records, with all that is wrong with them."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar, get_type_hints

import msgspec

from streams.codec.json_form import Fault, JsonFaultsError, from_json
from streams.codec.json_reading import NOT_IN_THE_SCHEMA
from streams.gateway.api.faults import require_faultless
from streams.gateway.api.problems import FaultsError, ProblemError
from streams.model import (
    Act,
    CancelFlow,
    CancelPolicy,
    ControlBatch,
    Exclusion,
    Filter,
    FlowAction,
    Invocation,
    Invoke,
    Record,
    StartBatch,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from fastapi import Request

MAX_BODY: Final = 2 * 1024 * 1024
"""Most bytes of a body: the largest command as JSON, with its payload as base64."""

_CALLERS: Final = "is the name of the caller: leave it out"

_MADE_UP: Final[dict[str, Any]] = {
    "action": "KILL",
    "operation": "PAUSE",
    "batch_id": "b",
    "flow_id": "f",
    "invocation_id": "i",
    "service": "s",
    "handler": "h",
    "filter": {"match_all": True},
    "invocation": {"invocation_id": "i", "service": "s", "handler": "h"},
}
"""Values that break no rule, for fields that must be there and cannot be read."""
_WITHIN: Final[dict[str, type[Record]]] = {"filter": Filter, "exclude": Exclusion, "invocation": Invocation}
"""Fields that are records, of which the rest can be read where a part cannot."""
_DECIDED: Final = {
    "action": ("filter.statuses", "filter.exclude.statuses"),
    "operation": ("max_rate",),
    "invocation.service": ("invocation.object_key",),
}
"""Fields whose rules nobody can tell without another one."""

_R = TypeVar("_R", bound=Record)
_C = TypeVar("_C", bound=StartBatch | ControlBatch | Act | CancelFlow | Invoke)


def _body_of(command: type[Record], says: str, without: tuple[str, ...] = (), **given: Any) -> Any:
    """The type of the body that becomes a command: whatever field the command gets, the body has it too.

    Args:
        command: the command's type.
        says: the description.
        without: fields that the gateway fills in, besides the actor.
        given: defaults of fields that a body may leave out, though the command needs them.
    """
    hints = get_type_hints(command)
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for each in msgspec.structs.fields(command):
        if each.name in {"actor", NOT_IN_THE_SCHEMA, *without}:
            continue
        hint, default = hints[each.name], given.get(each.name, each.default)
        if each.name in given or not each.required:
            fields.append((each.name, hint | None if default is None else hint, default))
        else:
            fields.append((each.name, hint))
    name = f"{command.__name__}Body"
    return msgspec.defstruct(name, fields, bases=(Record,), module=__name__, namespace={"__doc__": says}, kw_only=True)


StartBatchBody: Final = _body_of(
    StartBatch, "Starts a batch: one action on all invocations that a filter matches.", batch_id=None
)
ControlBatchBody: Final = _body_of(
    ControlBatch, "Changes a batch that runs. `max_rate`: rows a second, with SET_RATE.", ("control_no",)
)
CancelFlowBody: Final = _body_of(
    CancelFlow,
    "Cancels a flow and its members. `children`: `flow_id` is an invocation's, and its children are meant.",
    action=FlowAction.CANCEL,
    policy=CancelPolicy.CANCEL_ALL,
)
InvokeBody: Final = _body_of(
    Invoke, "Brings an invocation into the table. Its `invocation_id` may be left out: it then gets a new one."
)


class ActBody(_body_of(Act, "", ("cause", "only_unstarted", "seq"))):  # type: ignore[misc]
    """One action on one invocation."""

    reason: str | None = None


class ReplayBody(Record, frozen=True):
    """Which dead letters to send again: `places`, as listed, or those with one of `codes`, or all of them."""

    places: tuple[str, ...] | None = None
    codes: tuple[str, ...] | None = None
    all: bool = False


async def json_of(request: Request) -> dict[str, Any]:
    """The JSON object in a body.

    Raises:
        ProblemError: 400 not JSON, 413 too large, 415 not said to be JSON.
        FaultsError: 422, the JSON value is not an object, or an object in it has a name twice.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        detail = f"the body is {kind or 'of no type'}: send application/json"
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "not-json", detail, headers={"Accept": "application/json"}
        )
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            detail = f"the body has more than {MAX_BODY} bytes"
            raise ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", detail)
    try:
        found = json.loads(bytes(body).decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ProblemError(HTTPStatus.BAD_REQUEST, "no-json", f"the body is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise FaultsError([Fault("", "is not an object: write {...}")])
    return found


def record_of(kind: type[_R], body: Mapping[str, Any]) -> _R:
    """The record that a body is.

    Raises:
        FaultsError: it is not one, with all faults.
    """
    mine = [Fault("actor", _CALLERS)] if "actor" in body else []
    try:
        record = from_json(kind, {name: value for name, value in body.items() if name != "actor"})
    except JsonFaultsError as error:
        raise FaultsError([*mine, *error.faults]) from None
    if mine:
        raise FaultsError(mine)
    return record


def command_of(kind: type[Any], fields: Mapping[str, Any], made: Callable[[Any], _C]) -> _C:
    """The command that a body becomes.

    Args:
        kind: the type of the body.
        fields: the body.
        made: makes the command.

    Raises:
        FaultsError: it is not such a body, or breaks rules of the protocol, with all faults.
    """
    try:
        command = made(record_of(kind, fields))
    except FaultsError as error:
        raise FaultsError([*error.faults, *_further_faults(kind, fields, error, made)]) from None
    require_faultless(command)
    return command


def _further_faults(kind: type[Any], fields: Mapping[str, Any], known: FaultsError, made: Any) -> list[Fault]:
    """The rules that the rest of a body breaks, of which some fields cannot be read."""
    told = {fault.field.partition("[")[0] for fault in known.faults}
    aside = told.union(*(_DECIDED.get(each, ()) for each in told))
    try:
        require_faultless(made(record_of(kind, _readable(kind, fields, aside, ""))))
    except FaultsError as error:
        return [each for each in error.faults if each.field.partition("[")[0] not in told]
    return []


def _readable(kind: type[Any], fields: Mapping[str, Any], aside: Collection[str], path: str) -> dict[str, Any]:
    """The fields of a record but those aside, in whose place is what breaks no rule. `path`: what is before a name."""
    known = kind.__struct_fields__
    found = {name: value for name, value in _MADE_UP.items() if name in known and f"{path}{name}" in aside}
    for name, value in fields.items():
        field = f"{path}{name}"
        if value is None or field in aside:
            continue
        if not any(each.startswith(f"{field}.") for each in aside):
            found[name] = value
        elif name in _WITHIN and (rest := _readable(_WITHIN[name], value, aside, f"{field}.")):
            found[name] = rest
    return found | ({"match_all": True} if kind is Filter else {})


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise FaultsError([Fault(twice, "is given twice")])
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")
