"""The api, one of the gateway's two parts: uvicorn on a socket that listens already."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import structlog
import uvicorn

from streams.gateway.access.middleware import Access
from streams.gateway.access.start_rules import server_options, tokens_of
from streams.gateway.api.app import create_app
from streams.gateway.api.services import Services
from streams.health import Health
from streams.kafka.clients import KafkaClients
from streams.stopping import Limit
from streams.supervision.liveness import fetched

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from streams.config import Settings

STREAMS_END_S: Final = 5
"""Time for streams of events, and requests under way, to end at a stop, seconds."""

_ASK_S: Final = 1.0

log = structlog.get_logger("streams.gateway")


def run_api(settings: Settings, listening: socket.socket, merge_port: int) -> None:
    """Serve until SIGTERM. `merge_port`: the port of this machine at which the merge answers for itself."""
    services = Services.of(settings, KafkaClients(), Merge(merge_port))
    server = ApiServer(services, settings)
    limit = Limit("gateway's api")

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, asked)
        await server.serve([listening])

    def asked() -> None:
        limit.begin()
        server.should_exit = True

    # It is not closed: that would wait for threads that wait for a broker, and this process ends now.
    asyncio.new_event_loop().run_until_complete(serve())
    limit.lift()
    log.info("api stopped")


class ApiServer(uvicorn.Server):
    """Uvicorn, which ends the streams of events before it waits for its requests.

    `should_exit` stops it; signals are the caller's.
    """

    def __init__(self, services: Services, settings: Settings) -> None:
        self._services = services
        app = Access(create_app(services, settings), settings, tokens_of(settings))
        own = server_options(settings)
        super().__init__(uvicorn.Config(app, lifespan="on", timeout_graceful_shutdown=STREAMS_END_S, **own))

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say where."""
        await super().startup(sockets)
        for each in sockets or ():
            host, port = each.getsockname()[:2]
            log.info("serving metrics and health", host=host, port=port, paths=("/api/v1", "/health/ready", "/metrics"))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, then all else."""
        self._services.stop()
        await super().shutdown(sockets)


class Merge:
    """The merge beside this api, asked over its own address."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def ready(self) -> Health:
        """Its own answer; not ok if it gives none in time: it is stuck, or about to be started again."""
        status, body = await self._asked("/health/ready")
        if status not in {HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE}:
            return Health(False, {"why": "it does not answer"})
        return Health(status == HTTPStatus.OK, json.loads(body))

    async def metrics(self) -> bytes:
        """Its metrics as text; empty if it gives none in time."""
        return (await self._asked("/metrics"))[1]

    async def _asked(self, path: str) -> tuple[int, bytes]:
        return await asyncio.to_thread(fetched, "127.0.0.1", self._port, path, _ASK_S)
