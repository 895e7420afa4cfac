"""The records that the benchmarks write: encoded beforehand, so that making them costs the measured time nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import uuid_utils

from streams import codec
from streams.engine.routing import partitions_of
from streams.model import Invocation, Invoke, ReportTransition, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DOOMED, OTHER = "emails", "billing"
"""Service that a kill is about, and one that it is not."""

_HANDLERS = ("send", "render", "retry")
_TENANTS = ("acme", "globex", "initech", "umbrella")
_DAY_MS = 86_400_000
_LIFE_LAG = 5_000
"""An invocation's next report comes after this many others, so that a turn finds its row in the store."""


class Record(NamedTuple):
    """An encoded command and where it goes."""

    partition: int
    key: str
    value: bytes


def ids(count: int) -> list[str]:
    """Time-ordered ids, as the client makes them."""
    return [str(uuid_utils.uuid7()) for _ in range(count)]


def invocation(invocation_id: str, number: int, service: str) -> Invocation:
    """An invocation as services have them: about 150 bytes."""
    return Invocation(
        invocation_id,
        service,
        _HANDLERS[number % len(_HANDLERS)],
        deployment_id=f"dp_2026_11_{number % 7}",
        labels={"tenant": _TENANTS[number % len(_TENANTS)], "region": "eu-west-1"},
    )


def started(names: list[str], partitions: int) -> Iterator[Record]:
    """Commands whose invocations start at once."""
    for number, (name, partition) in enumerate(zip(names, partitions_of(names, partitions), strict=True)):
        yield Record(partition, name, codec.encode(Invoke(invocation(name, number, OTHER))))


def lives(names: list[str], partitions: int) -> Iterator[Record]:
    """Of each invocation its start, that it runs, and that it has completed; reports lag behind."""
    homes = partitions_of(names, partitions)
    invokes = list(started(names, partitions))
    for number in range(len(names) + 2 * _LIFE_LAG):
        if number < len(names):
            yield invokes[number]
        for behind, to in ((_LIFE_LAG, Status.RUNNING), (2 * _LIFE_LAG, Status.COMPLETED)):
            which = number - behind
            if 0 <= which < len(names):
                report = ReportTransition(names[which], 1, None, time.time_ns() // 1_000, to)
                yield Record(homes[which], names[which], codec.encode(report))


def table(names: list[str], partitions: int, *, running: bool, doomed_tenths: int = 8) -> Iterator[Record]:
    """Commands that fill a table: running elsewhere already, or scheduled for tomorrow; so many tenths are DOOMED."""
    tomorrow = None if running else time.time_ns() // 1_000_000 + _DAY_MS
    for number, (name, partition) in enumerate(zip(names, partitions_of(names, partitions), strict=True)):
        service = DOOMED if number % 10 < doomed_tenths else OTHER
        invoke = Invoke(invocation(name, number, service), scheduled_at=tomorrow, adopt=running)
        yield Record(partition, name, codec.encode(invoke))


def by_partition(records: Iterable[Record], partitions: int) -> list[list[Record]]:
    """The records of each partition, in order."""
    split: list[list[Record]] = [[] for _ in range(partitions)]
    for record in records:
        split[record.partition].append(record)
    return split
