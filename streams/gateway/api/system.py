"""The service itself: who calls, and its partitions."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from streams.codec.json_form import time_text
from streams.gateway.api.callers import caller_of, require_ready, services_of
from streams.gateway.api.queries import Parameters
from streams.model import ENGINE_VERSION

router = APIRouter(prefix="/api/v1", tags=["system"])


@router.get("/me")
async def get_me(request: Request) -> Response:
    """Who calls; `open`: something else than tokens guards this gateway."""
    Parameters(request, ()).require_sound()
    caller = caller_of(request)
    is_open = bool(request.scope.get("state", {}).get("open", True))
    return JSONResponse(
        {"name": caller.name, "role": str(caller.role), "open": is_open, "engine_version": ENGINE_VERSION}
    )


@router.get("/partitions")
async def get_partitions(request: Request) -> Response:
    """Each partition: its worker, how far that is behind, and its rows by status."""
    Parameters(request, ()).require_sound()
    services = services_of(request)
    await require_ready(services)
    found = []
    missing = []
    for each in await services.listing.partitions():
        shown: dict[str, Any] = {"partition": each.partition}
        if each.address is not None:
            shown |= {
                "url": each.address.url,
                "worker_id": each.address.worker_id,
                "since": time_text(each.address.since),
                "engine_version": each.address.engine_version,
            }
        if each.counts is None:
            missing.append(each.partition)
        else:
            rows = {str(status): number for group in each.counts.groups for status, number in group.counts.items()}
            shown |= {"clock": time_text(each.counts.clock), "rows": rows}
            if each.counts.lag is not None:
                shown["lag"] = each.counts.lag
        found.append(shown)
    return JSONResponse({"items": found, "missing_partitions": missing})
