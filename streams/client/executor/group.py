"""This executor's share of the partitions: joining the group, taking signals, committing, handing over."""

from __future__ import annotations

import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams.client.executor.run import AssignedPartition
from streams.client.executor.watermark import Watermark
from streams.config import Topic
from streams.kafka.clients import MAX_RECORD_BYTES, Trouble, client_properties, heartbeat_ms, reader_properties
from streams.kafka.errors import NO_OFFSET, TopicMissingError, is_record
from streams.kafka.topic_ids import Remade, TopicIds, topic_id

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from streams.config import Settings
    from streams.kafka.clients import Clients

log = logging.getLogger("streams.executor")

_ANSWER_S = 30.0
_PAUSE_S = 0.2
_TRIES = 3
"""Number of tries of a commit that is waited for."""
_REVOKE_S = 1.0
"""Time to find out, when partitions go, whether their topic is gone."""
_OF = "#"
"""Separator before the topic's id in the metadata of a commit."""
_NEVER = (-1, "")


class Group:
    """The consumer of signals, and the partitions that it has at present.

    `let_go` is called with partitions that go to another executor, before their last commit; `dropped` with those that
    are gone.

    A topic of signals that is deleted and created again is read from its beginning, whatever was committed for the old
    one; each commit names the topic's id. Runs go on: no other executor would be told to start them.
    """

    def __init__(
        self,
        settings: Settings,
        clients: Clients,
        group_id: str,
        let_go: Callable[[Collection[AssignedPartition]], None],
        dropped: Callable[[AssignedPartition], None],
    ) -> None:
        self._settings = settings
        self._clients = clients
        self._topic = settings.topic(Topic.SIGNALS)
        self._let_go = let_go
        self._dropped = dropped
        self._committed: dict[int, tuple[int, str]] = {}
        self._asked: dict[int, tuple[int, str]] = {}
        self._consumer: Any = None
        self._ids = TopicIds(None, {})
        self._topic_id = ""
        self._orphans: dict[int, AssignedPartition] = {}
        self.group_id = group_id
        self.owned: dict[int, AssignedPartition] = {}
        self.paused = False
        self.unsettled = 0
        """Number of partitions whose last commit was not confirmed when the group was left."""

    def join(self, instance_id: str | None) -> None:
        """Ask for a share of the partitions, which arrive during later calls of `take`.

        Raises:
            KafkaException: the topic of signals cannot be described.
        """
        admin = self._clients.admin(client_properties(self._settings, Trouble()))
        self._topic_id = topic_id(admin, self._topic, _ANSWER_S)
        self._ids = TopicIds(admin, {self._topic: self._topic_id})
        more: dict[str, Any] = {
            "session_timeout_ms": self._settings.session_timeout_ms,
            "heartbeat_interval_ms": heartbeat_ms(self._settings),
            "partition_assignment_strategy": "cooperative-sticky",
            "enable_auto_offset_store": False,
            **({} if instance_id is None else {"group_instance_id": instance_id}),
        }
        made = consumer_properties(self._settings, self.group_id, **more)
        self._consumer = self._clients.consumer({**made, "on_commit": self._on_commit})
        self._consumer.subscribe(
            [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def take(self, count: int, wait: float) -> Iterator[tuple[AssignedPartition, Any]]:
        """Signals that have arrived, each with its partition; waits at most `wait` seconds for the first.

        Raises:
            TopicMissingError: the topic was deleted.
        """
        self._follow_topic(self._ids.look())
        for message in self._consumer.consume(count, wait):
            part = self.owned.get(message.partition())
            if is_signal(message) and part is not None:
                yield part, message

    def pause(self) -> None:
        """Stop taking signals: they wait in Kafka."""
        self.paused = True
        self._consumer.pause([TopicPartition(self._topic, each) for each in self.owned])

    def resume(self) -> None:
        """Take signals again after `pause`."""
        self.paused = False
        places = [TopicPartition(self._topic, each) for each in self.owned]
        self._consumer.resume(places)
        # librdkafka's thread for a broker sleeps for a second while all is paused. A seek wakes it, a resume does not.
        with contextlib.suppress(KafkaException):
            for place in self._consumer.position(places):
                if place.offset >= 0:
                    self._consumer.seek(place)

    def lag(self) -> dict[int, int]:
        """Number of signals that were not taken yet, by partition, where the end of the log is known."""
        found = {}
        for each, part in self.owned.items():
            # As it reads committed records only, this is the last stable offset; below 0 before the first fetch.
            with contextlib.suppress(KafkaException):
                _, end = self._consumer.get_watermark_offsets(TopicPartition(self._topic, each), cached=True)
                if end >= 0:
                    found[each] = max(0, end - part.watermark.next)
        return found

    def commit(self, *, wait: bool = False) -> None:
        """Commit each partition's progress. An unconfirmed commit is repeated by a later call."""
        self._commit(self.owned.values(), wait=wait)

    def close(self) -> None:
        """Commit, and leave the group."""
        if self._consumer is not None:
            self._release(list(self.owned.values()))
            consumer, self._consumer = self._consumer, None
            consumer.close()

    def _follow_topic(self, found: Remade | None) -> None:
        """Read the topic from its beginning if it is another one."""
        if found is None:
            return
        if found.now is None:
            raise TopicMissingError(f"topic {found.topic} was deleted while the executor ran: create it, start again")
        log.warning("topic %s was created again: its signals are taken from the beginning", found.topic)
        self._ids.accept(found)
        self._topic_id = found.now
        for part in self.owned.values():
            part.forget_log()
            self._committed[part.partition] = _NEVER
            self._asked.pop(part.partition, None)
            self._dropped(part)
        places = [TopicPartition(self._topic, each, 0) for each in self.owned]
        self._consumer.incremental_unassign(places)
        self._consumer.incremental_assign(places)
        if self.paused:
            self._consumer.pause(places)
        # Otherwise the group learns of the topic only at its next check of its topics, minutes later.
        with contextlib.suppress(KafkaException):
            self._consumer.list_topics(timeout=_REVOKE_S)

    # --- called from within `take` ---

    def _on_assign(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        begin = []
        for place in _committed(consumer, partitions):
            metadata, of = _told_of(place.metadata)
            old = "" not in (of, self._topic_id) and of != self._topic_id
            offset = 0 if old else place.offset
            part = self._orphans.pop(place.partition, None) or AssignedPartition(place.partition)
            part.watermark = Watermark.restored(offset, None if old else metadata)
            self.owned[place.partition] = part
            self._committed[place.partition] = (offset, metadata) if of == self._topic_id else _NEVER
            begin.append(TopicPartition(place.topic, place.partition, offset))
        consumer.incremental_assign(begin)
        if self.paused:
            consumer.pause(partitions)

    def _on_revoke(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        owned = [self.owned[each.partition] for each in partitions if each.partition in self.owned]
        found = self._ids.ask_now(_REVOKE_S) if owned else None
        if found is None:
            self._release(owned)
        else:  # no other executor gets them: runs end and are reported here
            for part in owned:
                part.forget_log()
                self._orphans[part.partition] = part
            self._drop(owned)
        consumer.incremental_unassign(partitions)

    def _on_lost(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        owned = [self.owned[each.partition] for each in partitions if each.partition in self.owned]
        self._let_go(owned)
        self._drop(owned)
        consumer.incremental_unassign(partitions)

    def _release(self, owned: Collection[AssignedPartition]) -> None:
        self._let_go(owned)
        self._commit(owned, wait=True)
        self.unsettled = len(self._unconfirmed(owned, asked_too=True))
        self._drop(owned)

    def _drop(self, owned: Collection[AssignedPartition]) -> None:
        for part in owned:
            del self.owned[part.partition]
            del self._committed[part.partition]
            self._asked.pop(part.partition, None)
            self._dropped(part)

    def _commit(self, owned: Collection[AssignedPartition], *, wait: bool) -> None:
        for _ in range(_TRIES if wait else 1):
            places = self._unconfirmed(owned, asked_too=wait)
            if not places:
                return
            try:
                told = self._consumer.commit(offsets=places, asynchronous=not wait)
            except KafkaException as error:
                self._on_commit(error.args[0], places)
                if wait and _passes(error.args[0]):
                    time.sleep(_PAUSE_S)
            else:
                if wait:
                    self._on_commit(None, told)

    def _unconfirmed(self, owned: Collection[AssignedPartition], *, asked_too: bool) -> list[TopicPartition]:
        """The commits still to be made; without `asked_too`, not those whose answer is still awaited."""
        places = []
        for part in owned:
            reached, partition = part.watermark.commit(), part.partition
            waits = partition in self._asked and not asked_too
            if part.watermark.next and not waits and self._committed[partition] != reached:
                self._asked[partition] = reached
                offset, metadata = reached
                tagged = f"{metadata}{_OF}{self._topic_id}" if self._topic_id else metadata
                places.append(TopicPartition(self._topic, partition, offset, tagged))
        return places

    def _on_commit(self, error: KafkaError | None, places: list[TopicPartition]) -> None:
        """Note the answer to a commit: only a confirmed one counts."""
        for place in places:
            fault = error or place.error
            asked = self._asked.get(place.partition)
            if asked is not None and asked[0] == place.offset:
                del self._asked[place.partition]
                if fault is None:
                    self._committed[place.partition] = asked
            if fault is not None and fault.code() != NO_OFFSET:
                log.warning("offset %d@%d not committed: %s", place.partition, place.offset, fault.str())


def _committed(consumer: Any, partitions: list[TopicPartition]) -> list[TopicPartition]:
    """The group's offsets. A broker that has just come back is given time."""
    deadline = time.monotonic() + _ANSWER_S
    while True:
        try:
            found: list[TopicPartition] = consumer.committed(partitions, _ANSWER_S / 6)
        except KafkaException as error:
            if time.monotonic() >= deadline or error.args[0].fatal():
                raise
            log.warning("no committed offsets yet: %s", error.args[0].str())
            time.sleep(_PAUSE_S)
        else:
            return found


def consumer_properties(settings: Settings, group_id: str, **more: Any) -> dict[str, Any]:
    """Properties of a consumer of signals; `more` has `_` for the dots."""
    return reader_properties(
        settings,
        Trouble(),
        group_id=group_id,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        queued_max_messages_kbytes=16_384,
        fetch_message_max_bytes=MAX_RECORD_BYTES,
        **more,
    )


def is_signal(message: Any) -> bool:
    """Like `is_record`, but an unknown topic does not raise: its id will show whether it is still the same one."""
    error = message.error()
    if error is not None and error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
        log.warning("kafka consumer: %s", error.str())
        return False
    return is_record(message)


def _told_of(committed: str | None) -> tuple[str, str]:
    """The metadata of a commit, and the id of its topic; empty if the commit does not name it."""
    metadata, mark, of = (committed or "").rpartition(_OF)
    return (metadata, of) if mark else (committed or "", "")


def _passes(error: KafkaError) -> bool:
    """True if the same commit may succeed a little later."""
    return bool(error.retriable()) or error.code() == KafkaError.REBALANCE_IN_PROGRESS
