"""This service beside Quix Streams and Faust on the jobs of `apply` and `life`, in one run, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.lib import workload
from bench.lib.service import PARTITIONS
from bench.peers import naive

if TYPE_CHECKING:
    import argparse

NAME = "compare"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("--commands", type=int, default=400_000, help="to apply")
    parser.add_argument("--faust-commands", type=int, default=40_000, help="fewer, as Faust takes long")


def measure(bootstrap: str, options: argparse.Namespace) -> dict[str, Any]:
    """Figures of each that is installed, of both jobs; the second without Faust."""
    names = workload.ids(options.commands)
    started, lives = list(workload.started(names, PARTITIONS)), options.commands // 3
    return {
        "invoke": naive.beside(bootstrap, started, len(started), options.faust_commands),
        "mixed life": naive.beside(bootstrap, list(workload.lives(names[:lives], PARTITIONS)), lives, 0),
    }


def show(figures: dict[str, Any]) -> None:
    """Print the tables."""
    for job, each in figures.items():
        naive.show(each, job)
