"""The gateway's api on the cluster in memory, called without a socket."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx

from streams import codec
from streams.config import Topic
from streams.gateway.api.app import create_app
from streams.gateway.api.services import Services
from streams.listing.fanout import FanOut, FoundInvocation, InvocationCounts, InvocationPage
from streams.listing.query import CountedGroup
from streams.model import Action, BatchHeader, BatchState, FlowProgress, SliceProgress, StartBatch, WorkerAddress
from streams.protocol.content import content_hash
from support.service.client_world import ClientWorld

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from fastapi import FastAPI

    from streams.listing.query import CountQuery, ListQuery, OneQuery
    from streams.listing.views import InvocationView

ORIGIN = "http://127.0.0.1:8080"
BATCHES, CONTROLS, ACTS = "/api/v1/batches", "/api/v1/batch-controls", "/api/v1/acts"
INVOCATIONS, FLOW_CANCELS, REPLAY = "/api/v1/invocations", "/api/v1/flow-cancels", "/api/v1/dead-letters/replay"
KILL: dict[str, Any] = {"action": "KILL", "filter": {"services": ["emails"]}}
BODIES: dict[str, dict[str, Any]] = {
    BATCHES: {**KILL, "batch_id": "b"},
    CONTROLS: {"batch_id": "b", "operation": "PAUSE"},
    ACTS: {"invocation_id": "i", "action": "KILL"},
    INVOCATIONS: {"invocation": {"invocation_id": "i", "service": "emails", "handler": "send"}},
    FLOW_CANCELS: {"flow_id": "f"},
    REPLAY: {"codes": ["unknown_schema"]},
}
"""A sound body for each route that takes one."""


class ApiWorld(ClientWorld):
    """A cluster, and an api that reads and writes it. Its progress is what a test publishes."""

    def __init__(self) -> None:
        super().__init__()
        self.services = Services.of(self.settings, self.cluster)
        self.app: FastAPI = create_app(self.services, self.settings)

    def run(self, story: Callable[[httpx.AsyncClient], Awaitable[None]], app: Any = None) -> None:
        """Run a test's story with a client of the api; `app`: another one around it."""

        async def told() -> None:
            async with self.client(app) as client:
                await story(client)

        asyncio.run(told())

    @asynccontextmanager
    async def client(self, app: Any = None) -> AsyncIterator[httpx.AsyncClient]:
        """A client of the running api."""
        transport = httpx.ASGITransport(app or self.app, raise_app_exceptions=False)
        async with self.services, httpx.AsyncClient(transport=transport, base_url=ORIGIN) as client:
            await self.services.board.ready.wait()
            yield client

    def publish(self, *records: BatchHeader | SliceProgress | FlowProgress | WorkerAddress) -> None:
        """Write progress and addresses as workers do."""
        for record in records:
            match record:
                case BatchHeader():
                    self.write(Topic.BATCH_SLICES, f"{record.batch_id}/lead", codec.encode(record))
                case SliceProgress():
                    self.write(Topic.BATCH_SLICES, f"{record.batch_id}/{record.partition}", codec.encode(record))
                case FlowProgress():
                    self.write(Topic.FLOWS, record.flow_id, codec.encode(record))
                case WorkerAddress():
                    self.write(Topic.WORKERS, str(record.partition), codec.encode(record))

    async def seen(self, condition: Callable[[], Any]) -> None:
        """Wait until the api has read what makes the condition true."""
        async with asyncio.timeout(5):
            while not condition():
                await self.services.board.changed(0.02)

    async def lead(self, **changes: Any) -> None:
        """Do what a lead does: wait for the newest `StartBatch` that has no header yet, and publish its header."""
        known = self.services.board.batches
        async with asyncio.timeout(5):
            while not (new := [each for each in self.starts() if known.header(each.batch_id) is None]):
                await self.services.board.changed(0.005)
        self.publish(header_for(new[0], **changes))

    def starts(self) -> list[StartBatch]:
        """The batches that were sent."""
        return [each for each in self.commands() if isinstance(each, StartBatch)]


class Rows(FanOut):
    """A listing of rows that a test chooses, in place of workers; `asked`: the queries."""

    def __init__(self, *rows: InvocationView, missing: tuple[int, ...] = ()) -> None:
        super().__init__(dict, lambda: 1)
        self._rows, self._missing = rows, missing
        self.asked: list[ListQuery | CountQuery | OneQuery] = []

    async def page(self, query: ListQuery) -> InvocationPage:
        """All of them."""
        self.asked.append(query)
        return InvocationPage(self._rows, None, 5_000, self._missing)

    async def counts(self, query: CountQuery) -> InvocationCounts:
        """All of them."""
        self.asked.append(query)
        groups = (CountedGroup(dict(Counter(each.status for each in self._rows)), "emails"),)
        return InvocationCounts(groups, 5_000, not self._missing, self._missing)

    async def one(self, query: OneQuery) -> FoundInvocation:
        """The row of that id."""
        self.asked.append(query)
        found = next((each for each in self._rows if each.invocation_id == query.invocation_id), None)
        return FoundInvocation(found, 3, 5_000, missing=found is None and bool(self._missing))


def header_for(start: StartBatch, **changes: Any) -> BatchHeader:
    """The header that a lead publishes for a batch."""
    ids = start.filter.invocation_ids
    fields: dict[str, Any] = {
        **{name: getattr(start, name) for name in StartBatch.__struct_fields__},
        "grace_ms": 30_000 if start.action is Action.CANCEL and start.grace_ms is None else start.grace_ms,
        "invocation_ids_count": None if ids is None else len(set(ids)),
        "state": BatchState.STARTING,
        "error": None,
        "partitions_total": 4,
        "revision": 7,
        "created_at": 1_000,
        "updated_at": 1_000,
        "content_hash": content_hash(start),
    }
    return BatchHeader(**(fields | changes))
