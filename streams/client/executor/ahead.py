"""Signals read ahead of waiting ones: a KILL must not queue behind the STARTs that it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from confluent_kafka import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK = 500


class Ahead:
    """A second consumer, outside the group, for partitions whose signals wait."""

    def __init__(self, topic: str, make: Callable[[], Any]) -> None:
        self._topic = topic
        self._make = make
        self._consumer: Any = None
        self._next: dict[int, int] = {}

    def follow(self, partition: int, reached: int, *, begin: bool) -> None:
        """Start reading at `reached`, the group's position, if `begin`; stop once the group has caught up."""
        if begin and partition not in self._next:
            if self._consumer is None:
                self._consumer = self._make()
            self._next[partition] = reached
            self._consumer.incremental_assign([TopicPartition(self._topic, partition, reached)])
        elif not begin and reached >= self._next.get(partition, reached):
            self.forget(partition)

    def forget(self, partition: int) -> None:
        """Stop reading the partition."""
        if self._next.pop(partition, None) is not None:
            self._consumer.incremental_unassign([TopicPartition(self._topic, partition)])

    def take(self) -> list[Any]:
        """The messages that have arrived, errors included; never waits."""
        if not self._next:
            return []
        messages: list[Any] = self._consumer.consume(_CHUNK, 0)
        for message in messages:
            if message.error() is None and message.partition() in self._next:
                self._next[message.partition()] = message.offset() + 1
        return messages

    def close(self) -> None:
        """Close the consumer, if there is one."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None
            self._next.clear()
