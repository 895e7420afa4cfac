"""What the rebalance relies on: who is told what, in which order."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from confluent_kafka import KafkaError, TopicPartition

from support.kafka.broker_world import error_of

if TYPE_CHECKING:
    from support.kafka.broker_world import World


class Told:
    """A member that notes what its callbacks say."""

    def __init__(self, world: World, group: str, topic: str, **conf: Any) -> None:
        self.events: list[tuple[str, list[int]]] = []
        self.consumer = world.consumer(group, **conf)
        self.consumer.subscribe(
            [topic],
            on_assign=lambda _, partitions: self._note("assigned", partitions),
            on_revoke=lambda _, partitions: self._note("revoked", partitions),
            on_lost=lambda _, partitions: self._note("lost", partitions),
        )

    def _note(self, what: str, partitions: list[TopicPartition]) -> None:
        self.events.append((what, sorted(each.partition for each in partitions)))

    @property
    def owned(self) -> list[int]:
        """What it reads, after one look at what the group says."""
        self.consumer.consume(1, 0.01)
        return sorted(each.partition for each in self.consumer.assignment())

    @property
    def told(self) -> list[tuple[str, list[int]]]:
        """What it was told, but for empty lists: they come whenever anything in the group changes."""
        return [event for event in self.events if event[1]]


def test_joining_moves_only_what_must_move(world: World) -> None:
    """A second member gets its share when the first has let go of it, and the first keeps the rest throughout."""
    topic, group = world.topic(4), uuid4().hex
    first = Told(world, group, topic)
    world.until(lambda: first.owned == [0, 1, 2, 3])
    second = Told(world, group, topic)
    world.until(lambda: (first.owned, len(second.owned) == 2)[1])
    (what, moved) = first.told[1]
    assert first.told[0] == ("assigned", [0, 1, 2, 3])
    assert what == "revoked"
    assert second.told == [("assigned", moved)]
    assert first.owned == sorted({0, 1, 2, 3} - set(moved))


def test_leaving_gives_back(world: World) -> None:
    """A member that closes revokes what it had, and the other one gets it."""
    topic, group = world.topic(2), uuid4().hex
    first, second = Told(world, group, topic), Told(world, group, topic)
    world.until(lambda: [len(each.owned) for each in (first, second)] == [1, 1])
    had = second.owned
    second.consumer.close()
    assert second.told[-1] == ("revoked", had)
    world.until(lambda: first.owned == [0, 1])


@pytest.mark.durable
def test_lost_partitions(world: World) -> None:
    """A member that the group has given up is told on_lost, not on_revoke, and its metadata commits nothing."""
    topic, group = world.topic(), uuid4().hex
    member, producer = Told(world, group, topic), world.producer()
    world.until(lambda: member.owned == [0])
    if world.fake is not None:
        world.fake.kill([member.consumer])
    else:
        time.sleep(7)  # longer than max.poll.interval.ms
    producer.begin_transaction()
    metadata = member.consumer.consumer_group_metadata()
    error = error_of(lambda: producer.send_offsets_to_transaction([TopicPartition(topic, 0, 1)], metadata, 30))
    assert (error.code(), error.txn_requires_abort()) == (KafkaError.UNKNOWN_MEMBER_ID, True)
    producer.abort_transaction(30)
    world.until(lambda: (member.consumer.consume(1, 0.1), len(member.told) == 3)[1])
    assert member.told == [("assigned", [0]), ("lost", [0]), ("assigned", [0])]


def test_static_members_come_back(world: World) -> None:
    """A member with a group.instance.id that closes and comes back has its partitions again, and no other is told."""
    topic, group = world.topic(2), uuid4().hex
    other = Told(world, group, topic, group_instance_id="other")
    member = Told(world, group, topic, group_instance_id="member")
    world.until(lambda: [len(each.owned) for each in (other, member)] == [1, 1])
    had, told = member.owned, list(other.told)
    member.consumer.close()
    back = Told(world, group, topic, group_instance_id="member")
    world.until(lambda: (other.owned, back.owned == had)[1])
    assert other.told == told
