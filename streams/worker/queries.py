"""A worker's answers to read-only queries: `POST /queries/list`, `/queries/count`, `/queries/one`.

They run on the threads of the server of health and metrics, on the partitions that run here now. With a secret, every
request and answer is signed; without one, only this machine is answered.
"""

from __future__ import annotations

import ipaddress
import socket
import sqlite3
import threading
import time
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple, ParamSpec, TypeVar

import structlog

from streams.codec import decode_invocation
from streams.listing.merging import by_partition, merged
from streams.listing.query import (
    MAX_QUERY_BYTES,
    CountAnswer,
    CountedGroup,
    CountRequest,
    ListAnswer,
    ListRequest,
    OneAnswer,
    OneRequest,
    PartitionCounts,
    QueryRefusedError,
    Reached,
    check_query,
    decode_query,
    encode_query,
)
from streams.listing.signing import (
    NONCE_HEADER,
    SIGNATURE_HEADER,
    TIME_HEADER,
    NotSignedError,
    QuerySecret,
    RequestCheck,
    answer_signature,
)
from streams.listing.views import Holder, view_of
from streams.model import ENGINE_VERSION, WorkerAddress
from streams.state.listing import Listing, ListingClosedError
from streams.worker.priority import Share

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from wsgiref.types import StartResponse, WSGIEnvironment

    from streams.config import Settings
    from streams.health import Endpoint
    from streams.listing.views import InvocationView
    from streams.model import Record, Row
    from streams.state.listing import ListedRow
    from streams.worker.task import PartitionTask

log = structlog.get_logger("streams.worker")

_T = TypeVar("_T")
_P = ParamSpec("_P")

PAGE_S: Final = 0.1
"""Time that a page may take on each partition, seconds."""
_PAGES_S: Final = 2.0
"""The same on all partitions together."""
_COUNT_S: Final = 10.0
"""Time that a count may take on all partitions together, seconds."""
_WAIT_S: Final = 2.0
"""Longest wait for queries that are being answered, seconds."""
_AT_ONCE: Final = 2
_DIGITS: Final = 9
_HEADERS: Final = (TIME_HEADER, NONCE_HEADER, SIGNATURE_HEADER)
_LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})


