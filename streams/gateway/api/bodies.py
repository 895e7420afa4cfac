"""Bodies of requests: JSON into records, with all that is wrong with them."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from streams.codec.json_form import Fault, JsonFaultsError, from_json
from streams.gateway.api.problems import FaultsError, ProblemError
from streams.model import (
    Action,
    CancelPolicy,
    ControlOperation,
    Filter,
    FlowAction,
    Invocation,
    OnTimeout,
    Record,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import Request

MAX_BODY: Final = 2 * 1024 * 1024
"""Most bytes of a body: the largest command as JSON, with its payload as base64."""

_DEEPEST: Final = 64
_CALLERS: Final = "is the name of the caller: leave it out"

_R = TypeVar("_R", bound=Record)


class StartBatchBody(Record, frozen=True):
    """Starts a batch: one action on all invocations that a filter matches."""

    action: Action
    filter: Filter
    batch_id: str | None = None
    dry_run: bool = False
    limit: int | None = None
    max_rate: float | None = None
    grace_ms: int | None = None
    on_timeout: OnTimeout = OnTimeout.KILL
    standing_until: int | None = None
    expires_at: int | None = None
    reason: str | None = None


class ControlBatchBody(Record, frozen=True):
    """Changes a batch that runs. `max_rate`: rows a second, with SET_RATE."""

    batch_id: str
    operation: ControlOperation
    max_rate: float | None = None


class ActBody(Record, frozen=True):
    """One action on one invocation."""

    invocation_id: str
    action: Action
    grace_ms: int | None = None
    on_timeout: OnTimeout = OnTimeout.KILL
    reason: str | None = None


class CancelFlowBody(Record, frozen=True):
    """Cancels a flow and its members. `children`: `flow_id` is an invocation's, and its children are meant."""

    flow_id: str
    action: FlowAction = FlowAction.CANCEL
    policy: CancelPolicy = CancelPolicy.CANCEL_ALL
    grace_ms: int | None = None
    on_timeout: OnTimeout = OnTimeout.KILL
    reason: str | None = None
    children: bool = False


class InvokeBody(Record, frozen=True):
    """Brings an invocation into the table. Its `invocation_id` may be left out: it then gets a new one."""

    invocation: Invocation
    scheduled_at: int | None = None
    adopt: bool = False
    payload: bytes | None = None


class ReplayBody(Record, frozen=True):
    """Which dead letters to send again: `places`, as listed, or those with one of `codes`, or all of them."""

    places: tuple[str, ...] | None = None
    codes: tuple[str, ...] | None = None
    all: bool = False


async def json_of(request: Request) -> dict[str, Any]:
    """The JSON object in a body.

    Raises:
        ProblemError: 400 no JSON, 413 too large, 415 not said to be JSON.
        FaultsError: 422, a JSON value that is no object, or holds a name twice.
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
        raise ProblemError(HTTPStatus.BAD_REQUEST, "no-json", f"the body is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise FaultsError([Fault("", "is no object: write {...}")])
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


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise FaultsError([Fault(twice, "is given twice")])
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")
