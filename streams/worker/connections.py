"""A worker's producer and consumer, and their users, checkpoint and takeover. A fenced client is replaced."""

from __future__ import annotations

import contextlib
import warnings
from contextlib import closing
from typing import TYPE_CHECKING, Any

import structlog
from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition

from streams.config import Topic
from streams.errors import PartitionError, StreamsError
from streams.kafka.clients import command_consumer, transactional_producer
from streams.kafka.errors import AUTO_OFFSET_RESET, FATAL, STATE, ConsumerFencedError, KafkaFailureError, kafka_error
from streams.kafka.reading import TopicReader
from streams.worker.checkpoint import Checkpoint
from streams.worker.dead_letter_places import DeadLetterPlaces
from streams.worker.rivals import Rounds
from streams.worker.standstill import Standstill
from streams.worker.takeover import Takeover
from streams.worker.watch import TopicWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from streams.config import Settings
    from streams.kafka.clients import Clients
    from streams.worker.clock_ahead import Places
    from streams.worker.rebalance import Rebalance
    from streams.worker.topics import Topics

log = structlog.get_logger("streams.worker")


class Connections:
    """One worker's clients.

    `checkpoint` is the producer's, `takeover` the consumer's: each is new when its client is.

    Args:
        clients: makes the Kafka clients.
        settings: the worker's.
        topics: as `learn_topics` found them.
        worker_id: the producer's transactional.id.
        rebalance: called when the group gives or takes partitions.
        wall_clock: milliseconds since 1970.
    """

    def __init__(
        self,
        clients: Clients,
        settings: Settings,
        topics: Topics,
        worker_id: str,
        rebalance: Rebalance,
        wall_clock: Callable[[], int],
    ) -> None:
        self._clients = clients
        self._settings = settings
        self._topics = topics
        self._worker_id = worker_id
        self._rebalance = rebalance
        self._wall_clock = wall_clock
        self._lost: list[PartitionError] = []
        self._fenced, self._unseated = Rounds(), Rounds()
        admin = clients.admin(settings.kafka_properties())
        self.watch = TopicWatch(admin, topics)
        self.standstill = Standstill(admin, topics)
        self._metadata: Any = None
        self._open_producer()
        self._open_consumer()

    def close(self) -> None:
        """Close both; an open transaction is aborted.

        The producer is closed first: closing the consumer hands the partitions on.
        """
        self._close_producer()
        self._close_consumer()

    # --- the consumer ---

    def consume(self, most: int, wait_s: float) -> list[Any]:
        """At most `most` records; waits for the first one only.

        Raises:
            ConsumerFencedError: another consumer has taken its place in the group.
            KafkaFailureError: the topic may not be read.
            StreamsError: a topic was deleted, or deleted and created again.
        """
        self.watch.look()
        if not wait_s:
            messages = self.consumer.consume(most, timeout=0)
        else:
            first = self.consumer.poll(wait_s)
            if first is None:
                return []
            messages = [first, *(self.consumer.consume(most - 1, timeout=0) if most > 1 else [])]
        return [message for message in messages if self._is_record(message)]

    def group_metadata(self) -> Any:
        """What the consumer says of itself to the group, with which a turn is committed.

        Raises:
            ConsumerFencedError: the group has let this consumer go and taken it in again, without a word about its
                partitions. A member with an id of its own that is away for longer than its session, in the middle of a
                rebalance, gets a new name at once; librdkafka then goes on with the partitions that it had, although
                others may have had them meanwhile.
        """
        made = self.consumer.consumer_group_metadata()
        known = self._rebalance.member
        # The name is part of the metadata: as long as they are the same, it is.
        if made != self._metadata and self._settings.worker_id is not None and known:
            if known != (now := self.consumer.memberid()):
                raise ConsumerFencedError(f"the group has let it go and taken it in again: {known} is now {now}")
            self._metadata = made
        return made

    def lost(self) -> list[PartitionError]:
        """The partitions whose next record turned out to be deleted since the last call."""
        lost, self._lost = self._lost, []
        return lost

    def seek(self, partition: int, offset: int) -> bool:
        """Read the partition's commands from `offset` on; False if the partition is not this consumer's any longer."""
        place = TopicPartition(self._topics.commands, partition, offset)
        try:
            self.consumer.seek(place)
        except KafkaException as error:
            why = kafka_error(error)
            if why is None or why.code() != STATE:
                raise
            return False
        self.consumer.resume([place])
        # librdkafka's thread for a broker sleeps for a second if all that it reads is paused, as it was at the first
        # seek. A seek wakes it, a resume does not.
        with contextlib.suppress(KafkaException):
            self.consumer.seek(place)
        return True

    def pause(self, partition: int) -> None:
        """Stop reading the partition until `seek`."""
        self.consumer.pause([TopicPartition(self._topics.commands, partition)])

    def position(self, partition: int) -> int:
        """The offset after the partition's last command or marker that was read; negative if none was."""
        with contextlib.suppress(KafkaException):
            place = TopicPartition(self._topics.commands, partition)
            found: int = self.consumer.position([place])[0].offset
            return found
        return -1

    def log_end(self, partition: int) -> int | None:
        """The end of the log as of the last fetch, for metrics; None if unknown."""
        with contextlib.suppress(KafkaException):
            place = TopicPartition(self._topics.commands, partition)
            end: int = self.consumer.get_watermark_offsets(place, cached=True)[1]
            return end if end >= 0 else None
        return None

    def replace_consumer(self, why: str) -> None:
        """Take this worker's place in the group again, with a new consumer.

        A worker with the same id takes the place away. So does, now and then, a restarted coordinator that answers a
        join request which this same consumer has given up.

        Raises:
            StreamsError: the place was lost so often that another worker must have the same id.
        """
        log.warning("consumer replaced", why=why, group_instance_id=self._settings.worker_id)
        if (often := self._unseated.another()) is not None:
            raise StreamsError(self._shared_id(f"its place in the group was taken {often}: {why}"))
        self._close_consumer()
        self._rebalance.left()
        self._open_consumer()

    def _open_consumer(self) -> None:
        settings, rebalance = self._settings, self._rebalance
        self.consumer = self._clients.consumer(command_consumer(settings, settings.worker_id))
        self.takeover = Takeover(
            self._clients,
            settings,
            self.consumer,
            self._topics,
            self._wall_clock,
            self._named_ahead,
            self.watch.confirmed,
        )
        self.consumer.subscribe(
            [settings.topic(Topic.COMMANDS)],
            on_assign=rebalance.on_assign,
            on_revoke=rebalance.on_revoke,
            on_lost=rebalance.on_lost,
        )

    def _named_ahead(self) -> Mapping[int, Places]:
        """The records that were stamped too far ahead according to dead letters, by partition."""
        with closing(TopicReader(self._settings, self._clients, lambda *_: None)) as reading:
            places = DeadLetterPlaces(self._settings, self._topics, reading, of_any_table=True)
            places.read(IsolationLevel.READ_COMMITTED)
            return places.ahead

    def _close_consumer(self) -> None:
        self.takeover.close()
        self.consumer.close()

    def _is_record(self, message: Any) -> bool:
        error = message.error()
        if error is None:
            return True
        if error.code() in (AUTO_OFFSET_RESET, KafkaError.UNKNOWN_TOPIC_OR_PART):
            self.watch.explain()
        if error.code() == AUTO_OFFSET_RESET:
            self._lost.append(
                PartitionError(
                    f"{message.topic()} partition {message.partition()}: the next record to apply has been deleted "
                    f"({error.str()}); it is given up rather than skipped. Set the topic's retention longer than the "
                    "longest downtime, and begin with new topics: see the operations page",
                    message.partition(),
                )
            )
            return False
        # A consumer's fatal error arrives as `_FATAL`, not marked fatal; a consumer has no other than fencing.
        if error.code() in (KafkaError.FENCED_INSTANCE_ID, FATAL):
            raise ConsumerFencedError(error.str())
        if error.fatal() or error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED):
            raise KafkaFailureError(f"consumer: {error.str()}")
        log.warning("consumer", error=error.str())
        return False

    # --- the producer ---

    def replace_producer(self, why: str) -> None:
        """Replace the producer. The new one settles the old one's transaction.

        Raises:
            StreamsError: the producer was fenced so often that another worker must have the same id.
        """
        overdue = self.checkpoint.overdue()
        log.warning("producer replaced", why=why, transactional_id=self._worker_id, overdue=overdue)
        # Kafka also fences a worker whose transactions take too long.
        if not (overdue or self.checkpoint.forgotten) and (often := self._fenced.another()) is not None:
            raise StreamsError(self._shared_id(f"fenced {often}: {why}"))
        self._close_producer()
        self._open_producer()

    def _open_producer(self) -> None:
        settings = self._settings
        self._producer = self._clients.producer(transactional_producer(settings, self._worker_id))
        self.checkpoint = Checkpoint(self._producer, settings, self._wall_clock, self.watch)
        self.checkpoint.prepare(self._topics.dead_letter_partitions)

    def _close_producer(self) -> None:
        # A fenced producer raises once more and warns; its open transaction is settled by whoever fenced it or by the
        # next one.
        with warnings.catch_warnings(), contextlib.suppress(KafkaException):
            warnings.simplefilter("ignore")
            self._producer.close()
        self.checkpoint.close()

    def _shared_id(self, what: str) -> str:
        return (
            f"{what}: another worker uses transactional.id {self._worker_id} (this one's state folder is "
            f"{self._settings.state_dir}). Give each worker its own STREAMS_WORKER_ID and STREAMS_STATE_DIR"
        )
