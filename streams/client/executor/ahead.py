"""Signals behind those that wait: a KILL must not queue up behind the STARTs that it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from confluent_kafka import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK = 500


class Ahead:
    """A second consumer, outside the group, that reads on in partitions whose signals wait."""

    def __init__(self, topic: str, make: Callable[[], Any]) -> None:
        self._topic = topic
        self._make = make
        self._consumer: Any = None
        self._next: dict[int, int] = {}

    def follow(self, partition: int, reached: int, *, begin: bool) -> None:
        """Read on from `reached`, the group's own place, if asked to begin; until that has come as far as this."""
        if begin and partition not in self._next:
            if self._consumer is None:
                self._consumer = self._make()
            self._next[partition] = reached
            self._consumer.incremental_assign([TopicPartition(self._topic, partition, reached)])
        elif not begin and reached >= self._next.get(partition, reached):
            self.forget(partition)

    def forget(self, partition: int) -> None:
        """Read this one no further."""
        if self._next.pop(partition, None) is not None:
            self._consumer.incremental_unassign([TopicPartition(self._topic, partition)])

    def take(self) -> list[Any]:
        """The messages that are there, errors included; it does not wait."""
        if not self._next:
            return []
        messages: list[Any] = self._consumer.consume(_CHUNK, 0)
        for message in messages:
            if message.error() is None and message.partition() in self._next:
                self._next[message.partition()] = message.offset() + 1
        return messages

    def close(self) -> None:
        """Let go."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None
            self._next.clear()
