"""One matching row among many, most of which have ended: how long the whole batch takes, and what pings feel of it."""

from __future__ import annotations

import time
from itertools import chain
from statistics import median
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from bench.kill import WARM_UP_S
from bench.lib import workload
from bench.lib.batch import beside_idle, pings, print_pings, run
from bench.lib.options import add_rate
from bench.lib.report import load_average, print_table
from bench.lib.service import PARTITIONS, BenchError, Service, say, service
from bench.lib.workload import Record
from streams import codec
from streams.client import new_batch_id
from streams.engine.partitioner import partitions_of
from streams.model import Action, Filter, Invoke, StartBatch

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

NAME = "needle"
_IDLE_S = 6.0
_AFTER_S = 2.0
_ENDED_TENTHS = 9
_LEAST_S = 1.0
"""Shortest time for which pings count as beside a batch: also those that were due while it ended."""
_KINDS: dict[str, Callable[[int], Filter]] = {
    "by service": lambda number: Filter(services=(f"needle-{number}",)),
    "by label": lambda number: Filter(labels={"needle": f"label-{number}"}),
    "by label and service": lambda number: Filter(services=(workload.OTHER,), labels={"needle": f"both-{number}"}),
}
"""What the filter of each needle is: no other row matches it."""
_HEAD = ("filter", "rows", "of these ended", "times", "seconds: median", "most", "load")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("--haystack", type=int, default=10_000_000, help="rows in the table, nine tenths have ended")
    parser.add_argument("--needles", type=int, default=5, help="with each kind of filter, one after the other")
    add_rate(parser)


def measure(bootstrap: str, options: argparse.Namespace) -> dict[str, Any]:
    """Figures of kills, one after the other, each of the one row that its filter matches."""
    ended = options.haystack * _ENDED_TENTHS // 10
    filters = {kind: [make(number) for number in range(options.needles)] for kind, make in _KINDS.items()}
    with service(bootstrap, NAME) as made:
        made.fill(workload.of_service(workload.DOOMED, ended, PARTITIONS, running=False), "to be ended")
        run(made, [StartBatch(new_batch_id(), Action.KILL, Filter(services=(workload.DOOMED,)))])
        live = workload.of_service(workload.OTHER, options.haystack - ended, PARTITIONS, running=True)
        made.fill(chain(_needles([one for some in filters.values() for one in some]), live), "live")
        with pings(made, options.rate) as found:
            time.sleep(WARM_UP_S)
            spans = {kind: [_find(made, kind, filter_) for filter_ in some] for kind, some in filters.items()}
    return {
        kind: {
            "rows": options.haystack,
            "ended": ended,
            "times": options.needles,
            "median": median(over - sent for _, sent, over in some),
            "seconds": max(over - sent for _, sent, over in some),
            **beside_idle(
                found,
                [(began, sent) for began, sent, _ in some],
                [(sent, max(over, sent + _LEAST_S)) for _, sent, over in some],
            ),
            "load_average": load_average(),
        }
        for kind, some in spans.items()
    }


def show(figures: dict[str, Any]) -> None:
    """Print the tables."""
    keys = ("rows", "ended", "times", "median", "seconds", "load_average")
    print_table("One row killed", _HEAD, [[name, *[each[key] for key in keys]] for name, each in figures.items()])
    print_pings(figures)


def _needles(filters: Sequence[Filter]) -> list[Record]:
    """The row of each filter."""
    names = workload.ids(len(filters))
    made = [
        replace(workload.invocation(name, 0, (filter_.services or (workload.OTHER,))[0]), labels=filter_.labels or {})
        for name, filter_ in zip(names, filters, strict=True)
    ]
    homes = partitions_of(names, PARTITIONS)
    return [
        Record(partition, each.invocation_id, codec.encode(Invoke(each, adopt=True)))
        for partition, each in zip(homes, made, strict=True)
    ]


def _find(made: Service, kind: str, filter_: Filter) -> tuple[float, float, float]:
    """When idling began, when the batch was sent, and when it was over."""
    say(f"{NAME}: {kind}, idle")
    began = time.time()
    time.sleep(_IDLE_S)
    say(f"{NAME}: {kind}")
    batch = StartBatch(new_batch_id(), Action.KILL, filter_)
    ran = run(made, [batch])
    if (done := ran.total(batch.batch_id, "done")) != 1:
        raise BenchError(f"{done:,} ended, and 1 should have")
    time.sleep(_AFTER_S)
    return began, ran.sent, ran.finished
