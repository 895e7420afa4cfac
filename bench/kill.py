"""One batch that kills eight tenths of a table, and what an unrelated command feels of it."""

from __future__ import annotations

import time
from collections import Counter
from statistics import median
from typing import TYPE_CHECKING, Any

from bench import workload
from bench.applied import rates
from bench.batch import Ran, latency, pings, run
from bench.report import load_average
from bench.service import PARTITIONS, BenchError, Service, by, say, service
from bench.shares import profiled
from streams import codec
from streams.client import new_batch_id
from streams.config import Topic
from streams.model import Action, ContinueSlice, Filter, StartBatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.workload import Record

_WARM_UPS = 3
_BROKER_WARMS_S = 20.0
"""A broker in Java compiles what is used often, on the processors it shares: thousands of transactions at first.

It goes on with it during the first kills: the first of two in turn took four times the compiler's time of the second.
"""
_WARM_UP_S = 12.0
_WARM_UP_ROWS = 200_000
_IDLE_S = 10.0
_AFTER_S = 2.0

HEAD_KILL = (
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
HEAD_PING = ("pings", "idle p50", "p99", "max", "during p50", "p99", "max", "x p50", "x p99", "x max")
HEAD_STATE = ("table", "loaded/s", "disk MB", "memory MB", "most", "restart s", "to 1st command s", "restore rows/s")


def measure(
    bootstrap: str, rows: int, counts: Sequence[int], *, restore: bool = True, profile: bool = False
) -> dict[str, Any]:
    """Figures for a table of invocations that never started, and for one of running ones, with each count of workers.

    Restart and restore are measured with one worker.
    """
    figures = {}
    for workers in counts:
        for job, running in (("never started", False), ("running", True)):
            name = by(workers, job)
            say(f"making {rows:,} commands")
            records = list(workload.table(workload.ids(rows), PARTITIONS, running=running))
            with service(bootstrap, job.replace(" ", "-"), workers) as made:
                alone = restore and workers == 1
                figures[name] = _measure(made, name, records, restore=alone, profile=profile)
    return figures


def warm_up(bootstrap: str, workers: int) -> None:
    """Pings and kills that are not measured, for a broker that has just started."""
    records = list(workload.table(workload.ids(_WARM_UP_ROWS), PARTITIONS, running=True))
    for _ in range(_WARM_UPS):
        with service(bootstrap, "warm-up", workers) as made:
            ends = made.preload(records, "warm-up")
            made.start_workers()
            made.await_applied(ends, "warm-up")
            with pings(made):
                time.sleep(_BROKER_WARMS_S)
                run(made, [StartBatch(new_batch_id(), Action.KILL, Filter(services=(workload.DOOMED,)))])


def kill_rows(figures: dict[str, Any]) -> list[list[Any]]:
    """For the table of `HEAD_KILL`."""
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


def ping_rows(figures: dict[str, Any]) -> list[list[Any]]:
    """For the table of `HEAD_PING`; milliseconds."""
    shown = []
    for name, each in figures.items():
        idle, during = each["idle"], each["during"]
        parts = ("p50", "p99", "max")
        ratios = [during[part] / idle[part] for part in parts]
        shown.append([name, *[idle[part] for part in parts], *[during[part] for part in parts], *ratios])
    return shown


def state_rows(figures: dict[str, Any]) -> list[list[Any]]:
    """For the table of `HEAD_STATE`."""
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
    ends = made.preload(records, name)
    made.start_workers()
    figures: dict[str, Any] = {"rows": len(records), "load": rates(made.await_applied(ends, name))}
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
