"""A restart on the state folder: from the assignment to the first command applied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.kill import JOBS
from bench.lib import workload
from bench.lib.options import add_rows
from bench.lib.report import load_average, print_table
from bench.lib.restarts import restart
from bench.lib.service import PARTITIONS, service

if TYPE_CHECKING:
    import argparse

NAME = "restart"
_HEAD = ("table", "rows", "all partitions run, s", "first command applied, s", "load")
add_arguments = add_rows


def measure(bootstrap: str, options: argparse.Namespace) -> dict[str, Any]:
    """Figures of a table of rows that never started, and of one of running ones."""
    figures = {}
    for job, running in JOBS.items():
        with service(bootstrap, NAME) as made:
            made.fill(workload.of_service(workload.OTHER, options.rows, PARTITIONS, running=running), job)
            figures[job] = {"rows": options.rows, **restart(made, job), "load_average": load_average()}
    return figures


def show(figures: dict[str, Any]) -> None:
    """Print the table."""
    keys = ("rows", "restart_s", "first_command_s", "load_average")
    shown = [[name, *[each[key] for key in keys]] for name, each in figures.items()]
    print_table("A restart with its state", _HEAD, shown)
