"""A log that is filled before the workers start, so that they are never short of commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.lib.report import load_average, print_table, rates
from bench.lib.service import PARTITIONS, service
from bench.lib.shares import profiled, show_profiles
from streams.config import Topic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.lib.workload import Record

_HEAD = ("job", "commands", "a second", "median second", "best second", "workers' CPU us each", "signals", "load")


def apply(bootstrap: str, name: str, records: Sequence[Record], workers: int, *, profile: bool) -> dict[str, Any]:
    """Figures of one job: from the first command applied to the last.

    The CPU counts until what the commands led to on other partitions, such as members of flows, is applied too.
    """
    with service(bootstrap, name.replace(" ", "-"), workers) as made:
        ends = made.preload(records, name)
        made.start_workers()
        made.await_event("partition running", PARTITIONS)
        used = made.cpu_s()
        with profiled(made.worker_pids[0], made.folder / "profile" if profile else None) as shares:
            samples = made.await_applied(ends, name)
        made.await_quiet()
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


def show_jobs(figures: dict[str, Any]) -> None:
    """Print the tables."""
    keys = ("commands", "per_second", "median_second", "best_second", "cpu_us_each", "signals", "load_average")
    print_table("Commands applied", _HEAD, [[name, *[each[key] for key in keys]] for name, each in figures.items()])
    show_profiles(figures)