class _RefusedError(Exception):
    """A request that is not answered: the HTTP status, and why."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


class _Caller(NamedTuple):
    """A request that may be answered; with a key, the answer is signed with it for the nonce."""

    key: bytes | None = None
    nonce: str = ""


class Queries:
    """The queries on the partitions that a worker runs.

    The loop calls `serve` and `came_round`; a partition's task ends its queries by closing its listing.

    Args:
        settings: the worker's.
        wall_clock: ms since 1970.
        lag: the distance of a partition's table from the end of its log, if known.
        clock: seconds, for ages only.

    Raises:
        StreamsError: the secret cannot be read.
    """

    def __init__(
        self,
        settings: Settings,
        wall_clock: Callable[[], int],
        lag: Callable[[int], int | None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        file = settings.worker_query_secret_file
        self._secret = None if file is None else QuerySecret(file)
        self._given_url = settings.worker_url
        self._trusted_s = settings.session_timeout_ms / 1_000
        self._wall_clock = wall_clock
        self._lag = lag
        self._clock = clock
        self._came_round = clock()
        self._share = Share(clock)
        self._listings: dict[int, Listing] = {}
        self._check = RequestCheck()
        self._counting = threading.Semaphore(1)
        self._looking = threading.Semaphore(_AT_ONCE)
        self.url = self._given_url or ""

    def served_at(self, place: Endpoint) -> None:
        """Note where the queries are served."""
        self.url = self._given_url or url_of(place)

    # --- called by the loop ---

    def serve(self, task: PartitionTask, worker_id: str) -> None:
        """Answer queries about a partition from now on; its address is to be published."""
        task.listing = self._listings[task.partition] = Listing(task.file, self._share.rest)
        task.address = WorkerAddress(
            partition=task.partition,
            url=self.url,
            worker_id=worker_id,
            engine_version=ENGINE_VERSION,
            since=self._wall_clock(),
            revision=task.store.changelog_position,
        )

    def came_round(self, *, busy: bool, much: bool = False) -> None:
        """Note that the loop has come round: the partitions are still this worker's, and their tables current.

        `busy`: with a turn; `much`: with pages in it, or many commands.
        """
        self._came_round = self._clock()
        if busy:
            self._share.loop_works(much=much)

    # --- called by the server ---

    def app(self, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        """The WSGI application."""
        caller = _Caller()
        try:
            answer = _answer_at(environ["PATH_INFO"])
            if self._secret is None:
                _check_local(environ)
            body = _body_of(environ)
            caller = self._caller(environ, body)
            status, content = HTTPStatus.OK, encode_query(answer(self, body))
        except _RefusedError as refused:
            status, content = refused.status, f"{refused}\n".encode()
        except QueryRefusedError as refused:
            status, content = HTTPStatus.BAD_REQUEST, f"{refused}\n".encode()
        headers = [("Content-Type", "application/json" if status is HTTPStatus.OK else "text/plain; charset=utf-8")]
        headers.append(("Content-Length", str(len(content))))
        if caller.key is not None:
            headers.append((SIGNATURE_HEADER, answer_signature(caller.key, caller.nonce, status, content)))
        start_response(f"{status.value} {status.phrase}", headers)
        return [content]

    def _caller(self, environ: WSGIEnvironment, body: bytes) -> _Caller:
        if self._secret is None:
            return _Caller()
        key = self._secret.key()
        headers = {name: environ.get(f"HTTP_{name.upper().replace('-', '_')}", "") for name in _HEADERS}
        path, query = environ["PATH_INFO"], environ.get("QUERY_STRING", "")
        try:
            nonce = self._check.check(key, headers, "POST", path, query, body, self._wall_clock())
        except NotSignedError as error:
            raise _RefusedError(HTTPStatus.UNAUTHORIZED, str(error)) from error
        return _Caller(key, nonce)

    def list(self, body: bytes) -> ListAnswer:
        """The answer to a `ListRequest`: its rows merged, newest first."""
        request = decode_query(ListRequest, body)
        check_query(request.filter, request.limit)
        with self._turn_of(self._looking):
            return _listed(request, dict(self._owned(request.places)), self._as_of())

    def count(self, body: bytes) -> CountAnswer:
        """The answer to a `CountRequest`."""
        request = decode_query(CountRequest, body)
        check_query(request.filter)
        counted: dict[int, PartitionCounts] = {}
        group = None if request.group_by is None else request.group_by.value
        with self._turn_of(self._counting):
            as_of, until = self._as_of(), self._clock() + _COUNT_S
            for partition, listing in self._owned(request.partitions):
                left_s = max(0.0, until - self._clock())
                counts, meta = _asked(listing.counts, request.filter, group, left_s), _asked(listing.meta)
                if counts is not None and meta is not None:
                    groups = tuple(CountedGroup(numbers, value) for value, numbers in counts.items())
                    counted[partition] = PartitionCounts(groups, meta.clock, self._lag(partition))
        return CountAnswer(as_of, counted)

    def one(self, body: bytes) -> OneAnswer:
        """The answer to a `OneRequest`."""
        request = decode_query(OneRequest, body)
        with self._turn_of(self._looking):
            as_of = self._as_of()
            for partition, listing in self._owned((request.partition,)):
                found = _asked(listing.one, request.invocation_id, payload=request.payload)
                if found is not None:
                    return OneAnswer(as_of, view=None if not found else _view(partition, found[0]))
        return OneAnswer(as_of, owned=False)

    @contextmanager
    def _turn_of(self, queue: threading.Semaphore) -> Iterator[None]:
        """A turn among the queries: as many are answered at once as leave the commands their share of the machine."""
        if not queue.acquire(timeout=_WAIT_S):
            raise _RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "other queries are being answered: try again")
        try:
            with self._share.taken():
                yield
        finally:
            queue.release()

    def _owned(self, partitions: Collection[int]) -> Iterator[tuple[int, Listing]]:
        """Those of the partitions that are this worker's, as far as its loop knows. A stuck loop knows nothing."""
        for partition in sorted(partitions):
            listing = self._listings.get(partition)
            if listing is not None and self._clock() - self._came_round < self._trusted_s:
                yield partition, listing

    def _as_of(self) -> int:
        """When the tables were current: the loop's last round."""
        return self._wall_clock() - int(1_000 * (self._clock() - self._came_round))


_ANSWERS: Final[dict[str, Callable[[Queries, bytes], Record]]] = {
    "/queries/list": Queries.list,
    "/queries/count": Queries.count,
    "/queries/one": Queries.one,
}


