"""Invocations: asked of the workers, invoked, acted on one by one."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from msgspec.structs import asdict

from streams.client import new_invocation_id
from streams.codec.json_form import Fault, time_text, to_json
from streams.gateway.api.bodies import ActBody, InvokeBody, command_of, json_of
from streams.gateway.api.callers import caller_of, require_operator, require_ready, require_same_engine, services_of
from streams.gateway.api.paths import id_of
from streams.gateway.api.problems import FaultsError, ProblemError
from streams.gateway.api.queries import FILTER, Parameters
from streams.listing.query import MAX_LIMIT, CountQuery, GroupBy, ListQuery, OneQuery, QueryRefusedError
from streams.model import Act, Cause, Invoke

if TYPE_CHECKING:
    from streams.client import Delivery
    from streams.gateway.api.services import Services

router = APIRouter(prefix="/api/v1", tags=["invocations"])


@router.post("/invocations")
async def post_invocation(request: Request) -> Response:
    """Bring an invocation into the table; sent again with the same id and content, it changes nothing."""
    services = services_of(request)
    fields = await json_of(request)
    inner = fields.get("invocation")
    if isinstance(inner, dict) and inner.get("invocation_id") is None:
        named = [inner.get(each) if isinstance(inner.get(each), str) else None for each in ("service", "object_key")]
        fields = {**fields, "invocation": {**inner, "invocation_id": new_invocation_id(*named)}}
    command = command_of(InvokeBody, fields, lambda body: Invoke(**asdict(body)))
    await require_same_engine(services)
    delivery = await services.commands.send(command)
    return _accepted({"invocation_id": command.invocation.invocation_id}, delivery)


@router.post("/acts")
async def post_act(request: Request) -> Response:
    """One action on one invocation."""
    services = services_of(request)

    def made(body: Any) -> Act:
        said = asdict(body)
        cause = Cause(actor=caller_of(request).name, reason=said.pop("reason"))
        return Act(**said, cause=cause)

    command = command_of(ActBody, await json_of(request), made)
    await require_same_engine(services)
    delivery = await services.commands.send(command)
    return _accepted({"invocation_id": command.invocation_id, "action": command.action.value}, delivery)


@router.get("/invocations")
async def get_invocations(request: Request) -> Response:
    """Invocations that the filter matches, newest first; all of them without one.

    A page may have fewer items than asked for, even none, while there is a `next_cursor`.
    """
    services = services_of(request)
    asked = Parameters(request, (*FILTER, "limit", "cursor"))
    chosen = asked.filter()
    limit, cursor = asked.whole("limit", 50, 1, MAX_LIMIT), asked.one("cursor")
    asked.require_sound()
    await require_ready(services)
    _require_partitions(services)
    try:
        page = await services.listing.page(ListQuery(chosen, limit, cursor))
    except QueryRefusedError as error:
        field = error.field or ""
        raise FaultsError([Fault(field, str(error).removeprefix(field).strip())]) from None
    body: dict[str, Any] = {"items": [to_json(each, whole=False) for each in page.items]}
    if page.next_cursor is not None:
        body["next_cursor"] = page.next_cursor
    return _answer(body, page.as_of, page.missing_partitions)


@router.get("/invocation-counts")
async def get_invocation_counts(request: Request) -> Response:
    """Numbers of invocations that the filter matches, by status, and by a field that they have."""
    services = services_of(request)
    asked = Parameters(request, (*FILTER, "group_by"))
    chosen = asked.filter()
    group_by = asked.symbol("group_by", [each.value for each in GroupBy])
    asked.require_sound()
    await require_ready(services)
    _require_partitions(services)
    found = await services.listing.counts(CountQuery(chosen, None if group_by is None else GroupBy(group_by)))
    total: dict[str, int] = {}
    for group in found.groups:
        for status, number in group.counts.items():
            total[str(status)] = total.get(str(status), 0) + number
    body: dict[str, Any] = {"total": sum(total.values()), "counts": total, "exact": found.exact}
    if group_by is not None:
        body["group_by"] = group_by
        body["groups"] = [
            {"counts": {str(status): number for status, number in each.counts.items()}}
            | ({} if each.value is None else {"value": each.value})
            for each in found.groups
        ]
    return _answer(body, found.as_of, found.missing_partitions)


@router.get("/invocations/{invocation_id:path}")
async def get_invocation(request: Request, invocation_id: str) -> Response:
    """One invocation: its row, who ended it and why, what holds it; its payload only if asked for."""
    services = services_of(request)
    asked = Parameters(request, ("payload",))
    payload = asked.flag("payload") or False
    asked.require_sound()
    if payload:
        require_operator(request, "a payload")
    name = id_of("invocation_id", invocation_id)
    await require_ready(services)
    _require_partitions(services)
    found = await services.listing.one(OneQuery(name, payload))
    if found.missing:
        detail = f"partition {found.partition}, where {name} would be, is served by no worker now"
        raise ProblemError(503, "not-served", detail, headers={"Retry-After": "2"}, partition=found.partition)
    if found.view is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "unknown-invocation", f"there is no invocation {name}")
    return JSONResponse(to_json(found.view) | {"as_of": time_text(found.as_of)})


def _require_partitions(services: Services) -> None:
    if not services.commands.partitions:
        detail = "the broker has not said yet how many partitions there are"
        raise ProblemError(503, "not-ready", detail, headers={"Retry-After": "2"})


def _answer(body: dict[str, Any], as_of: int, missing: tuple[int, ...]) -> Response:
    return JSONResponse({**body, "as_of": time_text(as_of), "missing_partitions": list(missing)})


def _accepted(body: dict[str, Any], delivery: Delivery) -> Response:
    return JSONResponse({**body, "logged": delivery.place}, HTTPStatus.ACCEPTED)
