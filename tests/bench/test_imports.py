"""The programs of bench begin to work when they are asked to: none has been left behind by the package."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
MODULES = sorted(path.stem for path in BENCH.glob("*.py"))
NEEDS = {"naive_quix": "quixstreams"}
"""What a module compares us with, and only those who measure it install."""


@pytest.mark.parametrize("name", MODULES)
def test_every_module_of_bench_is_imported(name: str) -> None:
    """With all that it makes at once, such as tables and settings."""
    if (library := NEEDS.get(name)) is not None and importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    assert importlib.import_module(f"bench.{name}").__doc__
