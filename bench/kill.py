"""One batch that kills eight tenths of a table, alone and with pings beside it.

With `--peers` Restate kills as well in this run: by its internal endpoint for a thousand ids, and by its command line.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import nullcontext
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.lib import workload
from bench.lib.batch import Ran, beside_idle, pings, print_pings, run
from bench.lib.options import add_peers, add_profile, add_rate, add_rows, add_workers
from bench.lib.report import load_average, print_table
from bench.lib.service import PARTITIONS, BenchError, Service, by, say, service
from bench.lib.shares import profiled, show_profiles
from bench.peers.restate import measure as restate
from streams import codec
from streams.client import new_batch_id
from streams.config import Topic
from streams.model import Action, ContinueSlice, Filter, StartBatch

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from bench.lib.workload import Record

NAME = "kill"
WARM_UP_S = 12.0
_IDLE_S = 10.0
_AFTER_S = 2.0
JOBS = {"never started": False, "running": True}
"""Kind of row, and whether it runs."""
ALONE, WITH_PINGS = "alone", "with pings"

_HEAD = (
    "killed",
    "rows",
    "ended",
    "seconds",
    "ended/s",
    "CPU us each",
    "log records each",
    "page: median",
    "largest",
    "load",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    add_rows(parser)
    add_workers(parser)
    add_rate(parser)
    add_profile(parser)
    add_peers(parser)


def measure(bootstrap: str, options: argparse.Namespace) -> dict[str, Any]:
    """Figures of invocations that never started, and of running ones, with each count of workers.

    A table has as many rows again as `--rows`: one half is killed alone, the other with pings beside it.
    """
    jobs = {}
    for workers in options.workers:
        for job, running in JOBS.items():
            name = by(workers, job)
            with service(bootstrap, job.replace(" ", "-"), workers) as made:
                made.fill(_halves(options.rows, running=running), name)
                for half, when in enumerate((ALONE, WITH_PINGS)):
                    jobs[f"{name}, {when}"] = _measure(made, f"{name}, {when}", half, options)
    figures: dict[str, Any] = {"jobs": jobs}
    if options.peers and restate.installed():
        figures["peers"] = restate.kills(options.peer_rows, options.rate)
    return figures


def show(figures: dict[str, Any]) -> None:
    """Print the tables."""
    jobs = figures["jobs"]
    keys = (
        "rows",
        "ended",
        "seconds",
        "ended_per_second",
        "cpu_us_each",
        "log_records_per_ended",
        "page_median",
        "page_largest",
        "load_average",
    )
    print_table("Killed by one batch", _HEAD, [[name, *[each[key] for key in keys]] for name, each in jobs.items()])
    print_pings({name: each for name, each in jobs.items() if "idle" in each})
    show_profiles(jobs)
    if "peers" in figures:
        ours = {name: each["ended_per_second"] for name, each in jobs.items()}
        restate.show(figures["peers"], ours)


def _halves(rows: int, *, running: bool) -> Iterator[Record]:
    for half in range(2):
        names = workload.ids(rows)
        yield from workload.table(names, PARTITIONS, running=running, service=workload.round_service(half))


def _measure(made: Service, name: str, half: int, options: argparse.Namespace) -> dict[str, Any]:
    """One half is killed; the second time with pings."""
    batch = StartBatch(new_batch_id(), Action.KILL, Filter(services=(workload.round_service(half),)))
    file = made.folder / "profile" if options.profile else None
    with pings(made, options.rate) if half else nullcontext() as found:
        began = _idle(name) if half else time.time()
        begins = made.ends(Topic.COMMANDS)
        say(f"{name}: kill")
        used = made.cpu_s()
        with profiled(made.worker_pids[0], file) as shares:
            ran = run(made, [batch])
        used = made.cpu_s() - used
        time.sleep(_AFTER_S)
    killed = _killed(made, begins, ran)
    expected = sum(1 for number in range(options.rows) if number % 10 < workload.DOOMED_TENTHS)
    if killed["ended"] != expected:
        raise BenchError(f"{killed['ended']:,} ended, and {expected:,} should have")
    return {
        "rows": options.rows,
        **killed,
        **({} if found is None else beside_idle(found, [(began, ran.sent)], [(ran.sent, ran.finished)])),
        "cpu_us_each": used * 1e6 / expected,
        "memory_mb": made.memory_mb(),
        "load_average": load_average(),
        "profile": shares,
    }


def _idle(name: str) -> float:
    """When the pings' idle span began; it has lasted long enough when this returns."""
    time.sleep(WARM_UP_S)
    say(f"{name}: idle")
    began = time.time()
    time.sleep(_IDLE_S)
    return began


def _killed(made: Service, begins: list[int], ran: Ran) -> dict[str, Any]:
    """What the batch did, and what it cost in the command log."""
    kinds: Counter[str] = Counter()
    sizes = []
    for message in made.read(Topic.COMMANDS, begins, made.ends(Topic.COMMANDS)):
        command = codec.decode_command(message.value())
        kinds[type(command).__name__] += 1
        if isinstance(command, ContinueSlice):
            sizes.append(command.max_matched)
    del kinds["Invoke"]  # pings
    (batch_id,), seconds = ran.slices, ran.finished - ran.sent
    ended = ran.total(batch_id, "done")
    return {
        "ended": ended,
        "seconds": seconds,
        "ended_per_second": ended / seconds,
        "log_records": dict(kinds),
        "log_records_per_ended": kinds.total() / max(ended, 1),
        "page_median": median(sizes or [0]),
        "page_largest": max(sizes, default=0),
    }
