"""Server-sent events: the newest state first, then each newer one as it comes."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec
from fastapi import APIRouter, Request, Response

from streams.codec.json_form import Fault, to_json
from streams.gateway.api.batches import unknown_batch
from streams.gateway.api.callers import require_ready, services_of
from streams.gateway.api.flows import unknown_flow
from streams.gateway.api.paths import id_of
from streams.gateway.api.queries import Parameters
from streams.gateway.hub import Key
from streams.model import FINAL_STATES, BatchProgress

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streams.gateway.board import Board
    from streams.gateway.hub import Subscription
    from streams.gateway.newest import NewestFirst
    from streams.model import FlowProgress

QUIET_S: Final = 15.0
"""After so long without an event a comment keeps the connection open, seconds."""
NEWEST: Final = 200
"""Batches, and flows, that a stream of all begins with, besides those that are not over."""

_AT_ONCE: Final = 64 * 1024
"""Bytes of events after which a connection gets the next ones only when it has taken these."""
_CATCHES_UP_S: Final = 0.5
_KNOWN_WITHIN_S: Final = 2.0
_HEADERS: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
)
_COMMENT: Final = b": \n\n"

router = APIRouter(prefix="/api/v1", tags=["events"])


@router.get("/events")
async def get_events(request: Request) -> Response:
    """All batches and flows: first those that are not over and the newest 200, then each change, without end.

    With `batch_id` or `flow_id`: as the stream of that one, for ids that a path cannot carry.
    """
    services = services_of(request)
    asked = Parameters(request, ("batch_id", "flow_id"))
    batch_id, flow_id = asked.one("batch_id"), asked.one("flow_id")
    if batch_id is not None and flow_id is not None:
        asked.faults.append(Fault("flow_id", "is given with batch_id: give one of them"))
    asked.require_sound()
    await require_ready(services)
    if batch_id is not None:
        return await _of_one(request, services.board, Key("batch", batch_id))
    if flow_id is not None:
        return await _of_one(request, services.board, Key("flow", flow_id))
    return EventStream(services.board, None, _first_of_all(services.board))


@router.get("/batches/{batch_id}/events")
async def get_batch_events(request: Request, batch_id: str) -> Response:
    """One batch, to its end."""
    services = services_of(request)
    await require_ready(services)
    return await _of_one(request, services.board, Key("batch", id_of("batch_id", batch_id)))


@router.get("/flows/{flow_id}/events")
async def get_flow_events(request: Request, flow_id: str) -> Response:
    """One flow, until it is forgotten."""
    services = services_of(request)
    await require_ready(services)
    return await _of_one(request, services.board, Key("flow", id_of("flow_id", flow_id)))


async def _of_one(request: Request, board: Board, key: Key) -> Response:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _KNOWN_WITHIN_S
    while not _may_come(board, key) and (left := deadline - loop.time()) > 0:
        await board.changed(left)
    if not _may_come(board, key):
        raise unknown_batch(key.name) if key.kind == "batch" else unknown_flow(key.name)
    await _caught_up(board, key, request.headers.get("last-event-id", ""))
    return EventStream(board, key, [key])


def _may_come(board: Board, key: Key) -> bool:
    """Whether it is known, or a batch that was sent from here and has not been seen yet."""
    return newest_of(board, key) is not None or (key.kind == "batch" and key.name in board.accepted)


async def _caught_up(board: Board, key: Key, last: str) -> None:
    """Wait a moment for the revision that the reader has seen, at another gateway: counters never go back.

    What names another life, or nothing, is not waited for any longer.
    """
    if not (last.isascii() and last.isdecimal() and len(last) < 20):  # noqa: PLR2004 - a long
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(_CATCHES_UP_S):
            while (found := newest_of(board, key)) is not None and found.revision < int(last):
                await board.changed(_CATCHES_UP_S)


def _first_of_all(board: Board) -> list[Key]:
    """Those that are not over and the newest, each kind oldest first."""
    batches, flows = board.batches, board.flows
    return [
        *(Key("batch", name) for name in _unfinished_and_newest(batches.unfinished(), batches.newest)),
        *(Key("flow", name) for name in _unfinished_and_newest(flows.moving, flows.newest)),
    ]


def _unfinished_and_newest(unfinished: Iterable[str], newest: NewestFirst) -> list[str]:
    names = [place.name for place in reversed(newest.behind(None, NEWEST))]
    return [*sorted(set(unfinished).difference(names)), *names]


def newest_of(board: Board, key: Key) -> BatchProgress | FlowProgress | None:
    """The newest state of a batch or flow."""
    return board.batches.progress(key.name) if key.kind == "batch" else board.flows.flows.get(key.name)


class EventStream(Response):
    """The events of one batch or flow, or of all; it ends when the reader leaves or the process stops."""

    media_type = "text/event-stream"

    def __init__(self, board: Board, key: Key | None, first: list[Key]) -> None:
        super().__init__()
        self._board, self._key, self._first = board, key, first
        self._sent: tuple[int, int] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG002 - ASGI's signature
        """Send until there is nothing more to send, or nobody to send it to."""
        hub = self._board.hub
        subscription = hub.subscribe(self._key, self._first)
        leaving = asyncio.create_task(_leave(receive, subscription))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
            await send({"type": "http.response.body", "body": _COMMENT, "more_body": True})
            await self._send_events(subscription, send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            hub.leave(self._key, subscription)
            leaving.cancel()

    async def _send_events(self, subscription: Subscription, send: Any) -> None:
        while await subscription.changed(QUIET_S):
            body, over = self._events(subscription)
            # While a slow reader takes this, what changes is gathered in the subscription.
            await send({"type": "http.response.body", "body": body or _COMMENT, "more_body": True})
            if over:
                return

    def _events(self, subscription: Subscription) -> tuple[bytes, bool]:
        """The next events, as many as are sent at once, and whether the stream has come to its end."""
        body, over = bytearray(), False
        while len(body) < _AT_ONCE and not over and (key := subscription.take()) is not None:
            if self._key is not None:
                event, over = self._next_of_one(key)
                body += event
            elif (found := newest_of(self._board, key)) is not None:
                body += event_of(self._board, key, found)
        return bytes(body), over

    def _next_of_one(self, key: Key) -> tuple[bytes, bool]:
        found = newest_of(self._board, key)
        if found is None:
            return b"", self._sent is not None  # forgotten, or not there yet
        place = found.created_at, found.revision
        if self._sent is not None and place <= self._sent:
            return b"", False
        self._sent = place
        return event_of(self._board, key, found), isinstance(found, BatchProgress) and found.state in FINAL_STATES


def event_of(board: Board, key: Key, found: BatchProgress | FlowProgress) -> bytes:
    """One event; written once for all its readers."""
    if (kept := board.written.get(key, found)) is not None:
        return kept
    data = msgspec.json.encode(to_json(found, whole=False))
    text = b"id: %d\nevent: %s\ndata: %s\n\n" % (found.revision, key.kind.encode(), data)
    board.written.put(key, found, text)
    return text


async def _leave(receive: Any, subscription: Subscription) -> None:
    """End the subscription when the reader has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    subscription.end()
