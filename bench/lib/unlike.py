"""Batches of unlike kinds that stand in one table together: rows that cost little and much, few and many to a page."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.lib.workload import DAY_MS, Record
from streams import codec
from streams.model import Action, Filter, Invocation, Invoke, StartBatch
from streams.protocol.routing import partition_of

if TYPE_CHECKING:
    from collections.abc import Iterator

BATCHES = 20
_KEYS = 10_000
_OBJECTS = 500
_KINDS = ("waiting", "running", "paused", "ended", "objects", "keys")


class Unlike(NamedTuple):
    """One of the batches: what fills the table for it, what prepares its rows, and what is measured.

    `matched`: how many rows that will be.
    """

    records: list[Record]
    before: StartBatch | None
    batch: StartBatch
    matched: int


def unlike(
    rows: int, partitions: int, *, count: int = BATCHES, name: str = "", grace_ms: int = DAY_MS
) -> Iterator[Unlike]:
    """`count` batches of `rows` rows each; `name` begins the ids and services of this set of them.

    KILL of what never started, of what runs, and of objects by a list of ten thousand keys; RESUME, after a PAUSE, of
    what has payloads; PURGE, after a KILL; CANCEL of objects with inboxes, whose heads never answer.
    """
    for number in range(count):
        kind = _KINDS[number % len(_KINDS)]
        service = f"{name}{kind}{number}"
        filter_ = Filter(services=(service,))
        action, first, matched = Action.KILL, None, rows
        match kind:
            case "waiting":
                records = [invoke(service, each, partitions, later=True) for each in range(rows)]
            case "running":
                records = [invoke(service, each, partitions, adopt=True) for each in range(rows)]
            case "paused":
                records = [invoke(service, each, partitions, payload=b"x" * 300) for each in range(rows)]
                first, action = Action.PAUSE, Action.RESUME
            case "ended":
                records = [invoke(service, each, partitions, later=True) for each in range(rows)]
                first, action = Action.KILL, Action.PURGE
            case "objects":
                records = [invoke(service, each, partitions, key=str(each % _OBJECTS)) for each in range(rows)]
                action = Action.CANCEL
            case _:
                records = [invoke(service, each, partitions, key=str(each), later=True) for each in range(rows)]
                filter_ = Filter(services=(service,), object_keys=tuple(str(each) for each in range(_KEYS)))
                matched = min(rows, _KEYS)
        before = None if first is None else StartBatch(f"{name}before-{number}", first, filter_)
        yield Unlike(records, before, StartBatch(f"{name}batch-{number}", action, filter_, grace_ms=grace_ms), matched)


def invoke(
    service: str, number: int, partitions: int, *, key: str | None = None, later: bool = False, **fields: Any
) -> Record:
    """The command for a service's invocation of this number; `later`: it is scheduled for tomorrow."""
    name = f"{service}-{number}" if key is None else f"{service}/{key}~{number}"
    invocation = Invocation(name, service, "run", key, labels={"tenant": f"t{number % 7}"})
    at = time.time_ns() // 1_000_000 + DAY_MS if later else None
    routing = name.rpartition("~")[0] or name
    return Record(partition_of(routing, partitions), routing, codec.encode(Invoke(invocation, at, **fields)))
