"""One batch that kills eight tenths of a table, and what an unrelated command feels of it."""

from __future__ import annotations

import time
from collections import Counter
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.lib import workload
from bench.lib.batch import Ran, latency, pings, print_pings, run
from bench.lib.options import add_profile, add_rows, add_workers
from bench.lib.report import load_average, print_table, rates
from bench.lib.service import PARTITIONS, BenchError, Service, by, say, service
from bench.lib.shares import profiled, show_profiles
from streams import codec
from streams.client import new_batch_id
from streams.config import Topic
from streams.model import Action, ContinueSlice, Filter, StartBatch

if TYPE_CHECKING:
    import argparse

    from bench.lib.workload import Record

NAME = "kill"
_WARM_UP_S = 12.0
_IDLE_S = 10.0
_AFTER_S = 2.0

_HEAD_KILL = (
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
_HEAD_STATE = ("table", "loaded/s", "disk MB", "memory MB", "most", "restart s", "to 1st command s", "restore rows/s")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    add_rows(parser)
    add_workers(parser)
    add_profile(parser)
    parser.add_argument("--no-restore", action="store_true", help="without restart and restore of the table")


def measure(bootstrap: str, options: argparse.Namespace) -> dict[str, Any]:
    """Figures for a table of invocations that never started, and for one of running ones, with each count of workers.

    Restart and restore are measured with one worker.
    """
    figures = {}
    for workers in options.workers:
        for job, running in (("never started", False), ("running", True)):
            name = by(workers, job)
            say(f"making {options.rows:,} commands")
            records = list(workload.table(workload.ids(options.rows), PARTITIONS, running=running))
            with service(bootstrap, job.replace(" ", "-"), workers) as made:
                restore = workers == 1 and not options.no_restore
                figures[name] = _measure(made, name, records, restore=restore, profile=options.profile)
    return figures


def show(figures: dict[str, Any]) -> None:
    """Print the tables."""
    print_table("Killed by one batch, pings beside it", _HEAD_KILL, _kill_rows(figures))
    print_pings(figures)
    print_table("The table", _HEAD_STATE, _state_rows(figures))
    show_profiles(figures)


def _kill_rows(figures: dict[str, Any]) -> list[list[Any]]:
    keys = (
        "ended",
        "seconds",
        "ended_per_second",
        "cpu_us_each",
        "log_records_per_ended",
        "page_median",
        "page_largest",
    )
    return [
        [name, each["rows"], *[each["kill"][key] for key in keys], each["load_average"]]
        for name, each in figures.items()
    ]


def _state_rows(figures: dict[str, Any]) -> list[list[Any]]:
    return [
        [
            name,
            each["load"]["per_second"],
            each["state_mb"],
            each["memory_mb"]["now"],
            each["memory_mb"]["most"],
            each.get("restart_s", "-"),
            each.get("restart_first_command_s", "-"),
            each.get("restore_rows_per_second", "-"),
        ]
        for name, each in figures.items()
    ]


def _measure(made: Service, name: str, records: list[Record], *, restore: bool, profile: bool) -> dict[str, Any]:
    figures: dict[str, Any] = {"rows": len(records), "load": rates(made.load(records, name))}
    figures["state_mb"] = made.state_mb()
    with pings(made) as found:
        time.sleep(_WARM_UP_S)
        begins = made.ends(Topic.COMMANDS)
        say(f"{name}: idle")
        began = time.time()
        time.sleep(_IDLE_S)
        say(f"{name}: kill")
        used = made.cpu_s()
        with profiled(made.worker_pids[0], made.folder / "profile" if profile else None) as figures["profile"]:
            ran = run(made, [StartBatch(new_batch_id(), Action.KILL, Filter(services=(workload.DOOMED,)))])
        used = made.cpu_s() - used
        time.sleep(_AFTER_S)
    figures["idle"] = latency(found, began, ran.sent)
    figures["during"] = latency(found, ran.sent, ran.finished)
    figures["kill"] = _killed(made, begins, ran)
    figures["kill"]["cpu_us_each"] = used * 1e6 / max(figures["kill"]["ended"], 1)
    figures["memory_mb"] = made.memory_mb()
    figures["load_average"] = load_average()
    expected = sum(1 for number in range(len(records)) if number % 10 < workload.DOOMED_TENTHS)
    if figures["kill"]["ended"] != expected:
        raise BenchError(f"{figures['kill']['ended']:,} ended, and {expected:,} should have")
    if restore:
        figures |= _restarts(made, name, len(records))
    return figures


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
        "page_median": median(sizes),
        "page_largest": max(sizes),
    }


def _restarts(made: Service, name: str, rows: int) -> dict[str, Any]:
    """A restart on the state folder, and one without it."""
    figures = {}
    say(f"{name}: restart")
    made.stop_workers()
    with pings(made) as found:
        time.sleep(0.5)
        made.start_workers()
        assigned = min(event["at"] for event in made.await_event("partition assigned", PARTITIONS))
        running = max(event["at"] for event in made.await_event("partition running", PARTITIONS))
        time.sleep(3)
    figures["restart_s"] = running - assigned
    answered = [at + took / 1_000 for at, took in found if took is not None]
    figures["restart_first_command_s"] = min(answered) - assigned
    say(f"{name}: restore from the changelog")
    made.stop_workers()
    for file in made.state_files("partition-*"):
        file.unlink()
    made.start_workers()
    assigned = min(event["at"] for event in made.await_event("partition assigned", PARTITIONS))
    events = made.await_event("partition running", PARTITIONS)
    restored = sum(event["rows"] for event in events)
    if restored < rows:
        raise BenchError(f"{restored:,} rows restored of {rows:,}")
    figures["restore_s"] = max(event["at"] for event in events) - assigned
    figures["restore_rows_per_second"] = restored / figures["restore_s"]
    return figures
