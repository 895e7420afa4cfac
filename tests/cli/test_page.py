"""The page on the command line says what the program says."""

from __future__ import annotations

from support.programs import script


def test_the_reference_is_the_programs_own_help() -> None:
    """Made anew by `scripts/command_line_page.py`."""
    page = script("command_line_page")
    assert page.PAGE.read_text(encoding="utf-8").partition(page.MARK)[2] == page.reference()
