"""What a batch has ended is forgotten once its retention is over, and what an unrelated command feels of that."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, Any

from bench.lib import workload
from bench.lib.batch import beside_idle, pings, print_pings, run
from bench.lib.options import add_rows
from bench.lib.report import load_average, print_table
from bench.lib.service import PARTITIONS, BenchError, Service, say, service
from streams import codec
from streams.client import new_batch_id
from streams.config import Topic
from streams.model import Action, Filter, StartBatch, Tick

if TYPE_CHECKING:
    import argparse

NAME = "retention"
_WARM_UP_S = 12.0
_IDLE_S = 10.0
_AFTER_S = 2.0
_KILLED_A_SECOND = 15_000
"""So fast a table is killed on any machine."""

_HEAD = ("forgotten", "rows", "gone", "seconds", "gone/s", "CPU us each", "ticks", "load")


add_arguments = add_rows


def measure(bootstrap: str, options: argparse.Namespace) -> dict[str, Any]:
    """Figures for a table of invocations that never started, eight tenths of which are killed and then forgotten."""
    count = options.rows
    say(f"making {count:,} commands")
    records = list(workload.table(workload.ids(count), PARTITIONS, running=False))
    retention_s = _IDLE_S + _AFTER_S + count / _KILLED_A_SECOND
    with service(bootstrap, "retention") as made:
        made.load(records, "retention", STREAMS_RETENTION_MS=str(round(retention_s * 1_000)))
        return {"never started": _measure(made, count, retention_s)}


def show(figures: dict[str, Any]) -> None:
    """Print the tables."""
    keys = ("rows", "gone", "seconds", "gone_per_second", "cpu_us_each", "ticks", "load_average")
    shown = [[name, *[each[key] for key in keys]] for name, each in figures.items()]
    print_table("Forgotten once its retention is over", _HEAD, shown)
    print_pings(figures)


def _measure(made: Service, count: int, retention_s: float) -> dict[str, Any]:
    with pings(made) as found:
        time.sleep(_WARM_UP_S)
        ran = run(made, [StartBatch(new_batch_id(), Action.KILL, Filter(services=(workload.DOOMED,)))])
        say("retention: idle")
        time.sleep(_AFTER_S)
        idle = time.time()
        first = ran.sent + retention_s
        if first < idle + _IDLE_S / 2:
            raise BenchError(
                f"the kill took {ran.finished - ran.sent:.1f} s, too long for a retention of {retention_s}"
            )
        time.sleep(max(0.0, first - time.time()))
        say("retention: forgetting")
        begins, used = made.ends(Topic.COMMANDS), made.cpu_s()
        while _resting(made):
            made.require_workers()
            time.sleep(0.2)
        over, used = time.time(), made.cpu_s() - used
        time.sleep(_AFTER_S)
    (batch_id,) = ran.slices
    gone = ran.total(batch_id, "done")
    return {
        "rows": count,
        "gone": gone,
        "seconds": over - first,
        "gone_per_second": gone / (over - first),
        "cpu_us_each": used * 1e6 / gone,
        "ticks": _ticks(made, begins),
        **beside_idle(found, [(idle, first)], [(first, over)]),
        "load_average": load_average(),
    }


def _resting(made: Service) -> bool:
    """Whether any row still rests on a page that ended it: the last one that is forgotten takes the page along."""
    for file in made.state_files("partition-*.sqlite3"):
        db = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
        try:
            (found,) = db.execute("SELECT EXISTS (SELECT 1 FROM deltas)").fetchone()
        finally:
            db.close()
        if found:
            return True
    return False


def _ticks(made: Service, begins: list[int]) -> int:
    messages = made.read(Topic.COMMANDS, begins, made.ends(Topic.COMMANDS))
    return sum(isinstance(codec.decode_command(message.value()), Tick) for message in messages)
