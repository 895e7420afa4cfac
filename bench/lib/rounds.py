"""Rounds of several batches at once, one after the other, with pings beside them."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.lib.batch import Ran, beside_idle, pings, run
from bench.lib.report import load_average, print_table
from bench.lib.service import BenchError, Service, say

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from bench.lib.batch import Pings
    from streams.model import StartBatch

ROUNDS = 5
_WARM_UP_S = 12.0
_IDLE_S = 5.0
_REST_S = 2.0

_HEAD = ("round", "rows", "seconds", "idle p50", "p99", "during p50", "p99", "x p50", "x p99", "load")


def add_batches(parser: argparse.ArgumentParser) -> None:
    """How many batches in a round."""
    parser.add_argument("--batches", type=int, default=20, help="how many at once")


def measured(made: Service, sets: Sequence[Sequence[StartBatch]]) -> dict[str, Any]:
    """Figures of each round, and the medians of their ratios; `sets`: the batches of each."""
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


def require_sum(figures: dict[str, Any], rows: int) -> None:
    """Raise unless the batches of a round were done with as many rows."""
    if figures["rows"] != rows:
        raise BenchError(f"{rows:,} rows, and the batches were done with {figures['rows']:,}")


def show(figures: dict[str, Any]) -> None:
    """Print a table of each."""
    for name, each in figures.items():
        title = f"{each['batches']} batches at once, pings beside them, ms: {name}"
        print_table(title, _HEAD, _rows(each))


def _rows(figures: dict[str, Any]) -> list[list[Any]]:
    """Milliseconds. The last line has the medians of the ratios."""
    shown: list[list[Any]] = []
    for number, each in enumerate(figures["rounds"]):
        parts = [each[when][part] for when in ("idle", "during") for part in ("p50", "p99")]
        ratios = [each["ratio"][part] for part in ("p50", "p99")]
        first = [number + 1, each["rows"], each["seconds"]]
        shown.append([*first, *parts, *ratios, each["load_average"]])
    return [*shown, ["median", *[""] * 6, figures["ratio"]["p50"], figures["ratio"]["p99"], ""]]


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
