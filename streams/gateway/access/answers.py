"""Answers that the gateway gives before the API is asked, and the headers of every answer."""

from __future__ import annotations

import asyncio
import json
import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.types import Message, Send

    RawHeaders = list[tuple[bytes, bytes]]

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "content-security-policy": _POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    # Without a referrer, browsers send `Origin: null` with a form, and the login could not be told from a stranger's.
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
"""Headers of every answer, whatever the application says."""

_ONLY_BY_TLS = {"strict-transport-security": "max-age=31536000"}
_UNLESS_GIVEN = {"cache-control": "no-store"}


class RequestRefusedError(Exception):
    """A request that is refused; `detail` is for people, and repeats no secret."""

    def __init__(
        self, status: int, detail: str, *, rule: str = "", retry_after_s: float = 0.0, challenge: bool = False
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.rule = rule
        self.headers: dict[str, str] = {}
        if retry_after_s:
            self.headers["retry-after"] = str(math.ceil(retry_after_s))
        if challenge:
            self.headers["www-authenticate"] = "Bearer"

    def problem(self) -> dict[str, Any]:
        """The body, in the form of RFC 9457."""
        title = HTTPStatus(self.status).phrase
        kind = (self.rule or title).lower().replace("_", "-").replace(" ", "-")
        rule = {"rule": self.rule} if self.rule else {}
        told = {"title": title, "status": self.status, "detail": self.detail}
        return {"type": f"urn:streams:problem:{kind}", **told, **rule}


class OutgoingAnswer:
    """An answer on its way: adds the headers, and knows how far it is."""

    def __init__(self, send: Send, *, secure: bool) -> None:
        self._send = send
        self._fixed = {**SECURITY_HEADERS, **(_ONLY_BY_TLS if secure else {})}
        self.may_stream: Callable[[], bool] = lambda: True
        """Called before the first byte of a stream of events; after False nothing of it is sent."""
        self.started = False
        self.ended = False

    async def send(self, message: Message) -> None:
        """Pass a message of the application on."""
        passed = dict(message)
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            if _is_stream(headers) and not self.may_stream():
                await asyncio.Event().wait()  # until the request is cancelled, as whoever forbade it is about to do
            passed["headers"] = self._with_own(headers)
            self.started = True
        elif message["type"] == "http.response.body":
            self.ended = not message.get("more_body", False)
        await self._send(passed)

    async def whole(self, status: int, kind: str, body: bytes, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Send an answer of our own."""
        own = [("content-type", kind), ("content-length", str(len(body))), *headers]
        raw = [(name.encode("latin-1"), text.encode("latin-1")) for name, text in own]
        await self.send({"type": "http.response.start", "status": status, "headers": raw})
        await self.send({"type": "http.response.body", "body": body})

    async def refuse(self, refused: RequestRefusedError) -> None:
        """Send a refusal."""
        body = json.dumps(refused.problem()).encode()
        await self.whole(refused.status, "application/problem+json", body, refused.headers.items())

    async def end(self) -> None:
        """End an answer that the application has begun."""
        if self.started and not self.ended:
            await self.send({"type": "http.response.body", "body": b""})

    def _with_own(self, headers: RawHeaders) -> RawHeaders:
        given = {name.lower() for name, _ in headers}
        own = {**self._fixed, **{name: text for name, text in _UNLESS_GIVEN.items() if name.encode() not in given}}
        kept = [(name, text) for name, text in headers if name.lower().decode("latin-1") not in self._fixed]
        return [*kept, *((name.encode(), text.encode()) for name, text in own.items())]


def _is_stream(headers: RawHeaders) -> bool:
    return any(name.lower() == b"content-type" and kind.startswith(b"text/event-stream") for name, kind in headers)
