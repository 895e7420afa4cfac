"""How many commands a second workers apply that have a backlog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.lib import workload
from bench.lib.options import add_profile, add_workers
from bench.lib.report import load_average, print_table, rates
from bench.lib.service import PARTITIONS, by, say, service
from bench.lib.shares import profiled, show_profiles
from streams.config import Topic

if TYPE_CHECKING:
    import argparse

    from bench.lib.workload import Record

NAME = "applied"
_HEAD = ("job", "commands", "a second", "median second", "best second", "workers' CPU us each", "signals", "load")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("--commands", type=int, default=400_000, help="to apply")
    add_workers(parser)
    add_profile(parser)


def measure(bootstrap: str, options: argparse.Namespace) -> dict[str, Any]:
    """Figures of both jobs, with each count of workers: invocations that start at once, and whole lives.

    A life is invoke, running, completed.
    """
    say("making commands")
    names = workload.ids(options.commands)
    started = list(workload.started(names, PARTITIONS))
    lives = list(workload.lives(names[: options.commands // 3], PARTITIONS))
    figures = {}
    for workers in options.workers:
        for job, records in (("invoke", started), ("mixed life", lives)):
            figures[by(workers, job)] = _apply(bootstrap, job, records, workers, profile=options.profile)
    return figures


def show(figures: dict[str, Any]) -> None:
    """Print the tables."""
    keys = ("commands", "per_second", "median_second", "best_second", "cpu_us_each", "signals", "load_average")
    print_table("Commands applied", _HEAD, [[name, *[each[key] for key in keys]] for name, each in figures.items()])
    show_profiles(figures)


def _apply(bootstrap: str, name: str, records: list[Record], workers: int, *, profile: bool) -> dict[str, Any]:
    """The log is filled before the workers start, so that they are never short of commands."""
    with service(bootstrap, name.replace(" ", "-"), workers) as made:
        ends = made.preload(records, name)
        made.start_workers()
        made.await_event("partition running", PARTITIONS)
        used = made.cpu_s()
        with profiled(made.worker_pids[0], made.folder / "profile" if profile else None) as shares:
            samples = made.await_applied(ends, name)
        cpu = (made.cpu_s() - used) * 1e6 / len(records)
        signals = sum(1 for _ in made.read(Topic.SIGNALS, [0] * PARTITIONS, made.ends(Topic.SIGNALS)))
        return {
            **rates(samples),
            "commands": len(records),
            "signals": signals,
            "cpu_us_each": cpu,
            "load_average": load_average(),
            "profile": shares,
        }
