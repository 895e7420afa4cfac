"""The logs of a fake broker: records, transactions, markers, the last stable offset."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from confluent_kafka import Uuid

Key = tuple[str, int]
"""A topic and a partition of it."""

DEFAULT_CONFIG = {
    "cleanup.policy": "delete",
    "delete.retention.ms": "86400000",
    "max.message.bytes": "1048588",
    "message.timestamp.type": "CreateTime",
    "min.insync.replicas": "1",
    "retention.bytes": "-1",
    "retention.ms": "604800000",
    "segment.bytes": "1073741824",
}


class TxnState(Enum):
    """`PREPARED_*`: decided, but the markers are not written yet, so readers still wait."""

    OPEN = "open"
    PREPARED_COMMIT = "prepared commit"
    PREPARED_ABORT = "prepared abort"
    COMMITTED = "committed"
    ABORTED = "aborted"


@dataclass(eq=False)
class Txn:
    """One transaction: the partitions it touched and the group offsets it carries."""

    state: TxnState = TxnState.OPEN
    first: dict[Key, int] = field(default_factory=dict)
    offsets: dict[str, dict[Key, int]] = field(default_factory=dict)

    @property
    def undecided(self) -> bool:
        """Whether readers of committed data still wait for it."""
        return self.state not in (TxnState.COMMITTED, TxnState.ABORTED)


@dataclass
class TransactionalId:
    """What the coordinator knows of a `transactional.id`; a producer of a lower epoch is fenced."""

    epoch: int = -1
    txn: Txn | None = None


@dataclass(eq=False)
class Record:
    """What stands at one offset; `control` marks the end of a transaction."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: tuple[int, int]
    headers: list[tuple[str, bytes]] | None = None
    txn: Txn | None = None
    control: bool = False


@dataclass(eq=False)
class Log:
    """One partition. Offsets rise, with holes where compaction took records out."""

    key: Key
    records: list[Record] = field(default_factory=list)
    start: int = 0
    end: int = 0
    open: list[Txn] = field(default_factory=list)

    def append(self, record: Record) -> int:
        """Give the record the next offset; a transaction's first one holds back the last stable offset."""
        record.offset = self.end
        self.end += 1
        self.records.append(record)
        txn = record.txn
        if txn is not None and not record.control and self.key not in txn.first:
            txn.first[self.key] = record.offset
            self.open.append(txn)
        return record.offset

    def mark(self, txn: Txn, now: tuple[int, int]) -> None:
        """Write the marker that ends the transaction here."""
        self.open.remove(txn)
        self.append(Record(-1, None, None, now, txn=txn, control=True))

    @property
    def stable(self) -> int:
        """The last stable offset: readers of committed data see nothing at or above it."""
        return min((txn.first[self.key] for txn in self.open), default=self.end)

    def read(self, offset: int, limit: int, *, committed: bool) -> tuple[list[Record], int]:
        """Up to `limit` visible records from `offset` on, and the offset to go on from."""
        bound = self.stable if committed else self.end
        found: list[Record] = []
        for index in range(bisect_left(self.records, offset, key=lambda record: record.offset), len(self.records)):
            record = self.records[index]
            if record.offset >= bound:
                break
            if record.control or (committed and record.txn is not None and record.txn.state is TxnState.ABORTED):
                continue
            if len(found) == limit:
                return found, record.offset
            found.append(record)
        return found, max(offset, bound)

    def trim(self, before: int) -> None:
        """Forget every record below `before`."""
        self.start = max(self.start, before)
        self.records = [record for record in self.records if record.offset >= self.start]

    def compact(self, *, drop_tombstones: bool) -> None:
        """Keep the last stable record of each key, and no aborted ones."""
        bound = self.stable
        last = {
            record.key: record.offset
            for record in self.records
            if record.offset < bound and not record.control and not _aborted(record)
        }
        self.records = [
            record
            for record in self.records
            if record.offset >= bound
            or record.control
            or (
                last.get(record.key) == record.offset
                and not (drop_tombstones and record.value is None)
                and not _aborted(record)
            )
        ]


def _aborted(record: Record) -> bool:
    return record.txn is not None and record.txn.state is TxnState.ABORTED


@dataclass(eq=False)
class Topic:
    """A topic with its configuration (only what was set differs from the defaults)."""

    name: str
    id: Uuid
    config: dict[str, str]
    logs: list[Log]

    @property
    def log_append_time(self) -> bool:
        """Whether the broker stamps the records."""
        return self.config["message.timestamp.type"] == "LogAppendTime"
