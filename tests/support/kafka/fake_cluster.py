"""A Kafka cluster in memory, with transactions, for tests.

Its clients duck-type the part of confluent_kafka that the worker uses, so code under test takes a factory and knows
no difference: it is a `Clients`. One contract suite
(`tests/contract`) runs against this and against a real broker; what differs is marked there.

Nothing ever waits: where a real client would block until a timeout, this one answers at once as if it had passed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME, KafkaError, Uuid

from support.kafka.fake_admin import FakeAdminClient
from support.kafka.fake_consumer import FakeConsumer
from support.kafka.fake_faults import Crash, Faults, failure
from support.kafka.fake_group import Group
from support.kafka.fake_log import DEFAULT_CONFIG, Key, Log, Record, Topic, TransactionalId, Txn, TxnState
from support.kafka.fake_producer import FakeProducer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Crash", "FakeAdminClient", "FakeCluster", "FakeConsumer", "FakeProducer", "failure"]


@dataclass(eq=False)
class FakeCluster:
    """Topics, groups and transactional ids; `now` is the broker's clock in milliseconds, set by the test.

    With `delay_markers` a transaction's end is decided but invisible until `write_markers()`, as for a moment on
    every real broker.
    """

    now: int = 1_700_000_000_000
    delay_markers: bool = False
    topics: dict[str, Topic] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    transactional: dict[str, TransactionalId] = field(default_factory=dict)
    faults: Faults = field(default_factory=Faults)
    _ids: int = 0

    def create_topic(self, name: str, partitions: int = 1, config: dict[str, str] | None = None) -> Topic:
        """Add a topic; every topic ever created has an id of its own."""
        if name in self.topics:
            raise failure(KafkaError.TOPIC_ALREADY_EXISTS, text=f"Topic '{name}' already exists.")
        self._ids += 1
        logs = [Log((name, number)) for number in range(partitions)]
        self.topics[name] = topic = Topic(name, Uuid(0xFA5E, self._ids), DEFAULT_CONFIG | (config or {}), logs)
        return topic

    def delete_topic(self, name: str) -> None:
        """Remove a topic and the offsets committed for it."""
        del self.topics[name]
        for group in self.groups.values():
            group.committed = {key: offset for key, offset in group.committed.items() if key[0] != name}

    def consumer(self, properties: Mapping[str, Any]) -> FakeConsumer:
        """Take the place of `confluent_kafka.Consumer(conf)`."""
        return FakeConsumer(self, dict(properties))

    def producer(self, properties: Mapping[str, Any]) -> FakeProducer:
        """Take the place of `confluent_kafka.Producer(conf)`."""
        return FakeProducer(self, dict(properties))

    def admin(self, properties: Mapping[str, Any]) -> FakeAdminClient:
        """Take the place of `confluent_kafka.admin.AdminClient(conf)`."""
        return FakeAdminClient(self, dict(properties))

    def group(self, name: str) -> Group:
        """The consumer group, made when first named."""
        return self.groups.setdefault(name, Group(name, self))

    def log(self, topic: str, partition: int) -> Log | None:
        """One partition's log, if there is one."""
        found = self.topics.get(topic)
        return found.logs[partition] if found is not None and 0 <= partition < len(found.logs) else None

    def append(
        self,
        key: Key,
        record_key: bytes | None,
        value: bytes | None,
        headers: list[tuple[str, bytes]] | None = None,
        txn: Txn | None = None,
        timestamp: int | None = None,
    ) -> Record:
        """Write one record as the broker does, stamped by the topic's rule."""
        topic = self.topics[key[0]]
        stamp = (TIMESTAMP_CREATE_TIME, self.now if timestamp is None else timestamp)
        if topic.log_append_time:
            stamp = (TIMESTAMP_LOG_APPEND_TIME, self.now)
        record = Record(-1, record_key, value, stamp, headers, txn)
        topic.logs[key[1]].append(record)
        return record

    def refuses(
        self, topic: str, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]] | None = None
    ) -> KafkaError | None:
        """A record larger than its topic allows, headers included."""
        limit = int(self.topics[topic].config["max.message.bytes"])
        size = len(key or b"") + len(value or b"")
        size += sum(len(name.encode()) + len(text or b"") for name, text in headers or ())
        too_large = size > limit
        return KafkaError(KafkaError.MSG_SIZE_TOO_LARGE) if too_large else None

    def end(self, txn: Txn, *, commit: bool) -> None:
        """Decide a transaction; its markers follow at once, or when told."""
        if txn.state is TxnState.OPEN:
            txn.state = TxnState.PREPARED_COMMIT if commit else TxnState.PREPARED_ABORT
        if not self.delay_markers and txn.undecided:
            self._finish(txn)

    def write_markers(self) -> None:
        """Write every marker that is due."""
        for txn in self._transactions():
            if txn.state in (TxnState.PREPARED_COMMIT, TxnState.PREPARED_ABORT):
                self._finish(txn)

    def finish(self, transactional_id: str) -> None:
        """Write the markers of this id's last transaction: nothing new begins before."""
        txn = self.transactional[transactional_id].txn
        if txn is not None and txn.undecided and txn.state is not TxnState.OPEN:
            self._finish(txn)

    def expire_transactions(self) -> None:
        """What `transaction.timeout.ms` does: abort what is open and fence its producers."""
        for known in self.transactional.values():
            if known.txn is not None and known.txn.state is TxnState.OPEN:
                known.epoch += 1
                self.end(known.txn, commit=False)

    def pending_offset(self, group: str, key: Key) -> bool:
        """Whether an undecided transaction carries an offset of this partition."""
        return any(txn.undecided and key in txn.offsets.get(group, {}) for txn in self._transactions())

    def records(self, topic: str, partition: int | None = None, *, committed: bool = True) -> list[Record]:
        """Every record that a reader sees, partition by partition."""
        logs = self.topics[topic].logs
        chosen = logs if partition is None else [logs[partition]]
        return [record for log in chosen for record in log.read(log.start, 1 << 62, committed=committed)[0]]

    def trim(self, topic: str, partition: int, before: int) -> None:
        """What retention does: the log starts at `before`."""
        self.topics[topic].logs[partition].trim(before)

    def compact(self, topic: str, *, drop_tombstones: bool = False) -> None:
        """What the log cleaner does; tombstones go when `delete.retention.ms` has passed."""
        for log in self.topics[topic].logs:
            log.compact(drop_tombstones=drop_tombstones)

    def kill(self, consumers: Iterable[FakeConsumer] | None = None) -> None:
        """Forget members that will never be heard of again: a crashed process after its session timeout."""
        chosen = None if consumers is None else set(consumers)
        for group in self.groups.values():
            for member in list(group.members.values()):
                if chosen is None or member.consumer in chosen:
                    group.leave(member)

    def _transactions(self) -> list[Txn]:
        return [known.txn for known in self.transactional.values() if known.txn is not None]

    def _finish(self, txn: Txn) -> None:
        committed = txn.state is TxnState.PREPARED_COMMIT
        txn.state = TxnState.COMMITTED if committed else TxnState.ABORTED
        for name, number in txn.first:
            if (log := self.log(name, number)) is not None and txn in log.open:
                log.mark(txn, (TIMESTAMP_CREATE_TIME, self.now))
        if committed:
            for group, offsets in txn.offsets.items():
                self.group(group).committed.update(offsets)
