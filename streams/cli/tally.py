"""Counting what stands in a topic."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from streams import codec
from streams.client.connection import Trouble, properties

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streams.config import Settings

_CHUNK = 1_000
_WAIT_S = 0.5


def tally(settings: Settings, topic: str, kind: Callable[[Any], str | None]) -> Counter[str]:
    """How many committed records of a topic are of each kind, as of now; `kind`: of a decoded record, None to skip it.

    Raises:
        KafkaException: the topic cannot be read.
        BadRecordError: a record is none of the protocol.
    """
    counts: Counter[str] = Counter()
    for value in _values(settings, topic):
        name = kind(codec.decode(value))
        if name is not None:
            counts[name] += 1
    return counts


def _values(settings: Settings, topic: str) -> Iterator[bytes]:
    own = {
        "group_id": "streams-tally",  # never joined, but librdkafka wants one
        "enable_auto_commit": False,
        "enable_partition_eof": True,
        "isolation_level": "read_committed",
    }
    consumer = Consumer(properties(settings, Trouble(), **own))
    try:
        partitions = consumer.list_topics(timeout=10.0).topics[topic].partitions
        consumer.assign([TopicPartition(topic, each, OFFSET_BEGINNING) for each in partitions])
        unread = set(partitions)
        while unread:
            for message in consumer.consume(_CHUNK, _WAIT_S):
                error = message.error()
                if error is None:
                    yield message.value() or b""
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the only name it has
                    unread.discard(message.partition())
                elif error.fatal() or not error.retriable():
                    raise KafkaException(error)
    finally:
        consumer.close()
