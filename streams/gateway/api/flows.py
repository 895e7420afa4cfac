"""Named flows: looked at, cancelled."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from msgspec.structs import asdict

from streams.codec.json_form import to_json
from streams.gateway.api.bodies import CancelFlowBody, command_of, json_of
from streams.gateway.api.callers import caller_of, require_ready, require_same_engine, services_of
from streams.gateway.api.listed import page_of
from streams.gateway.api.paths import id_of
from streams.gateway.api.problems import ProblemError
from streams.gateway.api.queries import Parameters
from streams.model import CancelFlow, FlowState

if TYPE_CHECKING:
    from streams.model import FlowProgress

MOST: Final = 200
"""Most flows of a page."""
_PARAMETERS: Final = ("state", "actor", "created_from", "created_until", "flow_id", "limit", "cursor")

router = APIRouter(prefix="/api/v1", tags=["flows"])


@router.get("/flows")
async def get_flows(request: Request) -> Response:
    """Named flows, newest first."""
    services = services_of(request)
    asked = Parameters(request, _PARAMETERS)
    states = asked.symbols("state", list(FlowState))
    actors, ids = frozenset(asked.many("actor")), frozenset(asked.many("flow_id"))
    since, until = asked.time("created_from"), asked.time("created_until")
    limit, cursor = asked.whole("limit", 50, 1, MOST), asked.one("cursor")
    asked.require_sound()
    await require_ready(services)

    def wanted(flow: FlowProgress) -> bool:
        return (
            (not states or flow.state in states)
            and (not actors or flow.actor in actors)
            and (not ids or flow.flow_id in ids)
            and (since is None or flow.created_at >= since)
            and (until is None or flow.created_at < until)
        )

    said = [sorted(states), sorted(actors), sorted(ids), since, until]
    flows = services.board.flows
    return await page_of(flows.newest, flows.flows.get, wanted, said, limit, cursor)


@router.get("/flows/{flow_id}")
async def get_flow(request: Request, flow_id: str) -> Response:
    """One named flow."""
    services = services_of(request)
    await require_ready(services)
    name = id_of("flow_id", flow_id)
    found = services.board.flows.flows.get(name)
    if found is None:
        raise unknown_flow(name)
    return JSONResponse(to_json(found))


@router.post("/flow-cancels")
async def post_flow_cancel(request: Request) -> Response:
    """Cancel a flow and its members, or the children of an invocation. An unknown flow is created, cancelled."""
    services = services_of(request)
    actor = caller_of(request).name
    fields = await json_of(request)
    command = command_of(CancelFlowBody, fields, lambda body: CancelFlow(**asdict(body), actor=actor))
    await require_same_engine(services)
    delivery = await services.commands.send(command)
    return JSONResponse(to_json(command) | {"logged": delivery.place}, HTTPStatus.ACCEPTED)


def unknown_flow(name: str) -> ProblemError:
    """404 for a flow."""
    detail = f"there is no flow {name}: nobody has joined or cancelled it, or it is forgotten"
    return ProblemError(HTTPStatus.NOT_FOUND, "unknown-flow", detail)
