"""The headers of a record, and that nothing in the program asks for them in another way."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from confluent_kafka import Message

from streams.kafka.headers import UNREADABLE, headers_of

PACKAGE = Path(__file__).parents[2] / "streams"


class _Broken:
    """Fails as the library does where a header's name is not UTF-8; asked again, Python itself would crash."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, bytes | None]] | None = None

    def headers(self) -> list[tuple[str, bytes | None]]:
        if self.kept is None:
            raise SystemError("returned a result with an exception set")
        return self.kept

    def set_headers(self, headers: list[tuple[str, bytes | None]]) -> None:
        self.kept = headers


@pytest.mark.parametrize("headers", [None, [], [("a", b"1"), ("a", None)]])
def test_headers_are_what_the_record_has(headers: list[tuple[str, str | bytes | None]] | None) -> None:
    """None and an empty list are the same."""
    assert headers_of(Message(headers=headers)) == (headers or [])


def test_what_cannot_be_read_says_so_each_time() -> None:
    """The message keeps what stands for its headers."""
    message = _Broken()
    assert headers_of(message) == headers_of(message) == [(UNREADABLE, b"")]


def test_nobody_asks_a_message_itself() -> None:
    """One unreadable header would end the process: all that is read goes through `headers_of`."""
    found = [path for path in PACKAGE.rglob("*.py") if re.search(r"\.headers\(\)", path.read_text("utf-8"))]
    assert found == []
