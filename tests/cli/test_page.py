"""The page on the command line says what the program says."""

from __future__ import annotations

import importlib.util

from support.programs import ROOT


def test_the_reference_is_the_programs_own_help() -> None:
    """Made anew by `scripts/command_line_page.py`."""
    spec = importlib.util.spec_from_file_location("command_line_page", ROOT / "scripts" / "command_line_page.py")
    assert spec is not None
    assert spec.loader is not None
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    assert page.PAGE.read_text(encoding="utf-8").partition(page.MARK)[2] == page.reference()
