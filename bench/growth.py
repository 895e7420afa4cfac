"""The same batches in a table of 100,000, a million and ten million rows: what each ended row costs.

One table grows from size to size. At each size rows of the batches' own are loaded, scheduled and running ones, and
killed; besides, a restart, state on disk and memory.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

from bench.kill import JOBS
from bench.lib import workload
from bench.lib.batch import run
from bench.lib.report import load_average, print_table
from bench.lib.restarts import restart
from bench.lib.service import PARTITIONS, BenchError, Service, say, service
from streams.client import new_batch_id
from streams.model import Action, Filter, StartBatch

if TYPE_CHECKING:
    import argparse

NAME = "growth"
SIZES = [100_000, 1_000_000, 10_000_000]
_HEAD = (
    "rows",
    "never started, us each",
    "x",
    "running, us each",
    "x",
    "CPU us",
    "CPU us",
    "disk MB",
    "MB",
    "restart s",
    "load",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="of the table, rising")
    parser.add_argument("--batch-rows", type=int, default=100_000, help="that each batch ends")
    parser.add_argument("--batches-each", type=int, default=3, help="of each kind at each size; medians count")


def measure(bootstrap: str, options: argparse.Namespace) -> dict[str, Any]:
    """Figures of each size, in one table that grows."""
    figures: dict[str, Any] = {}
    there = 0
    with service(bootstrap, NAME) as made:
        for size in sorted(options.sizes):
            name = f"{size:,} rows"
            made.fill(workload.of_service(workload.OTHER, size - there, PARTITIONS, running=True), name)
            there = size
            figures[name] = {job: _batches(made, f"{name}, {job}", options, job) for job in JOBS}
            figures[name] |= {"state_mb": made.state_mb(), "memory_mb": made.memory_mb()["now"]}
            figures[name] |= {**restart(made, name), "load_average": load_average()}
    smallest = next(iter(figures.values()))
    for each in figures.values():
        each["of_smallest"] = {job: each[job]["us_each"] / smallest[job]["us_each"] for job in JOBS}
    return figures


def show(figures: dict[str, Any]) -> None:
    """Print the table."""
    shown = []
    for name, each in figures.items():
        parts = [part for job in JOBS for part in (each[job]["us_each"], each["of_smallest"][job])]
        used = [each[job]["cpu_us_each"] for job in JOBS]
        rest = [each[key] for key in ("state_mb", "memory_mb", "first_command_s", "load_average")]
        shown.append([name.removesuffix(" rows"), *parts, *used, *rest])
    print_table("The same batches in tables that grow", _HEAD, shown)


def _batches(made: Service, name: str, options: argparse.Namespace, job: str) -> dict[str, Any]:
    """Medians of batches of one kind, one after the other; each has its rows loaded before it."""
    seconds, used = [], []
    for number in range(options.batches_each):
        own = f"{name}-{number}".replace(" ", "-").replace(",", "")
        made.fill(workload.of_service(own, options.batch_rows, PARTITIONS, running=JOBS[job]), own)
        made.await_quiet()
        say(f"{name}: batch {number + 1} of {options.batches_each}")
        cpu = made.cpu_s()
        batch = StartBatch(new_batch_id(), Action.KILL, Filter(services=(own,)))
        ran = run(made, [batch])
        used.append(made.cpu_s() - cpu)
        seconds.append(ran.finished - ran.sent)
        if (done := ran.total(batch.batch_id, "done")) != options.batch_rows:
            raise BenchError(f"{done:,} ended, and {options.batch_rows:,} should have")
    return {
        "rows": options.batch_rows,
        "seconds_of_each": seconds,
        "us_each": 1e6 * median(seconds) / options.batch_rows,
        "cpu_us_each": 1e6 * median(used) / options.batch_rows,
    }
