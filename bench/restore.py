"""Tables made from the changelog alone, as on a new machine.

With `--peers` Quix Streams and Faust restore rows in this run, written by the same job.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.kill import JOBS
from bench.lib import workload
from bench.lib.options import add_peers, add_rows
from bench.lib.report import load_average, print_table
from bench.lib.restarts import restore
from bench.lib.service import PARTITIONS, service
from bench.peers import restoring

if TYPE_CHECKING:
    import argparse

NAME = "restore"
_HEAD = ("table", "rows", "seconds", "rows/s", "running is x", "load")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    add_rows(parser)
    add_peers(parser)


def measure(bootstrap: str, options: argparse.Namespace) -> dict[str, Any]:
    """Figures of a table of rows that never started, and of one of running ones."""
    jobs = {}
    for job, running in JOBS.items():
        with service(bootstrap, NAME) as made:
            made.fill(workload.of_service(workload.OTHER, options.rows, PARTITIONS, running=running), job)
            jobs[job] = {**restore(made, job, options.rows), "load_average": load_average()}
    if not options.peers:
        return {"jobs": jobs}
    return {"jobs": jobs, "peers": restoring.beside(bootstrap, options.rows, options.faust_commands)}


def show(figures: dict[str, Any]) -> None:
    """Print the table."""
    all_, own = figures["jobs"] | figures.get("peers", {}), figures["jobs"]["running"]["rows_per_second"]
    shown = [
        [
            name,
            each["rows"],
            each["seconds"],
            each["rows_per_second"],
            own / each["rows_per_second"],
            each["load_average"],
        ]
        for name, each in all_.items()
    ]
    print_table("Restored from the changelog", _HEAD, shown)
