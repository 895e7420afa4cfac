"""The page of fingerprints says what is on the wire."""

from __future__ import annotations

from streams import codec
from streams.model import Act, Action
from support.programs import script


def test_the_page_of_fingerprints_is_made_of_todays_schemas() -> None:
    """`scripts/fingerprints_page.py` was run after the last change, and the log begins its records with these bytes."""
    page = script("fingerprints_page")
    text = page.PAGE.read_text(encoding="utf-8")
    assert text == page.document(), "run scripts/fingerprints_page.py"
    assert f"| `Act` | `{codec.encode(Act('a', Action.KILL))[2:10].hex()}` |" in text
