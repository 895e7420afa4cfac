"""Commands applied per second by workers that have a backlog: whole lives, of invoke, running and completed.

With `--peers` also the same job with Quix Streams, in this run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench import apply as plain
from bench.lib import workload
from bench.lib.backlog import apply, show_jobs
from bench.lib.service import PARTITIONS, by, say
from bench.peers import naive

if TYPE_CHECKING:
    import argparse

NAME = "life"
add_arguments = plain.add_arguments


def measure(bootstrap: str, options: argparse.Namespace) -> dict[str, Any]:
    """Figures with each count of workers."""
    say("making commands")
    lives = options.commands // 3
    records = list(workload.lives(workload.ids(lives), PARTITIONS))
    jobs = {
        by(workers, "mixed life"): apply(bootstrap, "mixed life", records, workers, profile=options.profile)
        for workers in options.workers
    }
    if not options.peers:
        return {"jobs": jobs}
    return {"jobs": jobs, "peers": naive.beside(bootstrap, records, lives, 0)}


def show(figures: dict[str, Any]) -> None:
    """Print the tables."""
    show_jobs(figures["jobs"])
    if "peers" in figures:
        naive.show(figures["peers"], "mixed life")
