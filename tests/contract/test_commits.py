"""Offsets that a consumer commits itself, with a word beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from confluent_kafka import KafkaError, TopicPartition

from support.kafka.broker_world import error_of

if TYPE_CHECKING:
    from support.kafka.broker_world import World


@pytest.mark.parametrize("asynchronous", [False, True])
def test_offset_and_metadata_come_back(world: World, *, asynchronous: bool) -> None:
    """Who takes the partition over reads both; a later commit without metadata removes it."""
    topic, group = world.topic(), uuid4().hex
    member = world.member(group, topic)
    member.commit(offsets=[TopicPartition(topic, 0, 3, "7;0,2")], asynchronous=asynchronous)
    reader = world.consumer(group)
    world.until(lambda: world.committed(reader, topic) == 3)
    assert reader.committed([TopicPartition(topic, 0)], 10)[0].metadata == "7;0,2"
    member.commit(offsets=[TopicPartition(topic, 0, 4)], asynchronous=False)
    assert not reader.committed([TopicPartition(topic, 0)], 10)[0].metadata


def test_a_forgotten_member_commits_nothing(world: World) -> None:
    """After the group has given it up, its offsets are refused."""
    topic, group = world.topic(), uuid4().hex
    member = world.member(group, topic)
    if world.fake is None:
        pytest.skip("a real broker takes a session timeout for that: tested in test_groups")
    world.fake.kill([member])
    error = error_of(lambda: member.commit(offsets=[TopicPartition(topic, 0, 1)], asynchronous=False))
    assert error.code() == KafkaError.UNKNOWN_MEMBER_ID
    assert world.committed(world.consumer(group), topic) < 0
