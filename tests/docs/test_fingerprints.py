"""The page of fingerprints says what is on the wire."""

from __future__ import annotations

from streams import codec
from streams.model import Act, Action
from support.service.programs import script


def test_the_log_begins_its_records_with_the_bytes_of_the_page() -> None:
    """A reader who compares them finds them there."""
    text = script("fingerprints_page").PAGE.read_text(encoding="utf-8")
    assert f"| `Act` | `{codec.encode(Act('a', Action.KILL))[2:10].hex()}` |" in text
