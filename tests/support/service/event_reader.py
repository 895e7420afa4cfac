"""A reader of server-sent events, without a socket: it takes as much as it wants, when it wants."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator


class EventReader:
    """Calls an ASGI app for a stream. Use it as an async context manager, which leaves the stream at its end.

    `sends_at_once`: pieces that the app may send before the reader takes one, as a socket's buffer holds.
    """

    def __init__(
        self, app: Any, path: str, *, last_seen: str | None = None, token: str | None = None, sends_at_once: int = 1_000
    ) -> None:
        raw, _, query = path.partition("?")
        headers = [(b"host", b"127.0.0.1:8080")]
        headers += [] if last_seen is None else [(b"last-event-id", last_seen.encode("latin-1"))]
        headers += [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
        self._scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": raw,
            "raw_path": raw.encode(),
            "query_string": query.encode(),
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8080),
            "root_path": "",
        }
        self._app = app
        self._sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue(sends_at_once)
        self._gone = asyncio.Event()
        self.status = 0
        self.headers: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self._app(self._scope, self._receive, self._sent.put))
        started = await self._next()
        self.status = started["status"]
        self.headers = {name.decode(): value.decode() for name, value in started["headers"]}
        return self

    async def __aexit__(self, *_: object) -> None:
        self._gone.set()
        while not self._running.done():
            while not self._sent.empty():
                self._sent.get_nowait()
            await asyncio.wait([self._running], timeout=0.01)
        await self._running

    async def event(self) -> dict[str, Any] | None:
        """The next event: its `id`, its `event` and its `data` decoded; None at the end of the stream."""
        while True:
            for found in self._waiting:
                return found
            piece = await self._next()
            if not piece.get("more_body") and not piece["body"]:
                return None
            self._waiting = events_in(piece["body"].decode())

    async def piece(self) -> bytes:
        """What the app sends next, comments included."""
        body: bytes = (await self._next())["body"]
        return body

    _waiting: Iterator[dict[str, Any]] = iter(())

    async def _next(self) -> dict[str, Any]:
        async with asyncio.timeout(5):
            return await self._sent.get()

    async def _receive(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}


def events_in(text: str) -> Iterator[dict[str, Any]]:
    """The events of a piece of a stream."""
    for block in text.split("\n\n"):
        fields = dict(line.partition(": ")[::2] for line in block.splitlines() if not line.startswith(":"))
        if "data" in fields:
            yield {"id": int(fields["id"]), "event": fields["event"], "data": json.loads(fields["data"])}
