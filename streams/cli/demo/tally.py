"""Counts of the records in a topic."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from streams import codec
from streams.client.connection import CONNECT_TIMEOUT, Trouble, properties

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from streams.config import Settings

_CHUNK = 1_000
_WAIT_S = 0.1


def ends(settings: Settings, topic: str) -> dict[int, int]:
    """The offset after the last committed record, by partition."""
    with _consumer(settings) as consumer:
        places = [TopicPartition(topic, each) for each in _partitions(consumer, topic)]
        return {each.partition: consumer.get_watermark_offsets(each, timeout=CONNECT_TIMEOUT)[1] for each in places}


def tally(
    settings: Settings,
    topic: str,
    kind: Callable[[Any], str | None],
    since: Mapping[int, int] | None = None,
) -> Counter[str]:
    """Number of committed records of a topic, by kind, at present.

    Args:
        settings: the brokers.
        topic: the topic's full name.
        kind: returns the kind of a decoded record, or None to skip it.
        since: first offset by partition; if absent, the beginning.

    Raises:
        KafkaException: the topic cannot be read.
        BadRecordError: a record is not one of the protocol.
    """
    with _consumer(settings) as consumer:
        return Counter(
            name for value in _values(consumer, topic, since or {}) if (name := kind(codec.decode(value))) is not None
        )


def _values(consumer: Consumer, topic: str, since: Mapping[int, int]) -> Iterator[bytes]:
    partitions = _partitions(consumer, topic)
    consumer.assign([TopicPartition(topic, each, since.get(each, OFFSET_BEGINNING)) for each in partitions])
    unread = set(partitions)
    while unread:
        for message in consumer.consume(1, _WAIT_S) + consumer.consume(_CHUNK, 0):
            error = message.error()
            if error is None:
                yield message.value() or b""
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the only name it has
                unread.discard(message.partition())
            elif error.fatal() or not error.retriable():
                raise KafkaException(error)


def _partitions(consumer: Consumer, topic: str) -> list[int]:
    return list(consumer.list_topics(timeout=CONNECT_TIMEOUT).topics[topic].partitions)


@contextmanager
def _consumer(settings: Settings) -> Iterator[Consumer]:
    own = {
        "group_id": "streams-tally",  # never joined, but librdkafka needs a name
        "enable_auto_commit": False,
        "enable_partition_eof": True,
        "isolation_level": "read_committed",
    }
    consumer = Consumer(properties(settings, Trouble(), **own))
    try:
        yield consumer
    finally:
        consumer.close()