def _answer_at(path: str) -> Callable[[Queries, bytes], Record]:
    if path not in _ANSWERS:
        raise _RefusedError(HTTPStatus.NOT_FOUND, f"paths: {', '.join(_ANSWERS)}")
    return _ANSWERS[path]


def url_of(place: Endpoint) -> str:
    """The URL of a server; one that listens on all interfaces goes by the machine's name."""
    host = place.host
    try:
        if ipaddress.ip_address(host).is_unspecified:
            host = socket.gethostname()
    except ValueError:
        pass
    return f"http://[{host}]:{place.port}" if ":" in host else f"http://{host}:{place.port}"


def _listed(request: ListRequest, listings: dict[int, Listing], as_of: int) -> ListAnswer:
    """A page of these partitions. Each is read as far as the page needs it, or its time allows."""
    rows: dict[tuple[int, int, int], Row] = {}
    reached: dict[int, Reached] = {}
    chunk = min(request.limit, 2 * request.limit // max(1, len(listings)) + 1)
    left_s = dict.fromkeys(listings, min(PAGE_S, _PAGES_S / max(1, len(listings))))
    found, wanted = merged({}, {}, 0), list(listings)
    while wanted:
        for partition in wanted:
            below = reached[partition].seq if partition in reached else request.places[partition]
            began = time.monotonic()
            page = _asked(listings[partition].page, request.filter, below, chunk, left_s[partition])
            left_s[partition] -= time.monotonic() - began
            if page is None:
                left_s[partition] = 0.0
            else:
                rows |= {(row.created_at, partition, row.seq): row for row in page.rows}
                reached[partition] = Reached(page.reached, page.next_at, page.done)
        found = merged(by_partition(rows), reached, request.limit)
        # The page ends where the partition that has come the least far stands.
        behind = max(found.left, key=lambda number: (found.left[number].created_at, number), default=None)
        more = behind is not None and len(found.keys) < request.limit and left_s[behind] > 0
        wanted = [behind] if more and behind is not None else []
    items = tuple(view_of(key[1], rows[key], decode_invocation(rows[key].encoded)) for key in found.keys)
    done = {partition: Reached(0, 0, done=True) for partition in reached.keys() - found.left.keys()}
    return ListAnswer(as_of, items, {**found.left, **done})


def _view(partition: int, found: ListedRow) -> InvocationView:
    held_by = None if found.held_by is None else Holder(**{found.held_by[0]: found.held_by[1]})
    return view_of(
        partition, found.row, found.invocation, held_by=held_by, children=found.children, payload=found.payload
    )


def _asked(ask: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T | None:
    """The result of a query; None if the partition is given up meanwhile, or its file cannot be read."""
    try:
        return ask(*args, **kwargs)
    except ListingClosedError:
        return None
    except sqlite3.Error as error:
        log.warning("a query found no answer", why=str(error))
        return None


def _body_of(environ: WSGIEnvironment) -> bytes:
    if environ["REQUEST_METHOD"] != "POST":
        raise _RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, "queries are asked with POST")
    given = environ.get("CONTENT_LENGTH") or ""
    if not given.isascii() or not given.isdigit():
        raise _RefusedError(HTTPStatus.LENGTH_REQUIRED, "the request needs a Content-Length")
    if len(given) > _DIGITS or int(given) > MAX_QUERY_BYTES:
        raise _RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a query has at most {MAX_QUERY_BYTES} bytes")
    body: bytes = environ["wsgi.input"].read(int(given))
    return body


def _check_local(environ: WSGIEnvironment) -> None:
    """Refuse whoever is not on this machine, and web pages that a browser here has open."""
    why = "without STREAMS_WORKER_QUERY_SECRET_FILE only this machine is answered"
    try:
        address = ipaddress.ip_address(environ.get("REMOTE_ADDR", "").partition("%")[0])
    except ValueError:
        raise _RefusedError(HTTPStatus.FORBIDDEN, why) from None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    name, _, port = environ.get("HTTP_HOST", "").rpartition(":")
    host = name if port.isdigit() else environ.get("HTTP_HOST", "")
    if not (mapped or address).is_loopback or host.lower() not in _LOCAL_NAMES:
        raise _RefusedError(HTTPStatus.FORBIDDEN, why)
    if environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() != "application/json":
        raise _RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a query is application/json")
