"""The files of the page: nothing from elsewhere, nothing inline, no text that becomes markup."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "streams" / "gateway" / "page"
OWN = sorted(path for path in PAGE.rglob("*") if path.suffix in {".js", ".css", ".html"} and "vendor" not in path.parts)
MOST_LINES = 350
_MARKUP = re.compile(r"innerHTML|outerHTML|insertAdjacent|document\.write|dangerously|DOMParser|\beval\(|new Function")
_ELSEWHERE = re.compile(r"""["'(]\s*(?:https?:)?//""")
_INLINE = re.compile(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", re.IGNORECASE)


def _name(path: Path) -> str:
    return str(path.relative_to(PAGE))


@pytest.mark.parametrize("path", OWN, ids=_name)
def test_no_file_makes_markup_of_text_or_asks_another_host(path: Path) -> None:
    """Ids and reasons hold anything, and the page's policy allows nothing inline and nobody else."""
    text = path.read_text(encoding="utf-8")
    assert not _MARKUP.findall(text)
    assert not _ELSEWHERE.findall(text)
    assert not (path.suffix == ".html" and _INLINE.findall(text))
    assert len(text.splitlines()) <= MOST_LINES or path.suffix == ".css"


@pytest.mark.parametrize("path", [path for path in OWN if path.suffix == ".js"], ids=_name)
def test_every_import_is_a_file_of_the_page(path: Path) -> None:
    """There is no build step that could find another one."""
    for name in re.findall(r'from "([^"]+)"', path.read_text(encoding="utf-8")):
        assert name.startswith("."), f"{name} is not relative"
        assert (path.parent / name).is_file(), f"there is no {name}"


def test_what_is_vendored_is_named_with_version_and_licence() -> None:
    """Whoever ships the page ships these, too."""
    told = (PAGE / "vendor" / "README.md").read_text(encoding="utf-8")
    for path in (PAGE / "vendor").glob("*.js"):
        assert f"`{path.name}`" in told
        name, _, version = path.stem.rpartition("-")
        assert version in told
        assert (PAGE / "vendor" / f"{name}-LICENSE.txt").is_file()
