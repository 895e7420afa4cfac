"""Imports point downwards only, and the engine touches nothing outside itself."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(__file__).parent.parent / "streams"

# A folder is a layer, and so is a file beside the folders. What stands here is what docs and reviews go by.
MAY_IMPORT: dict[str, set[str]] = {
    "__init__": set(),
    "model": set(),
    "errors": set(),
    "clock": set(),
    "stopping": set(),
    "textfiles": {"errors"},
    "protocol": {"model"},
    "codec": {"model"},
    "kafka_properties": set(),
    "config": {"errors", "textfiles", "kafka_properties"},
    "logs": {"config"},
    "kafka": {"config", "errors", "logs"},
    "engine": {"model", "protocol"},
    "state": {"model", "protocol", "codec", "engine"},
    "metrics": {"model", "config"},
    "health": {"errors"},
    "supervision": {"config", "errors", "logs", "stopping"},
    "listing": {"clock", "errors", "model", "protocol"},
    "worker": {
        "clock",
        "model",
        "config",
        "errors",
        "kafka",
        "metrics",
        "protocol",
        "health",
        "stopping",
        "codec",
        "engine",
        "state",
        "listing",
        "supervision",
    },
    "client": {
        "clock",
        "model",
        "protocol",
        "kafka",
        "config",
        "errors",
        "codec",
        "stopping",
        "health",
        "metrics",
    },
    "gateway": {
        "model",
        "config",
        "errors",
        "kafka",
        "logs",
        "metrics",
        "protocol",
        "health",
        "codec",
        "client",
        "listing",
        "stopping",
        "supervision",
    },
    "offline": {"model", "protocol", "config", "errors", "kafka", "codec", "engine", "state", "worker"},
    "broker": {"stopping"},
}
EVERYTHING = {"cli", "__main__"}

# Pure libraries only: with these a replay of the log gives the same table, whenever and wherever it runs.
ENGINE_MAY_USE = {
    "__future__",
    "bisect",
    "collections",
    "dataclasses",
    "enum",
    "functools",
    "hashlib",
    "heapq",
    "itertools",
    "math",
    "msgspec",
    "numpy",
    "operator",
    "re",
    "struct",
    "typing",
    "unicodedata",
}
# `hash` differs from process to process, `id` from run to run.
ENGINE_MUST_NOT_CALL = {"open", "print", "input", "hash", "id", "eval", "exec", "__import__"}

FILES = sorted(PACKAGE.rglob("*.py"))


def _layer(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, inside functions and for type checkers too, by its absolute name."""
    package = ["streams", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield module
            # What is imported of a folder may be a file.
            yield from (f"{module}.{name.name}" for name in node.names)


def _layers_below(path: Path) -> set[str]:
    """The layers that a file imports; other names in the package, such as a version, are none."""
    imported = {module.split(".")[1] for module in _imports(path) if module.startswith("streams.")}
    return imported & (MAY_IMPORT.keys() | EVERYTHING)


def _name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_imports_point_downwards(path: Path) -> None:
    """A layer imports itself and what stands below it."""
    layer = _layer(path)
    if layer in EVERYTHING:
        return
    assert layer in MAY_IMPORT, f"{layer} is no layer yet: say in MAY_IMPORT what it may import"
    assert not _layers_below(path) - MAY_IMPORT[layer] - {layer}


@pytest.mark.parametrize("layer", MAY_IMPORT)
def test_every_permission_is_used(layer: str) -> None:
    """What nobody imports any more is taken from the list: a permission left there would let it come back unseen."""
    used = set[str]().union(*(_layers_below(path) for path in FILES if _layer(path) == layer))
    assert not MAY_IMPORT[layer] - used


@pytest.mark.parametrize("path", [path for path in FILES if _layer(path) in {"engine", "protocol"}], ids=_name)
def test_the_engine_is_pure(path: Path) -> None:
    """The engine and its rules use pure libraries only: no clock, no randomness, no files, no network, no threads."""
    used = {module.split(".")[0] for module in _imports(path)} - {"streams"}
    assert not used - ENGINE_MAY_USE
    tree = ast.parse(path.read_text())
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not called & ENGINE_MUST_NOT_CALL
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert "random" not in attributes


def test_no_files_import_each_other() -> None:
    """There is no circle between files either, not even for type checkers."""
    names = {".".join(["streams", *path.relative_to(PACKAGE).with_suffix("").parts]): path for path in FILES}
    below = {name: {other for other in _imports(path) if other in names} - {name} for name, path in names.items()}
    while ends := {name for name, others in below.items() if not others}:
        below = {name: others - ends for name, others in below.items() if name not in ends}
    assert not below


def test_there_is_something_to_check() -> None:
    """The layers of the architecture are all there."""
    found = {_layer(path) for path in FILES}
    assert {
        "model",
        "protocol",
        "codec",
        "config",
        "kafka",
        "engine",
        "state",
        "worker",
        "gateway",
        "client",
        "offline",
        "cli",
    } <= found
