"""Problems: every refusal as RFC 9457 has it, `application/problem+json`, with all faults of a body."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import structlog
from fastapi import Request, Response
from starlette.exceptions import HTTPException

from streams.client import InvalidCommandError
from streams.gateway.sending import NotAcceptedError, NotKnownError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastapi import FastAPI

    from streams.codec.json_form import Fault

log = structlog.get_logger("streams.gateway")

MEDIA: Final = "application/problem+json"
_NOTHING_CHANGED: Final = "The command was not accepted: nothing has changed."


class ProblemError(Exception):
    """The answer to a request that is not done.

    `kind`: the last part of the problem's type. `more`: further members of it. `headers`: such as Retry-After.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail = status, kind, detail
        self.more, self.headers = more, headers


class FaultsError(ProblemError):
    """422: the faults of a body or of a query, all of them; `field` and `rule` are those of the first."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        first = faults[0]
        super().__init__(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "invalid",
            "; ".join(map(str, faults)),
            field=first.field,
            rule=first.rule,
            faults=[{"field": each.field, "rule": each.rule} for each in faults],
        )
        self.faults = tuple(faults)


def problem(status: int, kind: str, detail: str, headers: Mapping[str, str] | None = None, **more: Any) -> Response:
    """The response of a problem."""
    body = {
        "type": f"urn:streams:problem:{kind}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    return Response(json.dumps(body | more), status, {"Cache-Control": "no-store", **(headers or {})}, MEDIA)


def add_handlers(app: FastAPI) -> None:
    """Let the app answer every exception with a problem."""

    @app.exception_handler(ProblemError)
    async def _ours(request: Request, error: ProblemError) -> Response:
        if error.status == HTTPStatus.SERVICE_UNAVAILABLE and request.method == "POST":
            # What hinders a request to change something is found before anything is sent.
            detail = f"{error.detail}. {_NOTHING_CHANGED}"
            return problem(error.status, error.kind, detail, error.headers, accepted=False, **error.more)
        return problem(error.status, error.kind, error.detail, error.headers, **error.more)

    @app.exception_handler(InvalidCommandError)
    async def _invalid(_: Request, error: InvalidCommandError) -> Response:
        status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE if error.code == "too_large" else HTTPStatus.UNPROCESSABLE_ENTITY
        field = "" if error.code == "too_large" else error.code.removeprefix("invalid_")
        faults = [{"field": field, "rule": str(error)}]
        return problem(status, "invalid", str(error), field=field, rule=str(error), faults=faults)

    @app.exception_handler(NotAcceptedError)
    async def _refused(_: Request, error: NotAcceptedError) -> Response:
        return problem(503, "not-accepted", f"{error}. {_NOTHING_CHANGED}", {"Retry-After": "2"}, accepted=False)

    @app.exception_handler(NotKnownError)
    async def _unknown(_: Request, error: NotKnownError) -> Response:
        detail = (
            f"{error}. It is not known whether the command was accepted: look before you repeat it with another id."
        )
        return problem(503, "not-known", detail, {"Retry-After": "2"}, accepted=None)

    @app.exception_handler(HTTPException)
    async def _plain(_: Request, error: HTTPException) -> Response:
        kind = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
        return problem(error.status_code, kind, str(error.detail), error.headers)

    @app.exception_handler(Exception)
    async def _bug(request: Request, error: Exception) -> Response:
        log.error("a request failed", path=request.url.path, method=request.method, exc_info=error)
        return problem(500, "internal", "the gateway has made a mistake; its log says more")
