"""Queries put to a worker's application as a gateway puts them, without a server between."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, TypeVar

from streams.listing.query import decode_answer, encode_query
from streams.listing.signing import SIGNATURE_HEADER

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.model import Record
    from streams.worker.queries import Queries

_R = TypeVar("_R", bound="Record")


class Asked:
    """The answer to a request: its status, body and signature."""

    def __init__(self, queries: Queries, path: str, body: bytes, **changes: str | None) -> None:
        """`changes`: of the WSGI environment; None leaves one out."""
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": path,
            "QUERY_STRING": "",
            "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": "application/json",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": "127.0.0.1:8081",
            **changes,
        }
        given = {name: value for name, value in environ.items() if value is not None}
        self.body = b"".join(queries.app({**given, "wsgi.input": BytesIO(body)}, self._start))

    def _start(self, status: str, headers: list[tuple[str, str]], *_: object) -> Callable[[bytes], object]:
        self.status = int(status.partition(" ")[0])
        self.signature = dict(headers).get(SIGNATURE_HEADER)
        return lambda _: None


def ask(queries: Queries, kind: type[_R], request: Record) -> _R:
    """The answer to a request that is well."""
    path = type(request).__name__.removesuffix("Request").lower()
    asked = Asked(queries, f"/queries/{path}", encode_query(request))
    assert asked.status == 200, asked.body
    return decode_answer(kind, asked.body)
