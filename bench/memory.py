"""State on disk and memory of a worker with a full table, and its memory over many commands and a week of batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.kill import JOBS
from bench.lib import workload
from bench.lib.batch import run
from bench.lib.options import add_rows
from bench.lib.report import load_average, print_table
from bench.lib.service import PARTITIONS, Service, say, service
from streams.client import new_batch_id
from streams.model import Action, Filter, StartBatch

if TYPE_CHECKING:
    import argparse

NAME = "memory"
_WEEK = 7 * 24 * 60
"""Batches of a week, one a minute."""
_COMMANDS = 10_000_000
_SAMPLES = 20
_AT_ONCE = 20
_HEAD = ("table", "rows", "disk MB", "memory MB", "most", "load")

_HEAD_OVER = ("over", "number", "MB after a tenth", "half", "all", "most of the second half is x")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    add_rows(parser)
    parser.add_argument("--over", type=int, default=_COMMANDS, metavar="COMMANDS", help="memory is watched over these")
    parser.add_argument("--over-batches", type=int, default=_WEEK, metavar="BATCHES", help="and then over these")


def measure(bootstrap: str, options: argparse.Namespace) -> dict[str, Any]:
    """Figures of full tables, one of each kind of row, and what the last one's worker has while it goes on."""
    figures: dict[str, Any] = {"tables": {}}
    for job, running in JOBS.items():
        with service(bootstrap, NAME) as made:
            made.fill(workload.of_service(workload.OTHER, options.rows, PARTITIONS, running=running), job)
            made.await_quiet()
            memory = made.memory_mb()
            figures["tables"][job] = {
                "rows": options.rows,
                "state_mb": made.state_mb(),
                "memory_mb": memory["now"],
                "most_mb": memory["most"],
                "load_average": load_average(),
            }
            if running:
                figures["commands"] = _over(made, "commands", options.over, _lives)
                figures["batches"] = _over(made, "batches", options.over_batches, _batches)
    return figures


def show(figures: dict[str, Any]) -> None:
    """Print the tables."""
    keys = ("rows", "state_mb", "memory_mb", "most_mb", "load_average")
    tables = figures["tables"]
    print_table("Full tables", _HEAD, [[name, *[each[key] for key in keys]] for name, each in tables.items()])
    over = []
    for what in ("commands", "batches"):
        samples = figures[what]["samples"]
        parts = [samples[_SAMPLES * tenths // 10 - 1][1] for tenths in (1, 5, 10)]
        over.append([what, samples[-1][0], *parts, figures[what]["grown"]])
    print_table("Memory over time", _HEAD_OVER, over)


def _over(made: Service, what: str, count: int, step: Any) -> dict[str, Any]:
    """Resident memory after each of a number of steps; the highest of the last half beside that of the first tenth."""
    samples, done = [], 0
    for number in range(1, _SAMPLES + 1):
        until = count * number // _SAMPLES
        step(made, until - done)
        done = until
        samples.append((done, made.memory_mb()["now"]))
        say(f"{NAME}: {done:,} of {count:,} {what}, {samples[-1][1]:.0f} MB")
    early = max(mb for _, mb in samples[: _SAMPLES // 10])
    return {"samples": samples, "grown": max(mb for _, mb in samples[_SAMPLES // 2 :]) / early}


def _lives(made: Service, count: int) -> None:
    made.fill(workload.lives(workload.ids(count // 3), PARTITIONS), "commands")


def _batches(made: Service, count: int) -> None:
    """Kills that match nothing, some at once."""
    for begin in range(0, count, _AT_ONCE):
        absent = Filter(services=("absent",))
        some = min(_AT_ONCE, count - begin)
        run(made, [StartBatch(new_batch_id(), Action.KILL, absent) for _ in range(some)])
