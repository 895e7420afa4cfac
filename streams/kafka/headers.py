"""The headers of a consumed record, whichever client wrote them."""

from __future__ import annotations

from operator import methodcaller
from typing import Any, Final

UNREADABLE: Final = "headers-unreadable"
"""The only header of a record whose own headers cannot be read."""

_read: Final = methodcaller("headers")
"""Raises if the client library leaves an error behind. A call in Python code that has run often would instead go
on with broken headers, and the process would crash."""


def headers_of(message: Any) -> list[tuple[str, bytes | None]]:
    """The record's headers. If the name of any is not UTF-8, `headers-unreadable` replaces all of them.

    The client library cannot read any header of such a record. No other code may ask a message for its headers.
    """
    try:
        return _read(message) or []
    except (SystemError, UnicodeDecodeError):
        headers: list[tuple[str, bytes | None]] = [(UNREADABLE, b"")]
        message.set_headers(headers)
        return headers
