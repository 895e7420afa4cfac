"""The command line on an idle machine: how long its version takes, and one invocation."""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.lib.report import load_average, print_table
from bench.lib.service import PARTITIONS, BenchError, service

if TYPE_CHECKING:
    import argparse

NAME = "cli"
_TIMES = 10
_HEAD = ("command", "times", "median s", "least", "most", "load")
_LINES = {"streams --version": ["--version"], "streams invoke": ["invoke", "emails", "send"]}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("--times", type=int, default=_TIMES, help="each command")


def measure(bootstrap: str, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of each command, in turn, beside an idle worker."""
    taken: dict[str, list[float]] = {line: [] for line in _LINES}
    with service(bootstrap, NAME) as made:
        made.start_workers()
        made.await_event("partition running", PARTITIONS)
        env = made.environment
        for _ in range(options.times):
            for line, words in _LINES.items():
                began = time.perf_counter()
                ran = subprocess.run(
                    [sys.executable, "-m", "streams", *words], env=env, capture_output=True, text=True, check=False
                )
                taken[line].append(time.perf_counter() - began)
                if ran.returncode:
                    raise BenchError(f"{line}: exit code {ran.returncode}\n{ran.stderr[-500:]}")
    return {
        line: {
            "times": len(found),
            "median": median(found),
            "least": min(found),
            "most": max(found),
            "load_average": load_average(),
        }
        for line, found in taken.items()
    }


def show(figures: dict[str, Any]) -> None:
    """Print the table."""
    keys = ("times", "median", "least", "most", "load_average")
    print_table("The command line", _HEAD, [[name, *[each[key] for key in keys]] for name, each in figures.items()])
