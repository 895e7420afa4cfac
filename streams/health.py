"""The HTTP endpoints of a worker or gateway: `/metrics`, `/health/live`, `/health/ready`.

They run on threads of their own: requests never wait for the loop, and the loop never waits for requests.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from contextlib import contextmanager
from http import HTTPStatus
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from wsgiref.simple_server import WSGIRequestHandler, make_server

import structlog
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer
from prometheus_client.registry import Collector

from streams.errors import StreamsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

log = structlog.get_logger("streams.health")

_CLIENT_TIMEOUT_S = 5.0
_STOPS_WITHIN_S = 0.1
_PATHS = ("/metrics", "/health/live", "/health/ready")


class Health(NamedTuple):
    """The answer to a health check: 200 or 503, and the reason as JSON."""

    ok: bool
    body: dict[str, Any]


class Endpoint(NamedTuple):
    """The place where a server listens."""

    host: str
    port: int


class Probe(Protocol):
    """The source of the answers; called on the server's threads."""

    registry: CollectorRegistry

    def live(self) -> Health:
        """True if the process makes progress; if not, only a restart helps."""

    def ready(self) -> Health:
        """True if the process does its work at present."""


class LoopProbe(Collector):
    """The probe of a loop, live while it comes round. A subclass adds its metrics, and `ready`.

    `stuck_after_s`: a loop that has not come round for this long is stuck. `clock`: seconds, for ages only.
    """

    def __init__(self, stuck_after_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.registry = CollectorRegistry()
        self._stuck_after_s = stuck_after_s
        self._clock = clock
        self._came_round = clock()

    def live(self) -> Health:
        """True if the loop comes round."""
        age = self._age_s()
        live = age < self._stuck_after_s
        why = {} if live else {"why": f"the loop has not come round for {age:.0f} s"}
        return Health(live, {"live": live, "loop_age_seconds": round(age, 3), **why})

    def _age_s(self) -> float:
        return self._clock() - self._came_round


@contextmanager
def serving(
    address: str | None, variable: str, probe: Probe, other: Mapping[str, WSGIApplication] | None = None
) -> Iterator[Endpoint | None]:
    """Serve while the context lasts, and give the place; without an address, do nothing.

    Args:
        address: HOST:PORT, an IPv6 address in brackets; port 0 is any free port, which is then logged.
        variable: the setting that holds the address, for messages.
        probe: the source of the answers.
        other: applications for further paths, by what a path begins with.

    Raises:
        StreamsError: the address cannot be used.
    """
    if address is None:
        yield None
        return
    server = _listening(address, variable, probe, other or {})
    with _served(server):
        log.info("serving metrics and health", host=server.server_name, port=server.server_port, paths=_PATHS)
        yield Endpoint(server.server_name, server.server_port)


@contextmanager
def serving_on(
    listening: socket.socket, probe: Probe, other: Mapping[str, WSGIApplication] | None = None
) -> Iterator[Endpoint]:
    """Serve on a socket that listens already, while the context lasts; `other` as for `serving`. Gives the place."""
    _add_process_metrics(probe)
    server = _Server(listening.getsockname()[:2], _Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listening
    server.name_itself()
    server.set_app(wsgi_app(probe, other))
    with _served(server):
        yield Endpoint(server.server_name, server.server_port)


@contextmanager
def _served(server: ThreadingWSGIServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(_STOPS_WITHIN_S,), name="health", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _listening(address: str, variable: str, probe: Probe, other: Mapping[str, WSGIApplication]) -> ThreadingWSGIServer:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    _add_process_metrics(probe)
    try:
        return make_server(host, int(port), wsgi_app(probe, other), _Server6 if ":" in host else _Server, _Handler)
    except (OSError, OverflowError) as error:
        raise StreamsError(
            f"{variable}={address}: {getattr(error, 'strerror', None) or error}; each process on a machine needs an "
            "address of its own, or none"
        ) from error


def _add_process_metrics(probe: Probe) -> None:
    ProcessCollector(registry=probe.registry)
    PlatformCollector(registry=probe.registry)


class _Server(ThreadingWSGIServer):
    def server_bind(self) -> None:
        """Like the standard library's, without its reverse DNS look-up, which may block."""
        TCPServer.server_bind(self)
        self.name_itself()

    def name_itself(self) -> None:
        """Note the address of the socket."""
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def handle_error(self, *_: Any) -> None:
        """Ignore the error: a client that goes away is not a fault of the server."""
        log.debug("a request failed", error=repr(sys.exception()))


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    """Logs no requests, and drops clients that send nothing."""

    timeout = _CLIENT_TIMEOUT_S

    def log_message(self, *_: Any) -> None:
        """Log nothing: a request is not an event."""


def wsgi_app(probe: Probe, other: Mapping[str, WSGIApplication] | None = None) -> WSGIApplication:
    """The three paths, and the others as `serving` says, as a WSGI application, to be served here or within another."""
    metrics = make_wsgi_app(probe.registry)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        for begins, further in (other or {}).items():
            if path.startswith(begins):
                return further(environ, start_response)
        match path:
            case "/metrics":
                scraped: Iterable[bytes] = metrics(environ, start_response)
                return scraped
            case "/health/live":
                health = probe.live()
            case "/health/ready":
                health = probe.ready()
            case _:
                return _answer(start_response, HTTPStatus.NOT_FOUND, {"paths": _PATHS})
        return _answer(start_response, HTTPStatus.OK if health.ok else HTTPStatus.SERVICE_UNAVAILABLE, health.body)

    return app


def _answer(start_response: StartResponse, status: HTTPStatus, body: dict[str, Any]) -> list[bytes]:
    start_response(f"{status.value} {status.phrase}", [("Content-Type", "application/json")])
    return [json.dumps(body).encode() + b"\n"]
