"""The HTTP application: routes, problems, and how paths are read."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from fastapi import FastAPI

from streams import __version__
from streams.gateway.api import batches, dead_letters, docs, events, flows, health, invocations, page, system
from streams.gateway.api.observer import Observed
from streams.gateway.api.paths import RawPaths
from streams.gateway.api.problems import add_handlers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from streams.config import Settings
    from streams.gateway.api.services import Services

ROUTERS: Final = tuple(
    part.router for part in (batches, invocations, flows, events, dead_letters, system, docs, health)
)


def create_app(services: Services, settings: Settings) -> FastAPI:
    """The application on these services, which it starts and ends with its own life (ASGI's lifespan).

    Where the services run already, as in tests, it is used without a lifespan.
    """

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        async with services:
            yield

    app = FastAPI(
        title="streams",
        version=__version__,
        lifespan=life,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state.services, app.state.settings = services, settings
    add_handlers(app)
    for router in (*ROUTERS, page.router):
        app.include_router(router)
    app.add_middleware(RawPaths)
    app.add_middleware(Observed, observer=services.observer)
    return app
