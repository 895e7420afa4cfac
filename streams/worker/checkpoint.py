"""The checkpoint: a turn's writes in one Kafka transaction, then SQLite. Never SQLite first.

1. begin the transaction
2. produce the changelog (`m/` last in each partition), signals, progress and dead letters
3. produce what the turn appends to `commands`: last, because until the commit nobody sees records that follow it
4. send the input offsets, with the group metadata taken when the turn's records were consumed
5. commit the transaction
6. commit SQLite, partition by partition, with input offset and changelog position

Steps 4 and 5 wait for Kafka: meanwhile the loop's thread works ahead, on SQLite only. A partition that was worked ahead
keeps its SQLite transaction open until the next turn is committed.

A crash before 5 leaves nothing. A crash after 5 leaves a store behind its changelog: only that tail is replayed.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams.config import Topic
from streams.kafka.errors import (
    QUEUE_FULL,
    STATE,
    KafkaFailureError,
    ProducerFencedError,
    ProducerForgottenError,
    RecordRefusedError,
    TransactionAbortedError,
    kafka_error,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence

    from streams.config import Settings
    from streams.worker.outbox import Forwarded, Outbox, OutgoingDeadLetter, Records
    from streams.worker.task import PartitionTask
    from streams.worker.watch import TopicWatch

_CALL_TIMEOUT_S = 5.0
_REFUSED = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD})
_GIVE_UP_S = 60.0
"""If a transactional call keeps failing in a retriable way for this long, its outcome counts as unknown."""


class Checkpoint:
    """Commits turns with one transactional producer.

    Before anything is written, `watch` confirms that the topics are still those that the worker started with.

    Raises from `commit`:
        TransactionAbortedError: nothing was written; abort, and read the input again.
        RecordRefusedError: nothing was written, and the same records would be refused again.
        ProducerFencedError: another producer took over, or the outcome is unknown; only a new producer can tell.
        StreamsError: a topic was deleted, or deleted and created again.
        KafkaFailureError: anything else.
    """

    def __init__(
        self,
        producer: Any,
        settings: Settings,
        wall_clock: Callable[[], int],
        watch: TopicWatch,
    ) -> None:
        self._producer = producer
        self._watch = watch
        self._wall_clock = wall_clock
        self._topics = {topic: settings.topic(topic) for topic in Topic}
        self._dead_letter_partitions = 1
        self._thread = ThreadPoolExecutor(1, "commit")
        self._timeout_s = settings.transaction_timeout_ms / 1_000
        self._began = time.monotonic()
        self.transaction_s = 0.0
        self.forgotten = False
        """True if Kafka has forgotten the transactional id, as it does after days without use."""

    def prepare(self, dead_letter_partitions: int) -> None:
        """Take over the transactional id: this fences any older producer and settles its last transaction."""
        self._dead_letter_partitions = dead_letter_partitions
        _retrying(lambda: self._producer.init_transactions(_CALL_TIMEOUT_S))

    def commit(
        self,
        outbox: Outbox,
        tasks: Sequence[PartitionTask],
        metadata: Any,
        meanwhile: Callable[[], Container[PartitionTask]] = tuple,
    ) -> None:
        """Commit one turn, all of it or nothing.

        Args:
            outbox: the turn's records for Kafka.
            tasks: the partitions that had input, each with its table flushed.
            metadata: the group's, taken when the input was consumed.
            meanwhile: runs while Kafka commits and must not use Kafka; returns the partitions it has worked ahead.
        """
        try:
            self._commit(outbox, tasks, metadata, meanwhile)
        except KafkaFailureError:
            self._watch.explain()
            raise
        except ProducerForgottenError:
            self.forgotten = True
            raise

    def _commit(
        self,
        outbox: Outbox,
        tasks: Sequence[PartitionTask],
        metadata: Any,
        meanwhile: Callable[[], Container[PartitionTask]],
    ) -> None:
        positions: dict[int, int] = {}
        # 1
        _retrying(self._producer.begin_transaction)
        confirmed = self._watch.confirmed(_GIVE_UP_S)
        self._began = began = time.monotonic()
        if not confirmed:
            raise TransactionAbortedError(f"no answer within {_GIVE_UP_S:.0f} s whether the topics are the same")
        try:
            self._produce_all(outbox, tasks, positions)
        except KafkaException as error:
            # Not retried: part of it is in the transaction already.
            why = kafka_error(error)
            raise TransactionAbortedError(str(error)) if why is None else _refused(why) from error
        # 4, 5
        offsets = [
            TopicPartition(self._topics[Topic.COMMANDS], t.partition, t.running_table.meta.next_offset) for t in tasks
        ]
        committed = self._thread.submit(self._conclude, offsets, metadata)
        try:
            ahead = meanwhile()
        finally:
            wait([committed])
        self.transaction_s = committed.result() - began
        # 6
        for task in tasks:
            if task in ahead:
                continue
            if task.partition not in positions:
                raise KafkaFailureError(
                    f"partition {task.partition}: committed, but its changelog position is not known"
                )
            task.running_table.commit(positions[task.partition], self._wall_clock())

    def _conclude(self, offsets: list[TopicPartition], metadata: Any) -> float:
        """Send the input offsets and commit; returns when that was done."""
        if offsets:
            _retrying(lambda: self._producer.send_offsets_to_transaction(offsets, metadata, _CALL_TIMEOUT_S))
        _retrying(lambda: self._producer.commit_transaction(_CALL_TIMEOUT_S))
        return time.monotonic()

    def overdue(self) -> bool:
        """True if the last transaction began so long ago that the broker itself ends it, and fences its producer."""
        return time.monotonic() - self._began >= self._timeout_s

    def close(self) -> None:
        """End the thread that commits."""
        self._thread.shutdown()

    def abort(self) -> None:
        """Give up the open transaction, where there is one."""
        _retrying(lambda: self._producer.abort_transaction(_CALL_TIMEOUT_S))

    def _produce_all(self, outbox: Outbox, tasks: Sequence[PartitionTask], positions: dict[int, int]) -> None:
        # 2
        for task in tasks:
            outbox.changelog[task.partition][-1]["callback"] = _noting(positions)
        self._produce(Topic.CHANGELOG, outbox.changelog)
        self._produce(Topic.SIGNALS, outbox.signals)
        self._produce(Topic.BATCH_SLICES, outbox.progress)
        self._produce(Topic.FLOWS, outbox.flows)
        self._produce(Topic.WORKERS, outbox.addresses)
        for letter in outbox.dead_letters:
            self._produce_one(Topic.DEAD_LETTERS, letter, letter.partition % self._dead_letter_partitions)
        # 3
        for record in outbox.forwarded:
            self._produce_one(Topic.COMMANDS, record, record.partition)
        self._produce(Topic.COMMANDS, outbox.commands)

    def _produce(self, topic: Topic, by_partition: Records) -> None:
        """Queue records. `produce_batch` does not raise for one that it cannot queue; it marks that one with `_error`.

        One call per partition: confluent_kafka ignores a partition given with a record.
        """
        for partition, records in by_partition.items():
            left = records
            while left and self._producer.produce_batch(self._topics[topic], left, partition) < len(left):
                left = [record for record in left if "_error" in record]
                for record in left:
                    error = record.pop("_error")
                    if error.code() != QUEUE_FULL:
                        raise _refused(error, f"{topic}, partition {partition}, key {record['key']}: ")
                self._producer.poll(0.1)

    def _produce_one(self, topic: Topic, record: OutgoingDeadLetter | Forwarded, partition: int) -> None:
        """Queue a record with headers, which `produce_batch` does not take."""
        name, headers = self._topics[topic], record.headers
        while True:
            try:
                self._producer.produce(name, record.value, record.key, partition, headers=headers)
            except BufferError:
                self._producer.poll(0.1)
            else:
                break


def _noting(positions: dict[int, int]) -> Callable[[KafkaError | None, Any], None]:
    def delivered(error: KafkaError | None, message: Any) -> None:
        if error is None:
            positions[message.partition()] = message.offset() + 1

    return delivered


def _retrying(call: Callable[[], object]) -> None:
    """Run a transactional call, and repeat it while its error is retriable."""
    give_up = time.monotonic() + _GIVE_UP_S
    while True:
        try:
            call()
        except KafkaException as error:
            why = kafka_error(error)
            if why is None:
                raise
            if not why.retriable() or why.fatal() or why.txn_requires_abort():
                raise _failure(why) from error
            if time.monotonic() > give_up:
                raise ProducerFencedError(f"outcome unknown after {_GIVE_UP_S:.0f} s: {why.str()}") from error
        else:
            return


def _refused(error: KafkaError, where: str = "") -> Exception:
    """The error to raise for a record that could not be queued.

    If the transaction has failed meanwhile (a worker was frozen for longer than its records may wait), librdkafka takes
    no more records and only says "erroneous state". The abort will show whether it is worse.
    """
    if error.code() == STATE:
        return TransactionAbortedError(f"{where}{error.str()}")
    return _failure(error, where)


def _failure(error: KafkaError, where: str = "") -> Exception:
    """The error to raise for an error of the producer. A record that is too large would fail every time."""
    text = f"{where}{error.str()}"
    if error.code() == KafkaError.INVALID_PRODUCER_ID_MAPPING:
        # librdkafka treats it as abortable, and then fails in the same way for seconds.
        return ProducerForgottenError(text)
    if error.fatal():
        return ProducerFencedError(text)
    if error.code() in _REFUSED:
        return RecordRefusedError(text)
    if error.txn_requires_abort():
        return TransactionAbortedError(text)
    return KafkaFailureError(f"Kafka refused a write: {text}")
