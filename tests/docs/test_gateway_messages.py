"""Every message with which the gateway's door refuses to open is on the page of operations."""

from __future__ import annotations

from support import pages
from support.service.programs import ROOT

PAGE = ROOT / "docs" / "operations.md"


def test_every_message_that_stops_a_gateway_is_on_the_page_of_operations() -> None:
    """Whoever reads one finds its cause and the way out, and the page has no other."""
    section = PAGE.read_text(encoding="utf-8").partition("## A gateway that will not start")[2].partition("\n## ")[0]
    rows = [line.split(" | ")[0].removeprefix("| ") for line in section.splitlines() if line.startswith("| ")]
    told = {row.replace("\\`", "`") for row in rows if not row.startswith(("it says", "---"))}
    of_the_command_line = "the name ... cannot be a token's: up to 100 letters, digits, '.', '_', '-' and '@'"
    raised = {text for _, text in pages.raised(ROOT / "streams" / "gateway" / "access", "ConfigError")}
    assert raised - {of_the_command_line} == told
