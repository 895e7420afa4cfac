"""The contents of topics, as far as they have been read: a store for each topic that the api follows.

A store is filled from the topic's beginning. While a topic is read again, after an outage, a second store is filled,
and takes the place of the first one at the end: nobody sees what has been long ago.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, Protocol

import structlog

from streams import codec
from streams.gateway.hub import Key
from streams.gateway.newest import NewestFirst
from streams.gateway.progress import (
    BatchRecords,
    batch_progress,
    dump_records,
    load_records,
    parse_key,
    with_record,
    with_tombstone,
)
from streams.kafka.headers import headers_of
from streams.model import (
    FINAL_STATES,
    BatchHeader,
    BatchProgress,
    FlowProgress,
    FlowState,
    SliceProgress,
    StartBatch,
    WorkerAddress,
)

log = structlog.get_logger("streams.gateway")

MOST_CONFLICTS: Final = 20
"""Conflicts that are remembered for each batch."""
_MOVING: Final = frozenset({FlowState.CANCELLING, FlowState.PARTIALLY_CANCELLED})
_MOST_CONFLICTED: Final = 10_000
_CONFLICT: Final = "batch_id_conflict"
UNREADABLE: Final = object()


class TopicRead(NamedTuple):
    """One record of a topic. `content` is None for a tombstone, `UNREADABLE` for what this version cannot read."""

    key: str
    content: Any
    partition: int
    offset: int
    timestamp: int


class BoardStore(Protocol):
    """What one topic says."""

    def put(self, read: TopicRead) -> Key | None:
        """Take a record in; returns what has changed by it, if readers may wait for that."""

    def keys(self) -> set[Key]:
        """All that readers may wait for."""


class BatchStore:
    """`batch-slices`: each batch's header and slices, merged when somebody asks.

    A batch that is over is kept in the form in which the gateway's table keeps it, which takes a fraction of the room.
    """

    def __init__(self) -> None:
        self.newest = NewestFirst()
        """Batches with a header."""
        self._open: dict[str, BatchRecords] = {}
        self._over: dict[str, bytes] = {}
        self._progress: dict[str, BatchProgress] = {}
        self._stale: set[str] = set()

    def put(self, read: TopicRead) -> Key | None:
        """Take a header, a slice or a tombstone in."""
        try:
            batch_id, partition = _parsed(read.key)
        except ValueError as error:
            log.error("not a progress record, it is left out", why=str(error))  # noqa: TRY400 - nothing to trace
            return None
        before = self.records(batch_id)
        if read.content is None:
            after = with_tombstone(before, partition)
        elif isinstance(read.content, BatchHeader | SliceProgress):
            after = with_record(before, read.content)
        else:
            return None
        if after is before:
            return None
        self._over.pop(batch_id, None)
        if after == BatchRecords():
            self._open.pop(batch_id, None)
        else:
            self._open[batch_id] = after
        if after.header is None:
            self.newest.discard(batch_id)
            self._progress.pop(batch_id, None)
            self._stale.discard(batch_id)
        else:
            self.newest.add(after.header.created_at, batch_id)
            self._stale.add(batch_id)
        return Key("batch", batch_id)

    def keys(self) -> set[Key]:
        """All batches with a header."""
        return {Key("batch", name) for name in self._progress.keys() | self._stale}

    def records(self, batch_id: str) -> BatchRecords:
        """Header and slices of a batch."""
        if (kept := self._over.get(batch_id)) is not None:
            return load_records(kept)
        return self._open.get(batch_id, BatchRecords())

    def unfinished(self) -> list[str]:
        """Ids of the batches that are not over."""
        running = (name for name in list(self._open) if self.progress(name) is not None)
        return [name for name in running if self._progress[name].state not in FINAL_STATES]

    def header(self, batch_id: str) -> BatchHeader | None:
        """The header of a batch; None where it is unknown."""
        return self.records(batch_id).header

    def progress(self, batch_id: str) -> BatchProgress | None:
        """The progress of a batch; None where its header is unknown."""
        if batch_id in self._stale:
            records = self._open[batch_id]
            found = batch_progress(records)
            self._stale.discard(batch_id)
            if found is None:
                return None
            self._progress[batch_id] = found
            if found.state in FINAL_STATES:
                self._over[batch_id] = dump_records(records)
                del self._open[batch_id]
        return self._progress.get(batch_id)


class FlowStore:
    """`flows`: the newest progress of each."""

    def __init__(self) -> None:
        self.flows: dict[str, FlowProgress] = {}
        self.newest = NewestFirst()
        self.moving: set[str] = set()
        """Flows with members that are still asked to end, or did not."""

    def put(self, read: TopicRead) -> Key | None:
        """Take a record in; a flow that is forgotten leaves."""
        known = self.flows.get(read.key)
        if read.content is None:
            self.newest.discard(read.key)
            self.moving.discard(read.key)
            return Key("flow", read.key) if self.flows.pop(read.key, None) is not None else None
        if not isinstance(read.content, FlowProgress) or (known and read.content.revision <= known.revision):
            return None
        self.flows[read.key] = read.content
        self.newest.add(read.content.created_at, read.key)
        (self.moving.add if read.content.state in _MOVING else self.moving.discard)(read.key)
        return Key("flow", read.key)

    def keys(self) -> set[Key]:
        """All flows."""
        return {Key("flow", name) for name in self.flows}


class WorkerStore:
    """`workers`: the worker that serves each partition, by its number."""

    def __init__(self) -> None:
        self.workers: dict[int, WorkerAddress] = {}

    def put(self, read: TopicRead) -> Key | None:
        """Take an address in; that of a partition given up leaves."""
        if not read.key.isdecimal():
            return None
        partition = int(read.key)
        known = self.workers.get(partition)
        if read.content is None:
            self.workers.pop(partition, None)
        elif isinstance(read.content, WorkerAddress) and not (known and read.content.revision < known.revision):
            self.workers[partition] = read.content
        return None

    def keys(self) -> set[Key]:
        """None: nobody waits for workers."""
        return set()


class Conflict(NamedTuple):
    """A `StartBatch` that was refused since its id is taken: its place in `dead-letters`, and what it said."""

    partition: int
    offset: int
    timestamp: int
    start: StartBatch | None


class ConflictStore:
    """`dead-letters`: the batches that were refused since their id is taken, by that id."""

    def __init__(self) -> None:
        self.conflicts: dict[str, tuple[Conflict, ...]] = {}

    def put(self, read: TopicRead) -> Key | None:
        """Take a dead letter in; `content` is None unless it is such a one."""
        if read.content is None:
            return None
        start = read.content if isinstance(read.content, StartBatch) else None
        found = self.conflicts.pop(read.key, ())
        self.conflicts[read.key] = (*found, Conflict(read.partition, read.offset, read.timestamp, start))[
            -MOST_CONFLICTS:
        ]
        while len(self.conflicts) > _MOST_CONFLICTED:
            del self.conflicts[next(iter(self.conflicts))]
        return Key("batch", read.key)

    def keys(self) -> set[Key]:
        """None: who waits for a batch hears of it from the other store."""
        return set()


def read_of(message: Any) -> TopicRead:
    """A message of a topic of progress, decoded."""
    key = (message.key() or b"").decode(errors="replace")
    return TopicRead(key, _decoded(message), message.partition(), message.offset(), message.timestamp()[1])


def conflict_of(message: Any) -> TopicRead:
    """A message of `dead-letters`: with a content only where it is a batch whose id was taken."""
    key = (message.key() or b"").decode(errors="replace")
    names = dict(headers_of(message))
    content = (_decoded(message) or UNREADABLE) if names.get("error-code") == _CONFLICT.encode() else None
    return TopicRead(key, content, message.partition(), message.offset(), message.timestamp()[1])


def _parsed(key: str) -> tuple[str, int | None]:
    found = parse_key(key.encode())
    return found.batch_id, found.partition


def _decoded(message: Any) -> Any:
    if message.value() is None:
        return None
    try:
        return codec.decode(message.value())
    except codec.BadRecordError as error:
        log.warning("a record that this version cannot read is left out", topic=message.topic(), why=str(error))
        return UNREADABLE
