"""A request as the checks see it, and its body."""

from __future__ import annotations

import asyncio
import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from streams.gateway.access.answers import RequestRefusedError

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope

BODY_WITHIN_S = 10.0
"""Time in which a body must have arrived, seconds."""

_ONCE = frozenset({"authorization", "content-length", "content-type", "host", "origin", "sec-fetch-site"})
_LONGEST_URL = 32 * 1024


class IncomingRequest:
    """The head of a request.

    Raises:
        RequestRefusedError: a header that may be there once is there twice, so that two readers could differ about it;
            or the URL is too long.
    """

    def __init__(self, scope: Scope) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        raw: bytes = scope.get("raw_path") or self.path.encode()
        self.is_plain = raw.partition(b"?")[0] == self.path.encode()
        """False for a path with escapes: nothing open is called so."""
        query: bytes = scope.get("query_string", b"")
        if len(raw) + len(query) > _LONGEST_URL:
            raise RequestRefusedError(414, f"a URL of more than {_LONGEST_URL:,} bytes")
        self.query = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
        server = scope.get("server") or (None, None)
        self.port: int | None = server[1]
        self._headers: dict[str, str] = {}
        for name, text in scope["headers"]:
            self._add(name.decode("latin-1").lower(), text.decode("latin-1"))
        self.address = _address(scope)

    def header(self, name: str) -> str | None:
        """A header, by its name in small letters."""
        return self._headers.get(name)

    def bearer(self) -> str | None:
        """The token of the header `Authorization`, empty if there is another kind of it; None without the header."""
        given = self.header("authorization")
        if given is None:
            return None
        scheme, _, secret = given.partition(" ")
        return secret.strip() if scheme.lower() == "bearer" else ""

    def cookie(self, name: str) -> str | None:
        """A cookie's value; those of other programs on this host may be as odd as they like."""
        for pair in (self.header("cookie") or "").split(";"):
            given, _, value = pair.strip().partition("=")
            if given == name:
                return value
        return None

    def _add(self, name: str, text: str) -> None:
        if name in self._headers:
            if name in _ONCE:
                raise RequestRefusedError(400, f"the header {name} is there twice")
            text = f"{self._headers[name]}{'; ' if name == 'cookie' else ', '}{text}"
        self._headers[name] = text


async def whole_body(request: IncomingRequest, receive: Receive, most: int) -> bytes | None:
    """The body, up to `most` bytes; None if the client has gone.

    Raises:
        RequestRefusedError: it is larger, or does not arrive in time.
    """
    too_large = RequestRefusedError(413, f"the body is larger than {most:,} bytes")
    declared = request.header("content-length") or "0"
    if not declared.isdecimal() or int(declared) > most:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                body += message.get("body", b"")
                if len(body) > most:
                    raise too_large
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        raise RequestRefusedError(408, f"the body did not arrive within {BODY_WITHIN_S:.0f} s") from None


def replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives this body once, and then what comes after it."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again


def _address(scope: Scope) -> str:
    """Whose failures count together: an IPv4 address, or the network of an IPv6 one, as one host has all of it."""
    host = (scope.get("client") or ("", 0))[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return str(host)
    if address.version == 4:  # noqa: PLR2004 - the name of the version
        return str(address)
    mapped = address.ipv4_mapped
    return str(mapped) if mapped else str(ipaddress.ip_network(f"{address}/64", strict=False))
