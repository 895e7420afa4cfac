"""Progress of batches, as the `batches` topic has it."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from streams import codec
from streams.client.connection import MAX_RECORD_BYTES, Trouble, properties, require_topics
from streams.client.errors import BatchTimeoutError, BrokerUnavailableError, UnreadableProgressError
from streams.config import Topic
from streams.model import BatchProgress, BatchState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.config import Settings

FINAL_STATES = frozenset({BatchState.COMPLETED, BatchState.ABORTED, BatchState.REJECTED})
"""A batch in one of these does not change any more."""

_WAIT = 0.1
_CHUNK = 500

log = logging.getLogger(__name__)


class _Entry(NamedTuple):
    """A record of the topic; `value` is None for a tombstone."""

    key: str
    value: bytes | None


class ProgressReader:
    """Reads the `batches` topic from its start, committed records only, without joining a group.

    Each call opens its own connection; several readers do not disturb each other.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def follow(self, batch_id: str, timeout: float | None = None) -> Iterator[BatchProgress]:
        """Progress of one batch: as it stands now, then as it comes, up to and including its final state.

        Revisions rise. A batch nobody has heard of yet is waited for. `timeout`: seconds for the whole, None for ever.

        Raises:
            BatchTimeoutError: not ended within `timeout`.
            BrokerUnavailableError, TopicMissingError: nothing to read from.
            UnreadableProgressError: the batch's own record was written by a newer version.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        newest: BatchProgress | None = None
        shown = -1
        with self._tail() as tail:
            while True:
                for entry in tail.poll():
                    if entry.key == batch_id:
                        newest = _newer(newest, entry)
                # History is passed over: it may hold the end of an older batch that had this id.
                if tail.caught_up and newest is not None and newest.revision != shown:
                    shown = newest.revision
                    yield newest
                    if newest.state in FINAL_STATES:
                        return
                if deadline is not None and time.monotonic() >= deadline:
                    raise BatchTimeoutError(_not_ended(batch_id, newest, timeout))

    def latest(self, timeout: float = 30.0) -> dict[str, BatchProgress]:
        """The newest progress of every batch, by id, as of the time of the call.

        A record that this version cannot read is left out, with a warning in the log.

        Raises:
            BrokerUnavailableError: not read to the end within `timeout` seconds, or no broker at all.
            TopicMissingError: nothing to read from.
        """
        deadline = time.monotonic() + timeout
        latest: dict[str, BatchProgress | None] = {}
        with self._tail() as tail:
            while not tail.caught_up:
                for entry in tail.poll():
                    try:
                        latest[entry.key] = _newer(latest.get(entry.key), entry)
                    except UnreadableProgressError as error:
                        log.warning("%s", error)
                if time.monotonic() >= deadline:
                    raise BrokerUnavailableError(f"{tail.topic} could not be read to its end within {timeout:g} s")
        return {batch_id: progress for batch_id, progress in latest.items() if progress is not None}

    @contextmanager
    def _tail(self) -> Iterator[_Tail]:
        trouble = Trouble()
        own = {
            # librdkafka wants a name, but nothing here joins a group, commits or asks for its offsets.
            "group_id": "streams-progress-reader",
            "enable_auto_commit": False,
            "enable_partition_eof": True,
            "isolation_level": "read_committed",
            "fetch_message_max_bytes": MAX_RECORD_BYTES,
            **({} if "fetch.wait.max.ms" in self._settings.kafka_properties() else {"fetch_wait_max_ms": 100}),
        }
        consumer = Consumer(properties(self._settings, trouble, **own))
        try:
            [(topic, found)] = require_topics(consumer, self._settings, trouble, Topic.BATCHES).items()
            yield _Tail(consumer, topic, set(found.partitions))
        finally:
            consumer.close()


class _Tail:
    """A topic from its start on; `caught_up` once each partition has been read to where it ended at the time."""

    def __init__(self, consumer: Consumer, topic: str, partitions: set[int]) -> None:
        self.topic = topic
        self._consumer = consumer
        self._behind = partitions
        consumer.assign([TopicPartition(topic, each, OFFSET_BEGINNING) for each in partitions])

    @property
    def caught_up(self) -> bool:
        return not self._behind

    def poll(self) -> Iterator[_Entry]:
        """What has arrived; waits a moment for it."""
        for message in self._consumer.consume(1, _WAIT) + self._consumer.consume(_CHUNK, 0):
            error = message.error()
            if error is None:
                yield _Entry((message.key() or b"").decode(errors="replace"), message.value())
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the only name it has
                # The fetcher tells the end: the last offset may be a transaction's marker, which no record reaches.
                self._behind.discard(message.partition() or 0)
            elif error.fatal() or not error.retriable():
                raise KafkaException(error)


def _newer(known: BatchProgress | None, entry: _Entry) -> BatchProgress | None:
    """The batch's progress after this record; None after a tombstone."""
    if entry.value is None:
        return None
    progress = _decode(entry.key, entry.value)
    return known if known is not None and progress.revision <= known.revision else progress


def _decode(key: str, value: bytes) -> BatchProgress:
    try:
        record = codec.decode(value)
    except codec.BadRecordError as error:
        raise UnreadableProgressError(f"progress of batch {key}: {error}; upgrade this program") from error
    if not isinstance(record, BatchProgress):
        raise UnreadableProgressError(f"progress of batch {key}: a {type(record).__name__} stands in its place")
    return record


def _not_ended(batch_id: str, progress: BatchProgress | None, timeout: float | None) -> str:
    if progress is None:
        return (
            f"batch {batch_id}: no progress within {timeout:g} s; are a worker and a gateway running?"
            f" `streams batch show {batch_id}` tells later"
        )
    return f"batch {batch_id} has not ended within {timeout:g} s; it goes on: `streams batch show {batch_id}`"
