"""The caller of a request, as the middleware that knows tokens and sessions says; without it, anybody."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from streams.gateway.access.callers import Caller, Role, nobody
from streams.gateway.api.problems import ProblemError
from streams.model import ENGINE_VERSION

if TYPE_CHECKING:
    from fastapi import Request

    from streams.gateway.api.services import Services

_READY_S: Final = 5.0


def caller_of(request: Request) -> Caller:
    """The caller: its `name`, which is the actor of its commands, and its `role`."""
    found: Caller | None = request.scope.get("state", {}).get("caller")
    return nobody(request.app.state.settings) if found is None else found


def services_of(request: Request) -> Services:
    """The services of the app."""
    found: Services = request.app.state.services
    return found


async def require_ready(services: Services) -> None:
    """Wait a moment for the topics to be read; raise a problem, 503, if that takes longer."""
    try:
        async with asyncio.timeout(_READY_S):
            await services.board.ready.wait()
    except TimeoutError:
        detail = f"the gateway has not read its topics yet: {services.board.hindered_by}"
        raise ProblemError(503, "not-ready", detail, headers={"Retry-After": "2"}) from None


def require_operator(request: Request, what: str) -> None:
    """Raise a problem, 403, unless the caller is an operator; `what`: what only an operator may do."""
    caller = caller_of(request)
    if caller.role is not Role.OPERATOR:
        raise ProblemError(
            HTTPStatus.FORBIDDEN, "forbidden", f"{caller.name} is a {caller.role}: {what} is for operators"
        )


async def require_same_engine(services: Services) -> None:
    """Raise a problem, 503, while a partition's worker is of an older engine than this gateway, or may be.

    It might not know what the gateway writes.
    """
    await require_ready(services)
    old = [each for each in services.board.workers.values() if each.engine_version < ENGINE_VERSION]
    if old:
        first = min(old, key=lambda each: each.partition)
        detail = (
            f"worker {first.worker_id} of partition {first.partition} is of engine {first.engine_version}, this "
            f"gateway of {ENGINE_VERSION}: upgrade the workers"
        )
        raise ProblemError(503, "older-engine", detail, headers={"Retry-After": "5"})
