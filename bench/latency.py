"""An unrelated command to its signal, from outside, idle and beside batches in turn: medians of several windows.

Commands are sent at a fixed rate, whatever has become of those before them, and each counts from when it was due. Each
window has rows of its own, which are loaded before it. With `--peers` Restate's pings beside its own kill and cancel.
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.cancel import EXECUTORS
from bench.lib import workload
from bench.lib.batch import beside_idle, medians, pings, print_pings, program, run
from bench.lib.options import add_peers, add_rate, add_rows
from bench.lib.report import load_average, print_table
from bench.lib.service import PARTITIONS, BenchError, Service, say, service
from bench.peers.restate import measure as restate
from streams.client import new_batch_id
from streams.model import Action, Filter, StartBatch

if TYPE_CHECKING:
    import argparse

    from bench.lib.batch import Ran

NAME = "latency"
KINDS = ("never started", "running", "cancelled")
_SETTLE_S = 8.0
_AFTER_S = 2.0
_GRACE_MS = 600_000
_HEAD = ("batches over", "windows", "rows each", "ended/s, median", "pings in a window", "load")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    add_rows(parser)
    add_rate(parser)
    add_peers(parser)
    parser.add_argument("--windows", type=int, default=5, help="idle and beside a batch, in turn")
    parser.add_argument("--idle", type=float, default=15.0, metavar="SECONDS", help="how long each idle span lasts")
    parser.add_argument("--kind", choices=KINDS, action="append", help="one of them; all if absent")


def measure(bootstrap: str, options: argparse.Namespace) -> dict[str, Any]:
    """Figures of kills of rows that never started and of running ones, and of cancels until each row has ended."""
    figures: dict[str, Any] = {"jobs": {}}
    for kind in options.kind or KINDS:
        with service(bootstrap, f"latency-{kind.replace(' ', '-')}") as made:
            figures["jobs"][kind] = _measure(made, kind, options)
    if options.peers and restate.installed():
        figures["peers"] = restate.latencies(options.peer_rows, options.rate)
    return figures


def show(figures: dict[str, Any]) -> None:
    """Print the tables."""
    keys = ("count", "rows", "ended_per_second", "pings", "load_average")
    jobs = figures["jobs"]
    print_table("Batches", _HEAD, [[name, *[each[key] for key in keys]] for name, each in jobs.items()])
    print_pings(jobs, "From when a command is due to its signal, ms: medians of the windows")
    if "peers" in figures:
        print_pings(figures["peers"], "Restate: from when a call is due to its answer, ms")


def _measure(made: Service, kind: str, options: argparse.Namespace) -> dict[str, Any]:
    spans: list[tuple[float, Ran, str]] = []
    made.start_workers()
    made.await_event("partition running", PARTITIONS)
    executor = program(made, EXECUTORS["plain"]) if kind == "cancelled" else nullcontext()
    with pings(made, options.rate) as found, executor:
        for number in range(options.windows):
            name = f"{kind}, window {number + 1} of {options.windows}"
            rows = workload.of_service(
                workload.round_service(number), options.rows, PARTITIONS, running=kind != "never started"
            )
            made.fill(workload.then_suspended(rows) if kind == "cancelled" else rows, name)
            time.sleep(_SETTLE_S)
            say(f"{name}: idle")
            began = time.time()
            time.sleep(options.idle)
            say(f"{name}: batch")
            batch = _batch(kind, number)
            spans.append((began, run(made, [batch]), batch.batch_id))
            time.sleep(_AFTER_S)
    for _, ran, batch_id in spans:
        if (done := ran.total(batch_id, "done")) != options.rows:
            raise BenchError(f"{done:,} ended, and {options.rows:,} should have")
    windows = [beside_idle(found, [(began, ran.sent)], [(ran.sent, ran.finished)]) for began, ran, _ in spans]
    return {
        **medians(windows),
        "count": options.windows,
        "rows": options.rows,
        "ended_per_second": median(options.rows / (ran.finished - ran.sent) for _, ran, _ in spans),
        "pings": median(each["during"]["count"] for each in windows),
        "windows": windows,
        "load_average": load_average(),
    }


def _batch(kind: str, number: int) -> StartBatch:
    rows = Filter(services=(workload.round_service(number),))
    if kind == "cancelled":
        return StartBatch(new_batch_id(), Action.CANCEL, rows, grace_ms=_GRACE_MS)
    return StartBatch(new_batch_id(), Action.KILL, rows)
