"""Batches run to their end, and pings beside them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from confluent_kafka import Consumer, TopicPartition

from bench.lib import workload
from bench.lib.report import percentile, print_table
from bench.lib.service import PARTITIONS, BenchError, Service, service
from streams import codec
from streams.client import Client, new_batch_id
from streams.config import Topic
from streams.model import Action, BatchHeader, BatchState, Filter, SliceProgress, StartBatch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Pings = list[tuple[float, float | None]]
"""When each was sent, seconds since 1970, and the milliseconds it took; None when its signal never came."""

_HEAD = ("pings", "idle p50", "p99", "max", "during p50", "p99", "max", "x p50", "x p99", "x max")
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
def pings(made: Service) -> Iterator[Pings]:
    """Pings as long as the context lasts; the list is filled at its end."""
    file = Path(made.settings.state_dir.parent) / "pings.json"
    with program(made, "bench.lib.ping", str(made.partitions), str(file)):
        found: Pings = []
        yield found
    found += [(at, took) for at, took in json.loads(file.read_text())]


@contextmanager
def program(made: Service, module: str, *arguments: str) -> Iterator[None]:
    """A program beside the worker, `python -m MODULE BOOTSTRAP PREFIX ...`, until the context ends."""
    settings = made.settings
    command = [sys.executable, "-m", module, settings.bootstrap_servers, settings.topic_prefix, *arguments]
    process = subprocess.Popen(command)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def latency(found: Pings, begin: float, end: float) -> dict[str, Any]:
    """Of the pings sent between two times, ms; every one must have been answered."""
    took = [ms for at, ms in found if begin <= at < end]
    answered = [ms for ms in took if ms is not None]
    if not answered or len(answered) < len(took):
        raise BenchError(f"{len(took) - len(answered)} of {len(took)} pings were never answered")
    return {"count": len(took), **{f"p{n}": percentile(answered, n / 100) for n in (50, 90, 99)}, "max": max(answered)}


def print_pings(figures: dict[str, Any]) -> None:
    """Print the `latency` of each when idle and during the batch, ms, and how many times as long it is."""
    shown, parts = [], ("p50", "p99", "max")
    for name, each in figures.items():
        idle, during = ([each[when][part] for part in parts] for when in ("idle", "during"))
        shown.append([name, *idle, *during, *(late / early for early, late in zip(idle, during, strict=True))])
    print_table("From a ping to its signal, ms", _HEAD, shown)


def warm_up(bootstrap: str, workers: int) -> None:
    """Pings and kills that are not measured, for a broker that has just started."""
    records = list(workload.table(workload.ids(_WARM_UP_ROWS), PARTITIONS, running=True))
    for _ in range(_WARM_UPS):
        with service(bootstrap, "warm-up", workers) as made:
            made.load(records, "warm-up")
            with pings(made):
                time.sleep(_BROKER_WARMS_S)
                run(made, [StartBatch(new_batch_id(), Action.KILL, Filter(services=(workload.DOOMED,)))])
