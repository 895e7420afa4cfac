"""Twenty batches at once on the same rows, five times, and what an unrelated command feels of them each time."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Any

from bench import workload
from bench.batch import Ran, latency, pings, run
from bench.report import load_average
from bench.service import PARTITIONS, BenchError, Service, say, service
from streams.client import new_batch_id
from streams.model import Action, Filter, StartBatch

if TYPE_CHECKING:
    from bench.batch import Pings

_WARM_UP_S = 12.0
_IDLE_S = 5.0
_REST_S = 2.0
ROUNDS = 5

HEAD = ("round", "rows", "ended", "seconds", "idle p50", "p99", "during p50", "p99", "x p50", "x p99", "load")


def measure(bootstrap: str, count: int, batches: int) -> dict[str, Any]:
    """Figures of each round: a fifth of the table is killed by all of the batches together."""
    say(f"making {count:,} commands")
    records = list(workload.rounds(workload.ids(count), PARTITIONS, ROUNDS))
    with service(bootstrap, "batches") as made:
        ends = made.preload(records, "batches")
        made.start_workers()
        made.await_applied(ends, "batches")
        return _measure(made, count, batches)


def rows(figures: dict[str, Any]) -> list[list[Any]]:
    """For the table of `HEAD`; milliseconds. The last line has the medians of the ratios."""
    shown: list[list[Any]] = []
    for number, each in enumerate(figures["rounds"]):
        parts = [each[when][part] for when in ("idle", "during") for part in ("p50", "p99")]
        ratios = [each["ratio"][part] for part in ("p50", "p99")]
        first = [number + 1, each["rows"], each["ended"], each["seconds"]]
        shown.append([*first, *parts, *ratios, each["load_average"]])
    return [*shown, ["median", *[""] * 7, figures["ratio"]["p50"], figures["ratio"]["p99"], ""]]


def _measure(made: Service, count: int, batches: int) -> dict[str, Any]:
    rounds, ran = [], []
    with pings(made) as found:
        time.sleep(_WARM_UP_S)
        for number in range(ROUNDS):
            say(f"batches: round {number + 1} of {ROUNDS}")
            began = time.time()
            time.sleep(_IDLE_S)
            ran.append((began, run(made, _batches(number, batches)), load_average()))
            time.sleep(_REST_S)
    for number, (began, each, load) in enumerate(ran):
        rows = sum(1 for row in range(count) if row % ROUNDS == number)
        rounds.append(_round(found, began, each, rows) | {"load_average": load})
    ratio = {part: median(each["ratio"][part] for each in rounds) for part in ("p50", "p99")}
    return {"batches": batches, "rounds": rounds, "ratio": ratio}


def _batches(number: int, count: int) -> list[StartBatch]:
    """All of them match the same rows, so that each row is wanted by all and ended by one."""
    wanted = Filter(services=(workload.round_service(number),))
    return [StartBatch(new_batch_id(), Action.KILL, wanted) for _ in range(count)]


def _round(found: Pings, began: float, ran: Ran, rows: int) -> dict[str, Any]:
    """One round's figures; the batches' counters must add up to its rows."""
    for batch_id in ran.slices:
        counters = {name: ran.total(batch_id, name) for name in ("matched", "done", "pending", "skipped", "failed")}
        if counters["matched"] != counters["done"] or any(counters[name] for name in ("pending", "skipped", "failed")):
            raise BenchError(f"batch {batch_id} does not add up: {counters}")
    ended = [ran.total(batch_id, "done") for batch_id in ran.slices]
    if sum(ended) != rows:
        raise BenchError(f"{rows:,} rows, and the batches ended {sum(ended):,}")
    idle, during = latency(found, began, ran.sent), latency(found, ran.sent, ran.finished)
    return {
        "rows": rows,
        "ended": sum(ended),
        "ended_by_each": ended,
        "seconds": ran.finished - ran.sent,
        "idle": idle,
        "during": during,
        "ratio": {part: during[part] / idle[part] for part in ("p50", "p99")},
    }
