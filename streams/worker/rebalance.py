"""The changes of assignment by the group's coordinator since the last turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from confluent_kafka import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Sequence


class Rebalance:
    """Callbacks that only take notes; the loop acts on the notes between turns.

    A partition arrives paused at offset 0 and reads nothing until it is restored and sought.
    """

    def __init__(self) -> None:
        self.assigned: set[int] = set()
        self.revoked: set[int] = set()
        self.lost: set[int] = set()
        self.member = ""
        """The group's name for this consumer, as it was when it got its first partition; empty while it has none."""
        self._held: set[int] = set()

    def on_assign(self, consumer: Any, partitions: Sequence[TopicPartition]) -> None:
        """Note new partitions, paused until they are taken over."""
        placed = [TopicPartition(tp.topic, tp.partition, 0) for tp in partitions]
        consumer.incremental_assign(placed)
        if placed:
            consumer.pause(placed)
        came = {tp.partition for tp in placed}
        self.assigned |= came
        if came and not self._held:
            self.member = consumer.memberid()
        self._held |= came

    def on_revoke(self, consumer: Any, partitions: Sequence[TopicPartition]) -> None:
        """Note partitions given up in good order: the last turn is committed."""
        consumer.incremental_unassign(list(partitions))
        self.revoked |= self._gone(partitions)

    def on_lost(self, consumer: Any, partitions: Sequence[TopicPartition]) -> None:
        """Note partitions that belong to another worker already.

        Always registered: without it librdkafka calls the revoke callback, and a zombie believes that it is in time.
        """
        consumer.incremental_unassign(list(partitions))
        self.lost |= self._gone(partitions)

    def left(self) -> None:
        """Forget everything: the consumer has left the group."""
        self.take()
        self._held.clear()
        self.member = ""

    def _gone(self, partitions: Sequence[TopicPartition]) -> set[int]:
        gone = {tp.partition for tp in partitions}
        self.assigned -= gone
        self._held -= gone
        if not self._held:
            self.member = ""
        return gone

    def take(self) -> tuple[set[int], set[int], set[int]]:
        """(assigned, revoked, lost) since the last call."""
        noted = self.assigned, self.revoked, self.lost
        self.assigned, self.revoked, self.lost = set(), set(), set()
        return noted
