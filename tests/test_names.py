"""One name, one thing: public names of the package are not used twice."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "streams"
DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)

# Names that several files define, each with the one thing that they are.
SHARED = {
    "BrokerUnavailableError": "no broker, to talk to or to start; `streams.broker` imports nothing of ours",
    "cancel_flow": "the command `CancelFlow`: as it is made, and as it is applied",
    "invoke": "the command `Invoke`: as it is made, and as it is applied",
    "main": "a program's beginning",
    "restart": "the action RESTART: as it is asked for, and as it is done to a row",
    "resume": "the action RESUME: as it is asked for, and as it is done to a row",
    "start": "the beginning of what its module is about: a broker, an attempt",
}


def test_no_two_public_names_are_the_same() -> None:
    """Classes and functions of modules; verbs are exempt, as they are called what a person types."""
    places: defaultdict[str, set[str]] = defaultdict(set)
    for file in PACKAGE.rglob("*.py"):
        verbs = file.parent == PACKAGE / "cli"
        for node in ast.parse(file.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef if verbs else DEFINITIONS) and not node.name.startswith("_"):
                places[node.name].add(str(file.relative_to(PACKAGE)))
    twice = {name: sorted(files) for name, files in places.items() if len(files) > 1}
    assert {name: files for name, files in twice.items() if name not in SHARED} == {}
    assert SHARED.keys() - twice.keys() == set(), "these are used once only"
