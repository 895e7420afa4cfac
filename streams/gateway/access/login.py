"""The login form, its cookie, and the logout."""

from __future__ import annotations

import html
from functools import cache
from importlib import resources
from string import Template
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import structlog

from streams.gateway.access.answers import RequestRefusedError
from streams.gateway.access.rates import RecentFailures
from streams.gateway.access.requests import whole_body
from streams.gateway.access.sessions import LASTS_S, Session, Sessions

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Receive

    from streams.gateway.access.answers import OutgoingAnswer
    from streams.gateway.access.requests import IncomingRequest
    from streams.gateway.access.tokens import Tokens

MOST_FAILURES = 10
"""Failed logins of one address within a minute."""

_MINUTE_S = 60.0
_MOST_BYTES = 8 * 1024
_FORM = "application/x-www-form-urlencoded"
_HTML = "text/html; charset=utf-8"

log = structlog.get_logger("streams.gateway.access")


class Logins:
    """Logins and logouts. `tokens`: None if the gateway asks for none. `clock`: seconds, for intervals only."""

    def __init__(self, tokens: Tokens | None, sessions: Sessions | None, clock: Callable[[], float]) -> None:
        self._tokens = tokens
        self._sessions = sessions
        self._failures = RecentFailures(MOST_FAILURES, _MINUTE_S, clock)

    def session_of(self, request: IncomingRequest) -> Session | None:
        """The session of a request's cookie."""
        cookie = self._cookie(request)
        return None if cookie is None or self._sessions is None else self._sessions.of(cookie)

    def has_cookie(self, request: IncomingRequest) -> bool:
        """True if the request has a cookie of ours, a good one or not."""
        return self._cookie(request) is not None

    async def form(self, answer: OutgoingAnswer, told: str = "", status: int = 200, retry_after_s: int = 0) -> None:
        """Show the form, with a message."""
        if self._tokens is None:
            await _go(answer, "/")
            return
        body = Template(_file("login.html")).substitute(told=html.escape(told)).encode()
        later = [("retry-after", str(retry_after_s))] if retry_after_s else []
        await answer.whole(status, _HTML, body, later)

    async def style(self, answer: OutgoingAnswer) -> None:
        """The style of the form."""
        await answer.whole(200, "text/css; charset=utf-8", _file("login.css").encode())

    async def login(self, request: IncomingRequest, receive: Receive, answer: OutgoingAnswer, *, secure: bool) -> None:
        """Take the form: a cookie and the way to the page, or the form again.

        Raises:
            RequestRefusedError: it is not a form, or it is too large.
        """
        if (request.header("content-type") or "").partition(";")[0].strip().lower() != _FORM:
            raise RequestRefusedError(415, f"the login takes {_FORM}")
        body = await whole_body(request, receive, _MOST_BYTES)
        if body is None:
            return
        if self._tokens is None or self._sessions is None:
            await _go(answer, "/")
            return
        wait = self._failures.wait(request.address)
        if wait:
            await self.form(answer, "Too many failed logins from your address: wait a minute.", 429, int(wait) + 1)
            return
        secret = dict(parse_qsl(body.decode("latin-1"))).get("token", "").strip()
        token = self._tokens.find(secret)
        if token is None:
            self._failures.failed(request.address)
            log.warning("a login failed", address=request.address)
            await self.form(answer, "This token is not known.", 401)
            return
        log.info("logged in", name=token.caller.name, role=token.caller.role, address=request.address)
        await _go(answer, "/", self._set(request, self._sessions.begin(token), LASTS_S, secure=secure))

    async def logout(self, request: IncomingRequest, answer: OutgoingAnswer, *, secure: bool) -> Session | None:
        """End the session of the request; returns it, None if there was none."""
        session = self.session_of(request)
        if session is not None and self._sessions is not None:
            self._sessions.end(session)
            log.info("logged out", name=session.token.caller.name)
        await _go(answer, "/login", self._set(request, "", 0, secure=secure))
        return session

    def _cookie(self, request: IncomingRequest) -> str | None:
        return request.cookie(_SECURE) or request.cookie(_plain(request))

    def _set(self, request: IncomingRequest, text: str, lasts_s: int, *, secure: bool) -> str:
        name, only_by_tls = (_SECURE, " Secure;") if secure else (_plain(request), "")
        return f"{name}={text}; Path=/; Max-Age={lasts_s}; HttpOnly;{only_by_tls} SameSite=Strict"


_SECURE = "__Host-streams"


def _plain(request: IncomingRequest) -> str:
    """Browsers do not keep cookies of two ports apart: two gateways on one machine each have a name."""
    return f"streams_session_{request.port or 80}"


async def _go(answer: OutgoingAnswer, to: str, cookie: str = "") -> None:
    """Send the browser on, by a GET."""
    headers = [("location", to), *([("set-cookie", cookie)] if cookie else [])]
    await answer.whole(303, "text/plain", b"", headers)


@cache
def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
