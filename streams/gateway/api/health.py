"""Health and metrics of the whole gateway: the api answers for itself and asks the merge."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

router = APIRouter(include_in_schema=False)


@router.get("/health/live")
async def get_live() -> dict[str, Any]:
    """200 as long as the api answers at all; a part that is stuck is started again by the supervisor."""
    return {"live": True}


@router.get("/health/ready")
async def get_ready(request: Request) -> Response:
    """200 if both parts do their work; 503 with the reason, and the part that is missing."""
    services = request.app.state.services
    merge = await services.merge.ready()
    hindered = services.board.hindered_by
    missing = {"api": hindered} if hindered else {}
    if not merge.ok:
        missing["merge"] = merge.body.get("why", "it is not ready")
    body = {**merge.body, "ready": not missing, "missing": sorted(missing)}
    if missing:
        body["why"] = "; ".join(f"{part}: {why}" for part, why in missing.items())
    return JSONResponse(body, 503 if missing else 200)


@router.get("/metrics")
async def get_metrics(request: Request) -> Response:
    """Those of the API and of the merge."""
    services = request.app.state.services
    return Response(services.observer.text(await services.merge.metrics()), media_type=CONTENT_TYPE_LATEST)
