"""The gateway's door before an application that tells whom it has seen."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import httpx

from streams.config import Settings
from streams.gateway.access.callers import Role
from streams.gateway.access.middleware import Access
from streams.gateway.access.tokens import Tokens, line_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from starlette.types import ASGIApp

OPERATOR, VIEWER = "streams_operators-own-secret", "streams_viewers-own-secret"
"""Secrets of ann, who is an operator, and of vic, who is a viewer."""
LINES = (line_of("ann", Role.OPERATOR, OPERATOR), line_of("vic", Role.VIEWER, VIEWER))
JSON = {"content-type": "application/json"}
HERE = "http://127.0.0.1:8080"


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Tells caller, length of the body and path; a path that ends with `/events` is a stream without an end."""
    if scope["type"] == "lifespan":
        return
    kind, said = b"application/json", b""
    streams = scope["path"].endswith("/events")
    if streams:
        kind = b"text/event-stream"
    else:
        caller = scope["state"]["caller"]
        size = len((await receive())["body"])
        seen = {"name": caller and caller.name, "role": caller and caller.role, "open": scope["state"]["open"]}
        said = json.dumps({**seen, "size": size, "path": scope["path"]}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    await send({"type": "http.response.body", "body": said, "more_body": streams})
    if streams:
        await asyncio.Event().wait()


class Door:
    """The door with a file of tokens and two clocks that stand still. `lines` None: it asks for no token.

    `app`: the application behind it, if not the one that tells what it sees.
    """

    def __init__(
        self, folder: Path, lines: tuple[str, ...] | None = LINES, app: ASGIApp = application, **settings: Any
    ) -> None:
        self.file = folder / "tokens"
        self.now = 1_000_000.0
        self.timer = 0.0
        tokens = None
        if lines is not None:
            self.write(*lines)
            tokens = Tokens(self.file, lambda: self.timer)
        self.settings = Settings(**{"gateway_http": "127.0.0.1:8080", **settings})
        self.access = Access(app, self.settings, tokens, lambda: self.now, lambda: self.timer)

    def write(self, *lines: str) -> None:
        """Write the file of tokens, which nobody else may do."""
        self.file.write_text("".join(f"{line}\n" for line in lines))
        self.file.chmod(0o600)

    def ask(
        self,
        method: str,
        path: str,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        *,
        base: str = HERE,
        address: str = "192.0.2.1",
    ) -> httpx.Response:
        """One request. What changes something is said to be JSON, unless the headers say otherwise."""
        given = {} if method in {"GET", "HEAD"} else dict(JSON)
        given |= {} if token is None else {"authorization": f"Bearer {token}"}

        async def once(client: httpx.AsyncClient) -> httpx.Response:
            return await client.request(method, path, headers={**given, **(headers or {})}, content=content)

        answer: httpx.Response = self.talk(once, base, address)
        return answer

    def talk(
        self, say: Callable[[httpx.AsyncClient], Awaitable[Any]], base: str = HERE, address: str = "192.0.2.1"
    ) -> Any:
        """Several requests of one client."""

        async def talking() -> Any:
            transport = httpx.ASGITransport(app=self.access, client=(address, 4711))
            async with httpx.AsyncClient(transport=transport, base_url=base, trust_env=False) as client:
                return await say(client)

        return asyncio.run(talking())
