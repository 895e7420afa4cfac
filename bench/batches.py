"""Twenty batches at once on the same rows, five times, and what an unrelated command feels of them each time."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.lib import workload
from bench.lib.batch import Ran, beside_idle, pings, run
from bench.lib.options import add_rows
from bench.lib.report import load_average, print_table
from bench.lib.service import PARTITIONS, BenchError, Service, by, say, service
from bench.lib.unlike import unlike
from streams.client import new_batch_id
from streams.model import Action, Filter, StartBatch

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from bench.lib.batch import Pings

NAME = "batches"
_WARM_UP_S = 12.0
_IDLE_S = 5.0
_REST_S = 2.0
_GRACE_MS = 1_000
_ROUNDS = 5

_HEAD = ("round", "rows", "seconds", "idle p50", "p99", "during p50", "p99", "x p50", "x p99", "load")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    add_rows(parser)
    parser.add_argument("--batches", type=int, default=20, help="how many at once")


def measure(bootstrap: str, options: argparse.Namespace) -> dict[str, Any]:
    """Figures of the batches."""
    return {"on the same rows": _alike(bootstrap, options.rows, options.batches)}


def show(figures: dict[str, Any]) -> None:
    """Print a table of each."""
    for name, each in figures.items():
        title = f"{each['batches']} batches at once, pings beside them, ms: {name}"
        print_table(title, _HEAD, _rows(each))


def _alike(bootstrap: str, count: int, batches: int) -> dict[str, Any]:
    """Figures of each round: a fifth of the table is killed by all of the batches together."""
    say(f"making {count:,} commands")
    records = list(workload.rounds(workload.ids(count), PARTITIONS, _ROUNDS))
    with service(bootstrap, "batches") as made:
        made.load(records, "batches")
        sets = [_kills(number, batches) for number in range(_ROUNDS)]
        figures = _measure(made, sets)
    for number, each in enumerate(figures["rounds"]):
        _require_sum(each, sum(1 for row in range(count) if row % _ROUNDS == number))
    return {"batches": batches, **figures}


def measure_unlike(bootstrap: str, count: int, batches: int, counts: Sequence[int]) -> dict[str, Any]:
    """Figures of each round with each count of workers: each of a round's batches has its part of a fifth of the table.

    What a cancel waits for is over after a second: nobody answers it.
    """
    figures: dict[str, Any] = {}
    for workers in counts:
        say(f"making {count:,} commands")
        each = count // _ROUNDS // batches
        sets = [
            list(unlike(each, PARTITIONS, count=batches, name=f"round-{number}-", grace_ms=_GRACE_MS))
            for number in range(_ROUNDS)
        ]
        name = by(workers, "unlike")
        with service(bootstrap, "unlike", workers) as made:
            made.load([record for made in sets for one in made for record in one.records], name)
            say(f"{name}: its rows are prepared")
            run(made, [one.before for made in sets for one in made if one.before is not None])
            found = _measure(made, [[one.batch for one in each] for each in sets])
        for round_, set_ in zip(found["rounds"], sets, strict=True):
            _require_sum(round_, sum(one.matched for one in set_))
        figures[name] = {"batches": batches, **found}
    return figures


def _rows(figures: dict[str, Any]) -> list[list[Any]]:
    """Milliseconds. The last line has the medians of the ratios."""
    shown: list[list[Any]] = []
    for number, each in enumerate(figures["rounds"]):
        parts = [each[when][part] for when in ("idle", "during") for part in ("p50", "p99")]
        ratios = [each["ratio"][part] for part in ("p50", "p99")]
        first = [number + 1, each["rows"], each["seconds"]]
        shown.append([*first, *parts, *ratios, each["load_average"]])
    return [*shown, ["median", *[""] * 6, figures["ratio"]["p50"], figures["ratio"]["p99"], ""]]


def _measure(made: Service, sets: Sequence[Sequence[StartBatch]]) -> dict[str, Any]:
    rounds, ran = [], []
    with pings(made) as found:
        time.sleep(_WARM_UP_S)
        for number, batches in enumerate(sets):
            say(f"batches: round {number + 1} of {len(sets)}")
            began = time.time()
            time.sleep(_IDLE_S)
            ran.append((began, run(made, batches), load_average()))
            time.sleep(_REST_S)
    for began, each, load in ran:
        rounds.append(_round(found, began, each) | {"load_average": load})
    ratio = {part: median(each["ratio"][part] for each in rounds) for part in ("p50", "p99")}
    return {"rounds": rounds, "ratio": ratio}


def _kills(number: int, count: int) -> list[StartBatch]:
    """All of them match the same rows, so that each row is wanted by all and ended by one."""
    wanted = Filter(services=(workload.round_service(number),))
    return [StartBatch(new_batch_id(), Action.KILL, wanted) for _ in range(count)]


def _round(found: Pings, began: float, ran: Ran) -> dict[str, Any]:
    """One round's figures; every row that a batch matched must have been done by it."""
    for batch_id in ran.slices:
        counters = {name: ran.total(batch_id, name) for name in ("matched", "done", "pending", "skipped", "failed")}
        if counters["matched"] != counters["done"] or any(counters[name] for name in ("pending", "skipped", "failed")):
            raise BenchError(f"batch {batch_id} does not add up: {counters}")
    done = [ran.total(batch_id, "done") for batch_id in ran.slices]
    return {
        "rows": sum(done),
        "done_by_each": done,
        "seconds": ran.finished - ran.sent,
        **beside_idle(found, [(began, ran.sent)], [(ran.sent, ran.finished)]),
    }


def _require_sum(figures: dict[str, Any], rows: int) -> None:
    if figures["rows"] != rows:
        raise BenchError(f"{rows:,} rows, and the batches were done with {figures['rows']:,}")
