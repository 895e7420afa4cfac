"""The names under which the gateway is asked, and the sites whose pages may ask it to change something."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from streams.config import variable
from streams.gateway.access.answers import RequestRefusedError
from streams.gateway.access.start_rules import host_and_port, is_https

if TYPE_CHECKING:
    from streams.config import Settings
    from streams.gateway.access.requests import IncomingRequest

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_USUAL_PORTS = {"http": 80, "https": 443}


class Origins:
    """The gateway's own names: its public URL, the loopback ones with its port, and those of its settings."""

    def __init__(self, settings: Settings) -> None:
        self._port = host_and_port(settings.gateway_http)[1]
        self._scheme = "http" if settings.gateway_tls_cert is None else "https"
        self._public = (settings.gateway_public_url or "").lower()
        self._more = frozenset(
            each.strip().lower() for each in (settings.gateway_hosts or "").split(",") if each.strip()
        )
        self._ours = lru_cache(maxsize=8)(self._of_port)

    def is_secure(self, request: IncomingRequest) -> bool:
        """True if the browser has come by TLS, to the gateway or to the proxy before it."""
        if self._scheme == "https":
            return True
        return is_https(self._public) and (request.header("host") or "").lower() in _hosts(self._public)

    def require_known_host(self, request: IncomingRequest) -> None:
        """Check the `Host`: a page elsewhere may have let its own name lead here (DNS rebinding).

        Raises:
            RequestRefusedError: it is missing, or not one of ours.
        """
        host = (request.header("host") or "").lower()
        if {host, _without_port(host)} & self._more:
            return
        if not any(host in _hosts(origin) for origin in self._ours(request.port)):
            raise RequestRefusedError(
                403,
                f"the host {host!r} is none of this gateway's: ask it by its public URL, or add the name to "
                f"{variable('gateway_hosts')}",
                rule="host",
            )

    def require_same_site(self, request: IncomingRequest, *, with_cookie: bool) -> None:
        """Check that no page of another site has caused the request, as far as its headers tell.

        A request with a cookie must tell; a program that sends none needs no such header.

        Raises:
            RequestRefusedError: a page of another site has, or might have.
        """
        site, origin = request.header("sec-fetch-site"), request.header("origin")
        if site not in (None, "same-origin"):
            raise RequestRefusedError(403, f"a page of another site asks (Sec-Fetch-Site: {site})", rule="cross_site")
        if origin is not None and not self._is_ours(origin.lower(), request):
            raise RequestRefusedError(
                403,
                f"a page of another site asks (Origin: {origin}); if it is this gateway's own address, set "
                f"{variable('gateway_public_url')}",
                rule="cross_site",
            )
        if with_cookie and site is None and origin is None:
            raise RequestRefusedError(403, "a request with a cookie needs Origin or Sec-Fetch-Site", rule="cross_site")

    def _is_ours(self, origin: str, request: IncomingRequest) -> bool:
        host = (request.header("host") or "").lower()
        by_other_name = {host, _without_port(host)} & self._more and origin == f"{self._scheme}://{host}"
        return bool(by_other_name) or origin in self._ours(request.port)

    def _of_port(self, port: int | None) -> frozenset[str]:
        own = self._port or port or _USUAL_PORTS[self._scheme]
        names = {_origin(self._scheme, name, own) for name in _LOOPBACK}
        if self._public:
            parts = urlsplit(self._public)
            name = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
            names.add(_origin(parts.scheme, name or "", parts.port))
        return frozenset(names)


def _origin(scheme: str, name: str, port: int | None) -> str:
    """As browsers write it: without the scheme's usual port."""
    return f"{scheme}://{name}" if port in (None, _USUAL_PORTS[scheme]) else f"{scheme}://{name}:{port}"


def _hosts(origin: str) -> frozenset[str]:
    """`Host` of requests to an origin; clients may write the usual port or leave it out."""
    scheme, _, host = origin.partition("://")
    return frozenset({host, f"{host}:{_USUAL_PORTS[scheme]}"} if _without_port(host) == host else {host})


def _without_port(host: str) -> str:
    return re.sub(r":[0-9]+$", "", host)
