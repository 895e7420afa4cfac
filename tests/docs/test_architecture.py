"""The map of the code, and that of the rules of flows, lead to code that is there."""

from __future__ import annotations

import ast
import re
from functools import cache
from typing import TYPE_CHECKING

import pytest

from support.service.programs import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = ROOT / "docs" / "architecture.md"
TEXT = PAGE.read_text(encoding="utf-8")
FLOWS = (ROOT / "docs" / "flows.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"\[`([^`]+)`]\(([^)#]+\.py)\)", TEXT + FLOWS)))
MUST_BE_FOUND = (
    "filter become SQL",
    "pages paced",
    "signal written",
    "partition taken over",
    "progress merged",
    "CLI option declared",
    "metric named",
    "schema checked",
)
"""What somebody who is new must find in one hop."""


@cache
def _defined(file: Path) -> set[str]:
    """Names of a module, and of its classes' methods as `Class.method`."""
    return set(_names(ast.parse(file.read_text(encoding="utf-8")).body, ""))


def _names(body: list[ast.stmt], within: str) -> Iterator[str]:
    for node in body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield within + name
            case ast.ClassDef(name=name, body=inner):
                yield within + name
                yield from _names(inner, f"{within}{name}.")
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                yield within + name


@pytest.mark.parametrize(("name", "to"), NAMED)
def test_what_a_link_names_is_in_the_file_it_leads_to(name: str, to: str) -> None:
    """A function that was renamed or moved away is named here; a file is called by its own name."""
    file = (PAGE.parent / to).resolve()
    assert file.is_file()
    assert name == file.name or name in _defined(file)


def test_each_question_of_somebody_new_has_a_link_to_a_definition() -> None:
    """In the page's first table."""
    section = TEXT.partition("## Where is it?")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| Wh")]
    answered = [row for row in rows if re.search(r"\| .*\[`[A-Za-z_.]+`]\(\.\./streams/[\w/]+\.py\)", row)]
    assert rows == answered
    assert [asked for asked in MUST_BE_FOUND if not any(asked in row.split(" | ")[0] for row in rows)] == []


def test_every_folder_of_the_package_is_on_the_map() -> None:
    """A new one has a row in the table of floors."""
    section = TEXT.partition("## Floors")[2].partition("\n## ")[0]
    folders = {file.parent.name for file in (ROOT / "streams").glob("*/__init__.py")}
    assert set(re.findall(r"\[`(\w+)/`]\(\.\./streams/\w+\)", section)) == folders


def test_every_fault_has_a_test() -> None:
    """That the test exists holds `test_pages.py`."""
    rows = [line for line in TEXT.partition("## Faults")[2].splitlines() if line.startswith("| ")]
    rows = [line for line in rows if not line.endswith("| test |") and "---" not in line]
    assert len(rows) > 20
    assert [line for line in rows if "::test_" not in line] == []
