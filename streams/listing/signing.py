"""Signatures of queries and their answers: HMAC-SHA256 with a secret that is never sent.

A request carries its time (ms since 1970), a nonce and the signature of time, nonce, method, path, query and body; the
answer carries the signature of that nonce, the status and its own body. So an answer belongs to one request, and a
request is good once, for 30 s.
"""

from __future__ import annotations

import hmac
import threading
from collections import deque
from hashlib import sha256
from secrets import token_hex
from typing import TYPE_CHECKING, Final

import structlog

from streams.errors import StreamsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

log = structlog.get_logger("streams.listing")

TIME_HEADER: Final = "Streams-Time"
NONCE_HEADER: Final = "Streams-Nonce"
SIGNATURE_HEADER: Final = "Streams-Signature"

VALID_MS: Final = 30_000
"""Greatest difference between a request's time and the clock of whoever checks it, ms."""
_LEAST_BYTES: Final = 16
_MOST_BYTES: Final = 4_096
_NONCE_CHARACTERS: Final = 64


class NotSignedError(Exception):
    """A request or an answer whose signature is missing, wrong, too old or used before."""


class QuerySecret:
    """The secret in a file, read again when the file changes; for any thread.

    A change that cannot be used leaves the last good secret in place, and is logged once.

    Raises:
        StreamsError: the file cannot be read, or its secret is shorter than 16 bytes.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._seen = self._mark()
        self._key = self._read()

    def key(self) -> bytes:
        """The secret as it is now."""
        with self._lock:
            mark = self._mark()
            if mark != self._seen:
                self._seen = mark
                try:
                    self._key = self._read()
                except StreamsError as error:
                    log.warning("the secret of queries stays as it was", why=str(error))
            return self._key

    def _mark(self) -> tuple[int, int, int] | None:
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> bytes:
        try:
            with self._file.open("rb") as opened:
                key = opened.read(_MOST_BYTES).strip()
            mode = self._file.stat().st_mode
        except OSError as error:
            raise StreamsError(f"{self._name()} cannot be read: {error.strerror}") from error
        if len(key) < _LEAST_BYTES:
            raise StreamsError(
                f"{self._name()} holds {len(key)} bytes, at least {_LEAST_BYTES} are needed: write 64 random hex digits"
            )
        # Kubernetes gives a secret to the pod's own group.
        if mode & 0o007:
            log.warning("others may read the secret of queries: chmod 600", file=str(self._file))
        return key

    def _name(self) -> str:
        return f"STREAMS_WORKER_QUERY_SECRET_FILE={self._file}"


def signed(key: bytes, method: str, path: str, query: str, body: bytes, now: int) -> dict[str, str]:
    """The headers of a signed request; `now`: ms since 1970."""
    nonce, time = token_hex(16), str(now)
    signature = _of_request(key, time, nonce, method, path, query, body)
    return {TIME_HEADER: time, NONCE_HEADER: nonce, SIGNATURE_HEADER: signature}


def answer_signature(key: bytes, nonce: str, status: int, body: bytes) -> str:
    """The signature of an answer to the request with this nonce."""
    return _digest(key, "answer", nonce, str(status), body)


def check_answer(key: bytes, nonce: str, status: int, body: bytes, signature: str | None) -> None:
    """Raise `NotSignedError` unless the answer is that of a worker with the same secret, to this very request."""
    if not _same(answer_signature(key, nonce, status, body), signature or ""):
        raise NotSignedError("the answer is not signed with the secret of STREAMS_WORKER_QUERY_SECRET_FILE")


class RequestCheck:
    """The check of requests; remembers the nonces of those that were good for as long as they would be. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._nonces: set[str] = set()
        self._by_time: deque[tuple[int, str]] = deque()

    def check(
        self, key: bytes, headers: Mapping[str, str], method: str, path: str, query: str, body: bytes, now: int
    ) -> str:
        """The nonce of a request with a good signature; `headers` by the names above, `now` in ms since 1970.

        Raises:
            NotSignedError: no or a wrong signature, a time more than 30 s from `now`, or a request seen before.
        """
        time, nonce = headers.get(TIME_HEADER, ""), headers.get(NONCE_HEADER, "")
        if not time.isascii() or not time.isdigit() or not 0 < len(nonce) <= _NONCE_CHARACTERS:
            raise NotSignedError("the request is not signed")
        signature = _of_request(key, time, nonce, method, path, query, body)
        if not _same(signature, headers.get(SIGNATURE_HEADER, "")):
            raise NotSignedError("the request is not signed with the secret of STREAMS_WORKER_QUERY_SECRET_FILE")
        if abs(now - int(time)) > VALID_MS:
            raise NotSignedError("the request is older than 30 s, or the clocks differ by as much")
        with self._lock:
            # A time that lies ahead is good for 30 s more.
            while self._by_time and now - self._by_time[0][0] > 2 * VALID_MS:
                self._nonces.discard(self._by_time.popleft()[1])
            if nonce in self._nonces:
                raise NotSignedError("the request was seen before")
            self._nonces.add(nonce)
            self._by_time.append((now, nonce))
        return nonce


def _of_request(key: bytes, time: str, nonce: str, method: str, path: str, query: str, body: bytes) -> str:
    return _digest(key, "request", time, nonce, method, path, query, body)


def _digest(key: bytes, *parts: str | bytes) -> str:
    """The HMAC of the parts, each with its length before it: no two lists of parts give the same text."""
    found = hmac.new(key, digestmod=sha256)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        found.update(len(data).to_bytes(8, "big"))
        found.update(data)
    return found.hexdigest()


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode("utf-8", "surrogateescape"))
