"""Batches run to their end, and pings beside them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from confluent_kafka import Consumer, TopicPartition

from bench.lib import workload
from bench.lib.options import RATE
from bench.lib.report import percentile, print_table
from bench.lib.service import PARTITIONS, BenchError, Service, await_end, service
from streams import codec
from streams.client import Client, new_batch_id
from streams.config import Topic
from streams.model import Action, BatchHeader, BatchState, Filter, SliceProgress, StartBatch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

Pings = list[tuple[float, float | None]]
"""When each was due, seconds since 1970, and the milliseconds it took; None when its signal never came."""

_PARTS = ("p50", "p99", "p99.9")
_HEAD = ("pings", "idle p50", "p99", "p99.9", "during p50", "p99", "p99.9", "x p50", "x p99", "x p99.9")
_STOPS_WITHIN_S = 120.0
"""Longer than a program that pings waits for its last answers."""
_WARM_UPS = 3
_BROKER_WARMS_S = 20.0
"""A broker in Java compiles what is used often, on the processors it shares: thousands of transactions at first.

It goes on with it during the first kills: the first of two in turn took four times the compiler's time of the second.
"""
_WARM_UP_ROWS = 200_000


class Ran(NamedTuple):
    """Batches that have COMPLETED: the last progress of their slices by batch; times in seconds since 1970."""

    slices: dict[str, list[SliceProgress]]
    sent: float
    finished: float

    def total(self, batch_id: str, counter: str) -> int:
        """A counter summed over the batch's slices."""
        return sum(getattr(slice_, counter) for slice_ in self.slices[batch_id])


def run(made: Service, batches: Sequence[StartBatch]) -> Ran:
    """Send batches at once, and wait until the header of each says COMPLETED."""
    consumer = Consumer(
        {
            **made.settings.kafka_properties(),
            "group.id": "none",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
        }
    )
    topic = made.settings.topic(Topic.BATCH_SLICES)
    consumer.assign([TopicPartition(topic, p, 0) for p in range(made.partitions)])
    with Client(made.settings) as client:
        sent = time.time()
        for batch in batches:
            client.send(batch)
    latest: dict[str, dict[int, SliceProgress]] = {batch.batch_id: {} for batch in batches}
    left = set(latest)
    try:
        while left:
            message: Any = consumer.poll(1.0)
            made.require_workers()
            if message is None or message.error() is not None:
                continue
            record = codec.decode(message.value())
            if isinstance(record, SliceProgress) and record.batch_id in latest:
                latest[record.batch_id][record.partition] = record
            elif isinstance(record, BatchHeader) and record.batch_id in left:
                left -= _over(record)
        return Ran({name: list(slices.values()) for name, slices in latest.items()}, sent, time.time())
    finally:
        consumer.close()


def _over(header: BatchHeader) -> set[str]:
    if header.state in {BatchState.REJECTED, BatchState.ABORTED}:
        raise BenchError(f"a batch is {header.state}: {header.error}")
    return {header.batch_id} if header.state is BatchState.COMPLETED else set()


@contextmanager
def pings(made: Service, rate: float = RATE) -> Iterator[Pings]:
    """Pings as long as the context lasts, `rate` a second; the list is filled at its end."""
    file = made.folder / "pings.json"
    with program(made, "bench.lib.ping", str(made.partitions), str(rate), str(file)):
        found: Pings = []
        yield found
    found += read_pings(file)


def read_pings(file: Path) -> Pings:
    """What a program that pings has written."""
    return [(at, took) for at, took in json.loads(file.read_text(encoding="utf-8"))]


@contextmanager
def program(made: Service, module: str, *arguments: str) -> Iterator[None]:
    """A program beside the worker, `python -m MODULE BOOTSTRAP PREFIX ...`, until the context ends."""
    settings = made.settings
    with beside(module, settings.bootstrap_servers, settings.topic_prefix, *arguments):
        yield


@contextmanager
def beside(module: str, *arguments: str) -> Iterator[None]:
    """`python -m MODULE ...` until the context ends."""
    process = subprocess.Popen([sys.executable, "-m", module, *arguments])
    try:
        yield
    finally:
        process.terminate()
        if not await_end(process, _STOPS_WITHIN_S):
            raise BenchError(f"{module} does not stop")


def latency(found: Pings, *spans: tuple[float, float]) -> dict[str, Any]:
    """Of the pings that were due within spans of time, ms; every one must have been answered."""
    took = [ms for at, ms in found if any(begin <= at < end for begin, end in spans)]
    answered = [ms for ms in took if ms is not None]
    if not answered or len(answered) < len(took):
        raise BenchError(f"{len(took) - len(answered)} of {len(took)} pings were never answered")
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}
    return {
        "count": len(took),
        **{name: percentile(answered, share) for name, share in shares.items()},
        "max": max(answered),
    }


def beside_idle(found: Pings, idle: Sequence[tuple[float, float]], during: Sequence[tuple[float, float]]) -> Any:
    """`latency` of idle spans and of others, and how many times as long it is in these."""
    early, late = latency(found, *idle), latency(found, *during)
    return {"idle": early, "during": late, "ratio": {part: late[part] / early[part] for part in _PARTS}}


def medians(windows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of several `beside_idle`, the median of each part; of ratios the median, not the ratio of medians."""
    return {
        when: {part: median(each[when][part] for each in windows) for part in _PARTS}
        for when in ("idle", "during", "ratio")
    }


def print_pings(figures: dict[str, Any], title: str = "From a ping to its signal, ms") -> None:
    """Print the `latency` of each when idle and during the batch, ms, and how many times as long it is."""
    shown = []
    for name, each in figures.items():
        idle, during = ([each[when][part] for part in _PARTS] for when in ("idle", "during"))
        times = each.get("ratio") or {part: each["during"][part] / each["idle"][part] for part in _PARTS}
        shown.append([name, *idle, *during, *(times[part] for part in _PARTS)])
    print_table(title, _HEAD, shown)


def warm_up(bootstrap: str, workers: int) -> None:
    """Pings and kills that are not measured, for a broker that has just started."""
    records = list(workload.table(workload.ids(_WARM_UP_ROWS), PARTITIONS, running=True))
    for _ in range(_WARM_UPS):
        with service(bootstrap, "warm-up", workers) as made:
            made.load(records, "warm-up")
            with pings(made):
                time.sleep(_BROKER_WARMS_S)
                run(made, [StartBatch(new_batch_id(), Action.KILL, Filter(services=(workload.DOOMED,)))])
