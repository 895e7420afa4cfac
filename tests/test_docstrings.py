"""Every public thing says what it is, in words that need no second look."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest

from support.service.programs import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILES = sorted((ROOT / "streams").rglob("*.py"))
PAGES = [ROOT / "README.md", *sorted(path for path in (ROOT / "docs").rglob("*") if path.suffix in {".md", ".py"})]
IDIOMS = re.compile(r"so many|anew|stands? in the log|put aside|gets on", flags=re.IGNORECASE)


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _public(node: ast.Module | ast.ClassDef) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """Public classes, functions and methods; a property's setter goes by its getter's docstring."""
    for child in node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and child.name[0] != "_":
            if not any(ast.unparse(each).endswith(".setter") for each in child.decorator_list):
                yield child
            if isinstance(child, ast.ClassDef):
                yield from _public(child)


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_every_public_thing_has_a_docstring(path: Path) -> None:
    """A module's is a noun, not a question: a listing of a folder tells what is in it."""
    module = ast.parse(path.read_text(encoding="utf-8"))
    first, *_ = (ast.get_docstring(module) or "").split() or [""]
    assert first not in {"", "What", "How", "Whether"}
    assert [child.name for child in _public(module) if not ast.get_docstring(child)] == []


@pytest.mark.parametrize("path", [*PAGES, *FILES], ids=_name)
def test_no_sentence_has_an_idiom_that_must_be_read_twice(path: Path) -> None:
    """In pages, messages, help and comments: a message in the service's own dialect helps nobody at night."""
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
    assert [(number, line.strip()) for number, line in lines if IDIOMS.search(line)] == []
