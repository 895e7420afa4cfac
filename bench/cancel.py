"""One batch that cancels suspended invocations, until each has really ended, and what an unrelated command feels of it.

The batch is over when the executor, a process of its own, has answered for every one of them, and its answers are
applied: so each invocation costs a signal, a report and two changes of its row. With `--peers` Restate cancels
suspended invocations by its command line in this run, until each has ended.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from bench.lib import workload
from bench.lib.batch import Ran, beside_idle, pings, print_pings, program, run
from bench.lib.options import add_peers, add_rate, add_rows
from bench.lib.report import load_average, print_table
from bench.lib.service import PARTITIONS, BenchError, Service, say, service
from bench.peers.restate import measure as restate
from streams import codec
from streams.client import new_batch_id
from streams.config import Topic
from streams.model import Action, Filter, Signal, SignalKind, StartBatch

if TYPE_CHECKING:
    import argparse

NAME = "cancel"
_WARM_UP_S = 12.0
_IDLE_S = 10.0
_AFTER_S = 2.0
_GRACE_MS = 600_000
"""Nothing is to be killed: what is measured is that all have answered."""

_HEAD = ("executor", "rows", "ended", "seconds", "ended/s", "CPU us each", "CANCEL signals", "load")
EXECUTORS = {"plain": "bench.lib.answer", "library": "bench.lib.library_executor"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    add_rows(parser)
    add_rate(parser)
    add_peers(parser)
    parser.add_argument("--executor", choices=EXECUTORS, default="plain", help="what answers")


def measure(bootstrap: str, options: argparse.Namespace) -> dict[str, Any]:
    """Figures for a table of suspended invocations, eight tenths of which are cancelled."""
    say(f"making {2 * options.rows:,} commands")
    records = list(workload.suspended(workload.ids(options.rows), PARTITIONS))
    with service(bootstrap, "cancel") as made:
        made.load(records, "suspended")
        figures: dict[str, Any] = {"jobs": {"suspended": _measure(made, options)}}
    if options.peers and restate.installed():
        figures["peers"] = restate.cancels(options.peer_rows, options.rate)
    return figures


def show(figures: dict[str, Any]) -> None:
    """Print the tables."""
    keys = ("rows", "ended", "seconds", "ended_per_second", "cpu_us_each", "signals", "load_average")
    jobs = figures["jobs"]
    shown = [[each["executor"], *[each[key] for key in keys]] for each in jobs.values()]
    print_table("Cancelled by one batch, answered by an executor", _HEAD, shown)
    print_pings(jobs)
    if "peers" in figures:
        restate.show(figures["peers"], {name: each["ended_per_second"] for name, each in jobs.items()})


def _measure(made: Service, options: argparse.Namespace) -> dict[str, Any]:
    with pings(made, options.rate) as found, program(made, EXECUTORS[options.executor]):
        time.sleep(_WARM_UP_S)
        signals = made.ends(Topic.SIGNALS)
        say("cancel: idle")
        began = time.time()
        time.sleep(_IDLE_S)
        say("cancel")
        used = made.cpu_s()
        batch = StartBatch(new_batch_id(), Action.CANCEL, Filter(services=(workload.DOOMED,)), grace_ms=_GRACE_MS)
        ran = run(made, [batch])
        used = made.cpu_s() - used
        time.sleep(_AFTER_S)
    ended = ran.total(batch.batch_id, "done")
    _check(ran, batch.batch_id, options.rows)
    return {
        "executor": options.executor,
        "rows": options.rows,
        "ended": ended,
        "seconds": ran.finished - ran.sent,
        "ended_per_second": ended / (ran.finished - ran.sent),
        "cpu_us_each": used * 1e6 / ended,
        "signals": _cancels(made, signals),
        **beside_idle(found, [(began, ran.sent)], [(ran.sent, ran.finished)]),
        "memory_mb": made.memory_mb(),
        "load_average": load_average(),
    }


def _check(ran: Ran, batch_id: str, count: int) -> None:
    """All that match have ended by the batch, and by nothing else."""
    counters = {name: ran.total(batch_id, name) for name in ("matched", "done", "pending", "skipped", "failed")}
    expected = sum(1 for number in range(count) if number % 10 < workload.DOOMED_TENTHS)
    if counters != {"matched": expected, "done": expected, "pending": 0, "skipped": 0, "failed": 0}:
        raise BenchError(f"{expected:,} should have ended by the batch: {counters}")


def _cancels(made: Service, begins: list[int]) -> int:
    """How many CANCEL signals it took: more than rows when answers came so late that they were asked again."""
    messages = made.read(Topic.SIGNALS, begins, made.ends(Topic.SIGNALS))
    signals = (codec.decode(message.value()) for message in messages)
    return sum(isinstance(each, Signal) and each.kind is SignalKind.CANCEL for each in signals)
