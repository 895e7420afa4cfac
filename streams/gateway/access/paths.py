"""Whatever a request needs, by its method, path and query."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.gateway.access.callers import Role

if TYPE_CHECKING:
    from streams.gateway.access.requests import IncomingRequest

METRICS = "/metrics"
LOGIN = "/login"
LOGOUT = "/logout"
STYLE = "/login.css"

_READS = frozenset({"GET", "HEAD"})
_OPEN = frozenset({"/", "/favicon.ico"})
_OPEN_BELOW = ("/assets/", "/health/")
_FALSE = frozenset({"false", "0", "off", "f", "n", "no"})
_SHOWS = frozenset({"payload", "value", "values"})
_SECRET = frozenset(
    {"token", "access_token", "auth_token", "api_token", "id_token", "bearer", "authorization", "api_key", "apikey"}
)


def only_reads(request: IncomingRequest) -> bool:
    """True if the request changes nothing."""
    return request.method in _READS


def is_open(request: IncomingRequest) -> bool:
    """True if nobody needs to be known: the page, its assets and health hold nothing secret."""
    if not only_reads(request) or not request.is_plain:
        return False
    return request.path in _OPEN or request.path.startswith(_OPEN_BELOW)


def is_probed(request: IncomingRequest) -> bool:
    """True for health and metrics, which orchestrators ask by whatever address they have."""
    return only_reads(request) and (request.path == METRICS or request.path.startswith("/health/"))


def needed_role(request: IncomingRequest) -> Role:
    """The role without which the request is refused.

    Payloads, and the values of dead letters, which are payloads too, need an operator, and so does every change.
    """
    if not only_reads(request):
        return Role.OPERATOR
    shows = any(name in _SHOWS and value.strip().lower() not in _FALSE for name, value in request.query)
    return Role.OPERATOR if shows else Role.VIEWER


def names_a_token(request: IncomingRequest) -> bool:
    """True if a parameter of the URL is called as if it held a token: proxies and histories would keep it."""
    return any(name.lower() in _SECRET for name, _ in request.query)
