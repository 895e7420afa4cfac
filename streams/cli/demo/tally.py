"""Counts of the records in a topic."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from streams import codec
from streams.kafka.clients import KafkaClients
from streams.kafka.tail import tail

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from streams.config import Settings, Topic


def ends(settings: Settings, topic: Topic) -> dict[int, int]:
    """The offset after the last committed record, by partition."""
    with tail(settings, KafkaClients(), topic) as records:
        return records.ends()


def record_counts(
    settings: Settings,
    topic: Topic,
    kind: Callable[[Any], str | None],
    since: Mapping[int, int] | None = None,
) -> Counter[str]:
    """Number of committed records of a topic, by kind, at present.

    Args:
        settings: the brokers and the topics' prefix.
        topic: the topic.
        kind: returns the kind of a decoded record, or None to skip it.
        since: first offset by partition; if absent, the beginning.

    Raises:
        KafkaException: the topic cannot be read.
        BrokerUnavailableError: the brokers have said nothing for 30 s.
        BadRecordError: a record is not one of the protocol.
    """
    with tail(settings, KafkaClients(), topic, since=since, goes_on=False) as records:
        values = (message.value() or b"" for messages in records.until_end() for message in messages)
        return Counter(name for value in values if (name := kind(codec.decode(value))) is not None)
