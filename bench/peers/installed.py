"""The peers that the service is compared with, and how they are installed.

    python -m bench.peers.installed [quix] [restate]

They have a folder of their own, which git ignores: `.peers/` beside `bench/`, or what the variable BENCH_PEERS names.
No test needs it. Faust is among the packages of development already.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.lib.service import BenchError, say

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).parents[2]
PEERS = Path(os.environ.get("BENCH_PEERS") or ROOT / ".peers")
QUIX_PYTHON = PEERS / "quix" / "bin" / "python"
RESTATE = PEERS / "restate"
_QUIX = ("quixstreams==3.28.1", "fastavro==1.13.1")
_RESTATE_FILES = ("package.json", "package-lock.json", "service.mjs")
NAMES = ("quix", "restate")


def here(name: str) -> bool:
    """Whether it can be measured; else one line says how to install it."""
    file = QUIX_PYTHON if name == "quix" else RESTATE / "node_modules" / ".package-lock.json"
    if not file.exists():
        say(f"{name} is left out: python -m bench.peers.installed {name} installs it")
    return file.exists()


def each_of(measures: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    """The figures of each; one that fails is told and left out, so that it costs nobody else's figures."""
    figures = {}
    for name, measure in measures.items():
        try:
            figures[name] = measure()
        except BenchError as error:
            say(f"{name} is left out: {error}")
    return figures


def install(name: str) -> None:
    """Install it, or again."""
    if name == "quix":
        venv.create(QUIX_PYTHON.parents[1], with_pip=True)
        subprocess.run([QUIX_PYTHON, "-m", "pip", "install", "--quiet", *_QUIX], check=True)
        return
    RESTATE.mkdir(parents=True, exist_ok=True)
    for file in _RESTATE_FILES:
        shutil.copyfile(ROOT / "bench" / "peers" / "restate" / file, RESTATE / file)
    # Its install script only reports that it has been installed.
    subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=RESTATE, check=True)


def main() -> None:
    """Install those that are named, or all."""
    for name in sys.argv[1:] or NAMES:
        if name not in NAMES:
            raise SystemExit(f"{name}: one of {', '.join(NAMES)}")
        install(name)


if __name__ == "__main__":
    main()
