"""The records that the benchmarks write: encoded beforehand, so that making them costs the measured time nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import uuid_utils
from msgspec.structs import replace

from streams import codec
from streams.engine.partitioner import partitions_of
from streams.model import Invocation, Invoke, ReportTransition, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DOOMED, OTHER = "emails", "billing"
"""Service that a kill is about, and one that it is not."""
DOOMED_TENTHS = 8
"""How much of a table is of the first."""

_HANDLERS = ("send", "render", "retry")
_TENANTS = ("acme", "globex", "initech", "umbrella")
DAY_MS = 86_400_000
_AT_ONCE = 50_000
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


def joining(names: list[str], partitions: int, members: int) -> Iterator[Record]:
    """The same, as members of flows with that many members each."""
    homes = partitions_of(names, partitions)
    flows = ids(len(names) // members + 1)
    for number, (name, partition) in enumerate(zip(names, homes, strict=True)):
        joining_one = replace(invocation(name, number, OTHER), flow_id=flows[number // members])
        yield Record(partition, name, codec.encode(Invoke(joining_one)))


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


def table(names: list[str], partitions: int, *, running: bool, service: str = DOOMED) -> Iterator[Record]:
    """Commands that fill a table: running elsewhere already, or scheduled for tomorrow; eight tenths of a service."""
    tomorrow = None if running else time.time_ns() // 1_000_000 + DAY_MS
    for number, (name, partition) in enumerate(zip(names, partitions_of(names, partitions), strict=True)):
        whose = service if number % 10 < DOOMED_TENTHS else OTHER
        invoke = Invoke(invocation(name, number, whose), scheduled_at=tomorrow, adopt=running)
        yield Record(partition, name, codec.encode(invoke))


def of_service(service: str, count: int, partitions: int, *, running: bool) -> Iterator[Record]:
    """Commands that put `count` invocations of one service into a table, running or scheduled for tomorrow.

    They are made while they are asked for, as millions may be.
    """
    tomorrow = None if running else time.time_ns() // 1_000_000 + DAY_MS
    for begin in range(0, count, _AT_ONCE):
        names = ids(min(_AT_ONCE, count - begin))
        for number, (name, partition) in enumerate(zip(names, partitions_of(names, partitions), strict=True), begin):
            invoke = Invoke(invocation(name, number, service), scheduled_at=tomorrow, adopt=running)
            yield Record(partition, name, codec.encode(invoke))


def then_suspended(records: Iterable[Record]) -> Iterator[Record]:
    """Of running invocations, one after the other, also the report that they wait for something elsewhere."""
    for record in records:
        yield record
        report = ReportTransition(record.key, 1, None, time.time_ns() // 1_000, Status.SUSPENDED)
        yield Record(record.partition, record.key, codec.encode(report))


def halves(names: list[str], partitions: int, service: str, flow_id: str | None = None) -> Iterator[Record]:
    """Commands whose invocations are of a service, and of a flow: every second one runs, the others are scheduled."""
    tomorrow = time.time_ns() // 1_000_000 + DAY_MS
    for number, (name, partition) in enumerate(zip(names, partitions_of(names, partitions), strict=True)):
        running = number % 2 == 0
        made = replace(invocation(name, number, service), flow_id=flow_id)
        invoke = Invoke(made, scheduled_at=None if running else tomorrow, adopt=running)
        yield Record(partition, name, codec.encode(invoke))


def suspended(names: list[str], partitions: int) -> Iterator[Record]:
    """Commands that fill a table with invocations that wait for something elsewhere; eight tenths are DOOMED."""
    return then_suspended(table(names, partitions, running=True))


def cancelled(names: list[str], partitions: int) -> Iterator[Record]:
    """Reports that the DOOMED invocations of such a table have ended as they were asked to."""
    for number, (name, partition) in enumerate(zip(names, partitions_of(names, partitions), strict=True)):
        if number % 10 < DOOMED_TENTHS:
            report = ReportTransition(name, 1, None, time.time_ns() // 1_000, Status.CANCELLED)
            yield Record(partition, name, codec.encode(report))


def round_service(number: int) -> str:
    """The service whose rows one round of several is about."""
    return f"{DOOMED}-{number}"


def rounds(names: list[str], partitions: int, count: int) -> Iterator[Record]:
    """Commands that fill a table with invocations scheduled for tomorrow, dealt out to the rounds."""
    tomorrow = time.time_ns() // 1_000_000 + DAY_MS
    for number, (name, partition) in enumerate(zip(names, partitions_of(names, partitions), strict=True)):
        made = invocation(name, number, round_service(number % count))
        yield Record(partition, name, codec.encode(Invoke(made, scheduled_at=tomorrow)))


def scheduled(names: list[str], partitions: int, due: list[int]) -> Iterator[Record]:
    """Commands whose invocations, all DOOMED, fall due at these times, ms since 1970."""
    homes = partitions_of(names, partitions)
    for number, (name, partition, at) in enumerate(zip(names, homes, due, strict=True)):
        yield Record(partition, name, codec.encode(Invoke(invocation(name, number, DOOMED), scheduled_at=at)))


def inboxes(names: list[str], partitions: int, each: int = 10) -> Iterator[Record]:
    """Commands that fill the inboxes of objects of the DOOMED service, `each` of them; the first of each starts."""
    keys = [f"{number // each:08d}" for number in range(len(names))]
    homes = partitions_of([f"{DOOMED}/{key}" for key in keys], partitions)
    for number, (name, key, partition) in enumerate(zip(names, keys, homes, strict=True)):
        made = replace(invocation(f"{DOOMED}/{key}~{name}", number, DOOMED), object_key=key)
        yield Record(partition, made.invocation_id, codec.encode(Invoke(made)))


def by_partition(records: Iterable[Record], partitions: int) -> list[list[Record]]:
    """The records of each partition, in order."""
    split: list[list[Record]] = [[] for _ in range(partitions)]
    for record in records:
        split[record.partition].append(record)
    return split
