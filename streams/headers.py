"""The headers of a consumed record, whoever has written them."""

from __future__ import annotations

from operator import methodcaller
from typing import Any, Final

UNREADABLE: Final = "headers-unreadable"
"""The one header of a record whose own cannot be read."""

_read: Final = methodcaller("headers")
"""Fails where the client library leaves an error behind: called in Python, in a place that has run often, it goes on
with broken headers instead, and the process crashes."""


def headers_of(message: Any) -> list[tuple[str, bytes | None]]:
    """The record's headers; where the name of any is no UTF-8, `headers-unreadable` stands for all of them.

    The client library cannot read any of such a record's. Nothing else in the program may ask a message for them.
    """
    try:
        return _read(message) or []
    except (SystemError, UnicodeDecodeError):
        headers: list[tuple[str, bytes | None]] = [(UNREADABLE, b"")]
        message.set_headers(headers)
        return headers
