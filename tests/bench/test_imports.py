"""The programs of bench begin to work when they are asked to: none has been left behind by the package."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path

import pytest

from bench.__main__ import parse

ROOT = Path(__file__).parents[2]
MODULES = sorted(".".join(path.relative_to(ROOT).with_suffix("").parts) for path in (ROOT / "bench").rglob("*.py"))
NEEDS = {"bench.peers.naive_quix": "quixstreams"}
"""What a module compares us with, and only those who measure it install."""


@pytest.mark.parametrize("name", MODULES)
def test_every_module_of_bench_is_imported(name: str) -> None:
    """With all that it makes at once, such as tables and settings."""
    if (library := NEEDS.get(name)) is not None and importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    assert importlib.import_module(name).__doc__


def test_every_command_line_of_its_page_is_understood() -> None:
    """Each names what it measures, and no option that this does not have."""
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    lines = re.findall(r"^python -m bench ([^#\n]+)", page, re.MULTILINE)
    assert [parse(line.split()).what for line in lines] == [line.split()[0] for line in lines]
    assert len(lines) > 5
