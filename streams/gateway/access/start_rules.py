"""The rule of when a gateway may start, and what it tells uvicorn about TLS."""

from __future__ import annotations

import ipaddress
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import structlog

from streams.config import variable
from streams.errors import ConfigError
from streams.gateway.access.tokens import Tokens, read_tokens

if TYPE_CHECKING:
    from streams.config import Settings

SHORTEST_METRICS_TOKEN = 16
"""Characters."""

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2; those of 1.3 are all good."""

log = structlog.get_logger("streams.gateway.access")


def host_and_port(address: str) -> tuple[str, int]:
    """The parts of HOST:PORT; an IPv6 address loses its brackets."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    """True if only programs of this machine can reach the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def check_start(settings: Settings) -> None:
    """Check that a gateway with these settings may start.

    Raises:
        ConfigError: it would be open to other machines without anything that guards it; or a file cannot be used.
    """
    _require_guarded(settings)
    _require_tls(settings)
    if settings.metrics_token is not None and len(settings.metrics_token) < SHORTEST_METRICS_TOKEN:
        raise ConfigError(
            f"{variable('metrics_token')} is too short: give at least {SHORTEST_METRICS_TOKEN} characters, such as "
            "those of `openssl rand -hex 32`"
        )
    if settings.gateway_tokens_file is not None:
        read_tokens(settings.gateway_tokens_file)


def tokens_of(settings: Settings) -> Tokens | None:
    """The tokens of a gateway that starts, None if it asks for none; one that is open to all is told in the log.

    Raises:
        ConfigError: as of `check_start`.
    """
    check_start(settings)
    tokens = None if settings.gateway_tokens_file is None else Tokens(settings.gateway_tokens_file)
    if settings.gateway_open:
        log.warning(
            "the gateway is open to whoever reaches it: something else must guard it",
            address=settings.gateway_http,
            because=f"{variable('gateway_open')}=true",
            tokens=tokens is not None,
        )
    return tokens


def tls_options(settings: Settings) -> dict[str, Any]:
    """Options of uvicorn for TLS 1.2 and later; none for plain HTTP."""
    if settings.gateway_tls_cert is None or settings.gateway_tls_key is None:
        return {}
    return {
        "ssl_certfile": str(settings.gateway_tls_cert),
        "ssl_keyfile": str(settings.gateway_tls_key),
        "ssl_ciphers": _CIPHERS,
    }


def server_options(settings: Settings) -> dict[str, Any]:
    """Options of uvicorn that keep secrets out of its log and names out of its answers, with those for TLS.

    Where a proxy stands before it, an address is taken from `X-Forwarded-For`, if `FORWARDED_ALLOW_IPS` (by default
    127.0.0.1) names the proxy.
    """
    return {
        "access_log": False,
        "log_config": None,
        "proxy_headers": settings.gateway_public_url is not None,
        "server_header": False,
        "ws": "none",
        **tls_options(settings),
    }


def is_https(url: str | None) -> bool:
    """True for a URL of TLS."""
    return url is not None and urlsplit(url).scheme == "https"


def _require_guarded(settings: Settings) -> None:
    address = settings.gateway_http
    if settings.gateway_open or is_loopback(host_and_port(address)[0]):
        return
    missing = []
    if settings.gateway_tokens_file is None:
        missing.append(variable("gateway_tokens_file"))
    if settings.gateway_tls_cert is None and not is_https(settings.gateway_public_url):
        missing.append(
            f"{variable('gateway_tls_cert')} with {variable('gateway_tls_key')} (or "
            f"{variable('gateway_public_url')}=https://..., where a proxy ends TLS)"
        )
    if missing:
        raise ConfigError(
            f"{variable('gateway_http')}={address} can be reached by other machines: set {' and '.join(missing)}; or "
            f"{variable('gateway_open')}=true, if something else guards it"
        )


def _require_tls(settings: Settings) -> None:
    cert, key = settings.gateway_tls_cert, settings.gateway_tls_key
    if (cert is None) != (key is None):
        raise ConfigError(f"{variable('gateway_tls_cert')} and {variable('gateway_tls_key')} go together: set both")
    if cert is None or key is None:
        return
    try:
        # A key with a password would ask for it on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
    except OSError as error:
        raise ConfigError(
            f"{variable('gateway_tls_cert')}={cert} and {variable('gateway_tls_key')}={key} cannot be used: "
            f"{error.strerror or error}"
        ) from None
