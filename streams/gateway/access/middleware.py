"""The door of the gateway: every request passes here before the API sees it."""

from __future__ import annotations

import asyncio
import hmac
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

from streams.gateway.access import paths
from streams.gateway.access.answers import OutgoingAnswer, RequestRefusedError
from streams.gateway.access.callers import Role, nobody
from streams.gateway.access.login import Logins
from streams.gateway.access.origins import Origins
from streams.gateway.access.rates import Rate
from streams.gateway.access.requests import IncomingRequest, replayed, whole_body
from streams.gateway.access.running import MOST_STREAMS, Identity, RunningStream, RunningStreams, end_at
from streams.gateway.access.sessions import Sessions
from streams.gateway.access.tokens import LOOK_EVERY_S
from streams.kafka.clients import MAX_RECORD_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import ASGIApp, Receive, Scope, Send

    from streams.config import Settings
    from streams.gateway.access.tokens import Tokens

MOST_BODY_BYTES = 2 * MAX_RECORD_BYTES
"""Largest body: the largest record, its payload in base64."""
A_SECOND = 50.0
"""Requests of one token a second; of an address without a good one too."""
BURST = 200
"""Requests at once after a pause."""

log = structlog.get_logger("streams.gateway.access")


class Access:
    """An ASGI application that lets the good requests through to another.

    It puts `caller` (a `Caller`; None on open paths without one) and `open` (True if no token is asked for) into
    `scope["state"]`. All else is answered here: problems of RFC 9457, the login form, the logout.

    Args:
        app: the application behind it.
        settings: of this process; `tokens_of` has checked them.
        tokens: who may; None: everybody who reaches the gateway, as an operator.
        clock: seconds since 1970, for the age of sessions.
        timer: seconds, for intervals.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        tokens: Tokens | None,
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._settings = settings
        self._tokens = tokens
        self._clock = clock
        self._nobody = nobody(settings)
        self._origins = Origins(settings)
        self._logins = Logins(tokens, None if tokens is None else Sessions(tokens, clock), timer)
        self._rate = Rate(A_SECOND, BURST, timer)
        self._streams = RunningStreams()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on; as ASGI has it."""
        match scope["type"]:
            case "http":
                await self._http(scope, receive, send)
            case "lifespan":
                with self._watching():
                    await self._app(scope, receive, send)
            case _:
                await send({"type": "websocket.close", "code": 1008})

    def look(self) -> None:
        """Read the tokens file again if it is time, and end the streams of tokens that are gone."""
        tokens = self._tokens
        if tokens is not None and tokens.refresh():
            self._streams.end(lambda identity: identity.token not in tokens.held)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = OutgoingAnswer(send, secure=False)
        try:
            request = IncomingRequest(scope)
            secure = self._origins.is_secure(request)
            answer = OutgoingAnswer(send, secure=secure)
            self.look()
            self._check_head(request)
            if not await self._served_here(request, receive, answer, secure=secure):
                await self._passed_on(request, scope, receive, answer)
        except RequestRefusedError as refused:
            await answer.refuse(refused)

    def _check_head(self, request: IncomingRequest) -> None:
        """Check what does not depend on who asks."""
        if not paths.is_probed(request):
            self._origins.require_known_host(request)
        if paths.names_a_token(request) or self._holds_a_token(request):
            raise RequestRefusedError(
                401, "a token in a URL is refused: send the header Authorization: Bearer", rule="token_in_url"
            )
        if not paths.only_reads(request):
            cookie = self._logins.has_cookie(request) and request.bearer() is None
            self._origins.require_same_site(request, with_cookie=cookie)

    def _holds_a_token(self, request: IncomingRequest) -> bool:
        tokens = self._tokens
        parts = [*request.path.split("/"), *(value for _, value in request.query)]
        return tokens is not None and any(tokens.find(part) is not None for part in parts)

    async def _served_here(
        self, request: IncomingRequest, receive: Receive, answer: OutgoingAnswer, *, secure: bool
    ) -> bool:
        """Answer the routes of the login; False for another one."""
        reads = paths.only_reads(request)
        match request.path:
            case paths.LOGIN if reads:
                await self._logins.form(answer)
            case paths.LOGIN if request.method == "POST":
                await self._logins.login(request, receive, answer, secure=secure)
            case paths.LOGOUT if request.method == "POST":
                ended = await self._logins.logout(request, answer, secure=secure)
                if ended is not None:
                    self._streams.end(lambda identity: identity.session_id == ended.session_id)
            case paths.STYLE if reads:
                await self._logins.style(answer)
            case _:
                return False
        return True

    async def _passed_on(
        self, request: IncomingRequest, scope: Scope, receive: Receive, answer: OutgoingAnswer
    ) -> None:
        if request.path == paths.METRICS and paths.only_reads(request):
            identity, lasts_s = None, None
            self._check_metrics(request)
        else:
            identity, lasts_s = self._identified(request)
        caller = self._nobody if self._tokens is None else None if identity is None else identity.token.caller
        if not paths.only_reads(request):
            if (request.header("content-type") or "").partition(";")[0].strip().lower() != "application/json":
                raise RequestRefusedError(415, "the body must be application/json")
            body = await whole_body(request, receive, MOST_BODY_BYTES)
            if body is None:
                return
            receive = replayed(body, receive)
        state = {**scope.get("state", {}), "caller": caller, "open": self._tokens is None}
        await self._run({**scope, "state": state}, receive, answer, identity, lasts_s)

    def _check_metrics(self, request: IncomingRequest) -> None:
        wanted, given = self._settings.metrics_token, request.bearer()
        if wanted is None or (given and hmac.compare_digest(given.encode(), wanted.encode())):
            return
        if self._tokens is None or self._found(request) is None:
            raise self._unknown(request)

    def _identified(self, request: IncomingRequest) -> tuple[Identity | None, float | None]:
        """Who asks, and for how many seconds they may; None on open paths, and where nobody is asked for a token."""
        if self._tokens is None:
            return None, None
        found = self._found(request)
        if paths.is_open(request):
            return (None, None) if found is None else found
        if found is None:
            raise self._unknown(request)
        identity, lasts_s = found
        caller = identity.token.caller
        wait = self._rate.take(f"token {caller.name}")
        if wait:
            raise RequestRefusedError(
                429, f"more than {A_SECOND:.0f} requests a second with this token", rule="rate", retry_after_s=wait
            )
        if paths.needed_role(request) is Role.OPERATOR and caller.role is not Role.OPERATOR:
            raise RequestRefusedError(403, f"{caller.name} is a {caller.role}: this needs an operator", rule="role")
        return identity, lasts_s

    def _found(self, request: IncomingRequest) -> tuple[Identity, float | None] | None:
        given = request.bearer()
        if given is not None:
            token = None if self._tokens is None else self._tokens.find(given)
            return None if token is None else (Identity(token), None)
        session = self._logins.session_of(request)
        if session is None:
            return None
        return Identity(session.token, session.session_id), max(0.0, session.ends_at - self._clock())

    def _unknown(self, request: IncomingRequest) -> RequestRefusedError:
        wait = self._rate.take(f"address {request.address}")
        if wait:
            return RequestRefusedError(
                429, "too many requests without a good token from this address", rule="rate", retry_after_s=wait
            )
        why = "no token was sent" if request.bearer() is None else "this token is not known"
        return RequestRefusedError(401, f"{why}: send the header Authorization: Bearer, or log in", challenge=True)

    async def _run(
        self, scope: Scope, receive: Receive, answer: OutgoingAnswer, identity: Identity | None, lasts_s: float | None
    ) -> None:
        """Let the application answer; a stream ends with the session or the token that it was let in by."""
        if identity is None:
            await self._app(scope, receive, answer.send)
            return
        timeout = asyncio.timeout(None)
        stream = RunningStream(identity, timeout)

        def may_stream() -> bool:
            begun = self._streams.begin(stream)
            if lasts_s is not None or not begun:
                end_at(timeout, lasts_s if lasts_s is not None and begun else 0.0)
            return begun

        answer.may_stream = may_stream
        try:
            async with timeout:
                await self._app(scope, receive, answer.send)
        except TimeoutError:
            if not timeout.expired():
                raise
            await self._end(answer)
        finally:
            self._streams.over(stream)

    async def _end(self, answer: OutgoingAnswer) -> None:
        if not answer.started:
            raise RequestRefusedError(
                429, f"this token has {MOST_STREAMS} streams already: end one", rule="streams", retry_after_s=1
            )
        await answer.end()

    @contextmanager
    def _watching(self) -> Iterator[None]:
        """Look at the tokens file now and then: without it, a gateway that nobody asks would go on with its streams."""
        watching = asyncio.get_running_loop().create_task(self._watch())
        try:
            yield
        finally:
            watching.cancel()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                self.look()
            except Exception:
                log.exception("the tokens file could not be looked at")
