"""Reading of topics by partition, from offset to offset, without a group."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import OffsetSpec

from streams.errors import StreamsError
from streams.kafka.clients import TIMEOUT_S, changelog_reader
from streams.kafka.errors import AUTO_OFFSET_RESET, BrokerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streams.config import Settings
    from streams.kafka.clients import Clients

    Progress = Callable[[int, str, int, int], None]
    """Callback for progress: partition, what is being done there, position, and end."""

_PATIENCE_S: Final = 60.0
_AT_ONCE: Final = 5_000
_WAIT_S: Final = 0.02
"""Longest wait for a record, seconds. Short, since at the end only a marker follows, for which nothing is returned."""


class StalledError(StreamsError):
    """Nothing could be read for a minute, although the end is not reached."""


class DeletedError(StreamsError):
    """The next record to read has been deleted."""


class TopicReader:
    """Committed records of any topic, partition by partition."""

    def __init__(self, settings: Settings, clients: Clients, progress: Progress) -> None:
        self._progress = progress
        self._admin = clients.admin(settings.kafka_properties())
        self._consumer = clients.consumer(changelog_reader(settings))
        self._known: set[str] = set()

    def close(self) -> None:
        """Close the consumer; nothing can be read afterwards."""
        self._consumer.close()

    def bounds(
        self, topic: str, partition: int, level: IsolationLevel = IsolationLevel.READ_COMMITTED
    ) -> tuple[int, int]:
        """First offset and end. The end is that of committed records, or under READ_UNCOMMITTED the high watermark.

        Raises:
            BrokerUnavailableError: no answer within ten seconds.
        """
        place = TopicPartition(topic, partition)
        begin, end = (
            self._offset(place, spec, level)
            for spec in (OffsetSpec.earliest(), OffsetSpec.latest())  # type: ignore[no-untyped-call]
        )
        return begin, end

    def _offset(self, place: TopicPartition, spec: OffsetSpec, level: IsolationLevel) -> int:
        asked = self._admin.list_offsets({place: spec}, isolation_level=level, request_timeout=TIMEOUT_S)[place]
        try:
            return int(asked.result(TIMEOUT_S).offset)
        except TimeoutError:
            raise BrokerUnavailableError(
                f"no broker has said within {TIMEOUT_S:g} s where {place.topic} partition {place.partition} begins and "
                "ends"
            ) from None

    def read(self, topic: str, partition: int, bounds: tuple[int, int], what: str = "") -> Iterator[Any]:
        """Committed records of `bounds`; ends when the reader's position passes the end (markers take offsets).

        If an open transaction lies before the end, it is waited for.

        Raises:
            StalledError: nothing more came for a minute.
            DeletedError: the next record to read has been deleted.
        """
        begin, end = bounds
        place = TopicPartition(topic, partition, begin)
        if begin >= end:
            return
        if topic not in self._known:
            load_metadata(self._consumer, topic, TIMEOUT_S)
            self._known.add(topic)
        self._consumer.assign([place])
        try:
            position, moved_at = begin, time.monotonic()
            while position < end:
                # With a larger number it would wait for that many records, or for its timeout.
                messages = self._consumer.consume(1, timeout=_WAIT_S) + self._consumer.consume(_AT_ONCE, timeout=0)
                for message in messages:
                    if message.error() is not None:
                        _require_passing(message)
                    elif message.offset() < end:
                        yield message
                reached = max(position, self._consumer.position([place])[0].offset)
                if reached > position or messages:
                    position, moved_at = reached, time.monotonic()
                elif time.monotonic() - moved_at > _PATIENCE_S:
                    raise _stalled(place, position, end)
                if what:
                    self._progress(partition, what, min(position, end), end)
        finally:
            self._consumer.unassign()


def _require_passing(message: Any) -> None:
    """Ignore errors that pass; raise for the one after which nothing more comes."""
    if message.error().code() == AUTO_OFFSET_RESET:
        raise DeletedError(
            f"{message.topic()}, partition {message.partition()}: what was to be read next has been deleted: "
            f"{message.error().str()}"
        )


def load_metadata(consumer: Any, topic: str, timeout_s: float) -> None:
    """Let a consumer learn the leaders of a topic's partitions before it is assigned the first of them.

    Otherwise librdkafka learns them at its next check of its topics, which it does once a second.
    """
    consumer.list_topics(topic, timeout=timeout_s)


def chunks(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    """Lists of `size` items; the last one has the rest."""
    chunk: list[Any] = []
    for item in items:
        chunk.append(item)
        if len(chunk) >= size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _stalled(place: TopicPartition, position: int, end: int) -> StalledError:
    return StalledError(
        f"{place.topic}, partition {place.partition}: read up to offset {position} of {end}, and nothing more came for "
        f"{_PATIENCE_S:g} s: the brokers are out of reach, or a transaction is open; try again when that is over"
    )
