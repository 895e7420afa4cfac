"""A producer of the fake cluster."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from confluent_kafka import OFFSET_INVALID, KafkaError, KafkaException, Message, TopicPartition, consistent, murmur2

from support.kafka.fake_faults import failure
from support.kafka.fake_log import Record, TransactionalId, Txn, TxnState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from support.kafka.fake_cluster import FakeCluster
    from support.kafka.fake_group import GroupMetadata

    Delivery = Callable[[KafkaError | None, Message], None]


class FakeProducer:
    """Like `confluent_kafka.Producer`; what it produces is in the log at once, delivery reports wait to be served."""

    def __init__(self, cluster: FakeCluster, properties: Mapping[str, Any]) -> None:
        self._cluster = cluster
        self._id: str | None = properties.get("transactional.id")
        self._murmur2 = properties.get("partitioner", "").startswith("murmur2")
        self._max_bytes = int(properties.get("message.max.bytes", 1_000_000))
        self._queue_size = int(properties.get("queue.buffering.max.messages", 100_000))
        self._reports: list[tuple[Delivery | None, str, int, Record, KafkaError | None]] = []
        self._epoch = -1
        self._lock = threading.Lock()  # several threads may produce, as with the real one
        self._txn: Txn | None = None
        self._error: KafkaException | None = None
        self._committing = False

    def __len__(self) -> int:
        return len(self._reports)

    def init_transactions(self, timeout: float = -1) -> None:
        """Fence every older producer of this id and abort what it left open."""
        del timeout
        self._step("init")
        known = self._cluster.transactional.setdefault(self._name, TransactionalId())
        if known.txn is not None:
            if known.txn.state is TxnState.OPEN:
                self._cluster.end(known.txn, commit=False)
            self._cluster.finish(self._name)
        known.epoch += 1
        known.txn = None
        self._epoch = known.epoch

    def begin_transaction(self) -> None:
        """Start a transaction."""
        self._check()
        self._step("begin")
        if self._epoch < 0 or self._txn is not None:
            raise failure(KafkaError._STATE, text="Operation not valid in this state")
        self._txn = Txn()

    def send_offsets_to_transaction(
        self, positions: list[TopicPartition], group_metadata: GroupMetadata, timeout: float = -1
    ) -> None:
        """Make the group's offsets part of the transaction; members of an old generation cannot."""
        del timeout
        self._check()
        self._step("send_offsets")
        txn = self._in_transaction()
        if (code := self._cluster.group(group_metadata.group).refuses(group_metadata)) is not None:
            raise self._remember(failure(code, abortable=True, text="Failed to commit offsets to transaction"))
        offsets = txn.offsets.setdefault(group_metadata.group, {})
        offsets.update({(position.topic, position.partition): position.offset for position in positions})
        self._step("send_offsets:after")

    def commit_transaction(self, timeout: float = -1) -> None:
        """Commit; every delivery report has been served when this returns. May be repeated after a retriable error."""
        del timeout
        self._check(committing=True)
        self._committing = self._txn is not None
        self._step("commit:before")
        txn = self._in_transaction()
        self._serve()
        self._check(committing=True)
        self._cluster.end(txn, commit=True)
        self._step("commit:after")
        self._txn = None
        self._committing = False

    def abort_transaction(self, timeout: float = -1) -> None:
        """Abort; what was not reported yet is reported as purged."""
        del timeout
        if self._error is None or not self._error.args[0].txn_requires_abort():
            self._check()
        self._step("abort:before")
        self._cluster.end(self._in_transaction(), commit=False)
        self._serve(KafkaError(KafkaError._PURGE_QUEUE))
        self._step("abort:after")
        self._txn = self._error = None
        self._committing = False

    def produce(
        self,
        topic: str,
        value: bytes | str | None = None,
        key: bytes | str | None = None,
        partition: int = -1,
        on_delivery: Delivery | None = None,
        timestamp: int = 0,
        headers: list[tuple[str, Any]] | dict[str, Any] | None = None,
        callback: Delivery | None = None,
    ) -> None:
        """Append one record; raises BufferError when the queue is full, KafkaException when it is too large."""
        self._step("produce")
        pairs = list(headers.items()) if isinstance(headers, dict) else headers
        encoded = None if pairs is None else [(name, _bytes(content) or b"") for name, content in pairs]
        report = on_delivery or callback
        with self._lock:
            error = self._enqueue(topic, _bytes(key), _bytes(value), partition, report, encoded, timestamp)
        if error is not None and error.code() == KafkaError._QUEUE_FULL:
            raise BufferError(error.str())
        if error is not None:
            raise KafkaException(error)

    def produce_batch(
        self,
        topic: str,
        messages: list[dict[str, Any]],
        partition: int = -1,
        on_delivery: Delivery | None = None,
    ) -> int:
        """Append many; mark the refused ones `_error`. As in the real client a message's own partition is ignored."""
        self._step("produce_batch")
        queued = 0
        for message in messages:
            key, value = _bytes(message.get("key")), _bytes(message.get("value"))
            report = message.get("callback", on_delivery)
            error = self._enqueue(topic, key, value, partition, report, None, message.get("timestamp", 0))
            if error is None:
                queued += 1
            else:
                message["_error"] = error
        return queued

    def flush(self, timeout: float = -1) -> int:
        """Serve every delivery report."""
        del timeout
        self._raise_fatal()
        self._step("flush")
        self._serve()
        return 0

    def close(self) -> bool:
        """Abort what is open, and be gone."""
        self._step("flush")
        if self._txn is not None and self._txn.state is TxnState.OPEN:
            self._cluster.end(self._txn, commit=False)
        return True

    def poll(self, timeout: float = -1) -> int:
        """Serve the delivery reports that are there; the number served."""
        del timeout
        self._raise_fatal()
        self._step("poll")
        return self._serve()

    def purge(self, **_: Any) -> None:
        """Nothing stays in a queue here."""

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> Any:
        """As the admin client's."""
        return self._cluster.admin({}).list_topics(topic, timeout)

    @property
    def _name(self) -> str:
        if self._id is None:
            raise failure(KafkaError._NOT_CONFIGURED, text="The Transactional API requires transactional.id")
        return self._id

    @property
    def _fenced(self) -> bool:
        return self._cluster.transactional[self._name].epoch != self._epoch

    def _in_transaction(self) -> Txn:
        if self._txn is None:
            raise failure(KafkaError._STATE, text="Operation not valid in this state")
        known = self._cluster.transactional[self._name]
        if self._fenced:
            text = "This instance has been fenced by a newer instance"
            raise self._remember(failure(KafkaError._FENCED, fatal=True, text=text))
        if self._txn.undecided and known.txn is not self._txn:
            self._cluster.finish(self._name)
            known.txn = self._txn
        return self._txn

    def _enqueue(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int,
        report: Delivery | None,
        headers: list[tuple[str, bytes]] | None,
        timestamp: int,
    ) -> KafkaError | None:
        """Take the record, or say why not. One that only the broker refuses fails by its delivery report."""
        error = self._refusal(key, value) or (
            None if topic in self._cluster.topics else KafkaError(KafkaError._UNKNOWN_TOPIC)
        )
        if error is not None:
            return error
        count = len(self._cluster.topics[topic].logs)
        chosen = self._partition(key, count) if partition < 0 else partition
        if chosen >= count:
            return KafkaError(KafkaError._UNKNOWN_PARTITION)
        if self._id is not None and self._fenced:
            return None  # the real one is told later, when it commits
        txn = None if self._id is None else self._in_transaction()
        refused = self._cluster.refuses(topic, key, value, headers)
        if refused is None:
            record = self._cluster.append((topic, chosen), key, value, headers, txn, timestamp or None)
        else:
            record = Record(OFFSET_INVALID, key, value, (0, 0))
        self._reports.append((report, topic, chosen, record, refused))
        return None

    def _refusal(self, key: bytes | None, value: bytes | None) -> KafkaError | None:
        """What the client itself refuses."""
        if self._id is not None and (self._txn is None or self._error is not None):
            fatal = self._error is not None and self._error.args[0].fatal()
            return KafkaError(KafkaError._FATAL if fatal else KafkaError._STATE)
        if len(self._reports) >= self._queue_size:
            return KafkaError(KafkaError._QUEUE_FULL)
        if len(key or b"") + len(value or b"") > self._max_bytes:
            return KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
        return None

    def _partition(self, key: bytes | None, count: int) -> int:
        if key is None:
            return len(self._reports) % count
        return murmur2(key, count) if self._murmur2 else consistent(key, count)

    def _serve(self, purged: KafkaError | None = None) -> int:
        """Run the callbacks of what was produced."""
        with self._lock:
            reports, self._reports = self._reports, []
        for report, topic, partition, record, refused in reports:
            error = purged or refused
            if refused is not None and self._txn is not None and self._error is None:
                self._error = failure(refused.code(), abortable=True)
            if report is not None:
                report(error, _message(topic, partition, record, error))
        return len(reports)

    def _check(self, *, committing: bool = False) -> None:
        """A broken producer answers nothing else; one that was committing wants to hear the end of that first."""
        abortable = self._error is not None and self._error.args[0].txn_requires_abort()
        if self._committing and not committing and not abortable:
            raise failure(KafkaError._CONFLICT, retriable=True, text="Conflicting API call is already in progress")
        if self._error is not None:
            raise self._error

    def _raise_fatal(self) -> None:
        if self._error is not None and self._error.args[0].fatal():
            raise self._error

    def _remember(self, error: KafkaException) -> KafkaException:
        self._error = error
        return error

    def _step(self, name: str) -> None:
        """A planned failure leaves the producer in the state in which the real one would be."""
        try:
            self._cluster.faults.step(name)
        except KafkaException as error:
            if error.args[0].fatal() or error.args[0].txn_requires_abort():
                self._error = error
            raise


def _message(topic: str, partition: int, record: Record, error: KafkaError | None) -> Message:
    return Message(
        topic=topic,
        partition=partition,
        offset=OFFSET_INVALID if error is not None else record.offset,
        key=record.key,
        value=record.value,
        timestamp=record.timestamp,
        error=error,
    )


def _bytes(content: bytes | str | None) -> bytes | None:
    return content.encode() if isinstance(content, str) else content
