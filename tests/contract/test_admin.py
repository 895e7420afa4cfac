"""What the start-up checks rely on: ids, partitions, settings, what is missing."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from confluent_kafka import KafkaError, TopicCollection, TopicPartition
from confluent_kafka.admin import ConfigResource, NewTopic

from support.kafka.broker_world import EARLIEST, LATEST, error_of

if TYPE_CHECKING:
    from support.kafka.broker_world import World

GETTING_READY = {
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
}


def test_topics_are_described(world: World) -> None:
    """A topic's id, partitions and settings can be asked for."""
    topic = world.topic(3, message_timestamp_type="LogAppendTime")
    described = world.admin.describe_topics(TopicCollection([topic]))[topic].result(30)
    assert (described.name, len(described.partitions)) == (topic, 3)
    (settings,) = world.admin.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, topic)]).values()
    found = settings.result(30)
    assert found["message.timestamp.type"].value == "LogAppendTime"
    assert found["cleanup.policy"].value == "delete"
    assert int(found["delete.retention.ms"].value) == 86_400_000


@pytest.mark.durable
def test_topic_created_again_has_another_id(world: World) -> None:
    """A topic that was deleted and created again under its name has another id."""
    ids = []
    topic = world.topic()
    for _ in range(2):
        described = world.until(
            lambda: _described(world, topic)  # metadata may lag behind for a moment
        )
        ids.append(str(described.topic_id))
        world.admin.delete_topics([topic])[topic].result(30)
        world.until(lambda: not _described(world, topic))
        world.admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
    assert ids[0] != ids[1]


@pytest.mark.durable
def test_missing_topics(world: World) -> None:
    """What is asked about a topic that does not exist fails with a code of its own."""
    missing = "contract-missing"
    asked = [
        world.admin.describe_topics(TopicCollection([missing]))[missing],
        *world.admin.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, missing)]).values(),
    ]
    for future in asked:
        assert error_of(partial(future.result, 30)).code() == KafkaError.UNKNOWN_TOPIC_OR_PART
    (offsets,) = world.admin.list_offsets({TopicPartition(missing, 0): LATEST}).values()
    assert error_of(lambda: offsets.result(30)).code() == KafkaError._NOENT
    found = world.admin.list_topics(missing, 10).topics[missing]
    assert found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART


def test_creating_twice(world: World) -> None:
    """A topic that exists cannot be created again."""
    topic = world.topic()
    error = error_of(lambda: world.admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30))
    assert error.code() == KafkaError.TOPIC_ALREADY_EXISTS


def test_earliest_after_trimming(world: World) -> None:
    """The earliest offset is where the log starts."""
    topic = world.topic()
    world.commit(world.producer(), topic, b"one", b"two")
    for future in world.admin.delete_records([TopicPartition(topic, 0, 1)]).values():
        future.result(30)
    (earliest,) = world.admin.list_offsets({TopicPartition(topic, 0): EARLIEST}).values()
    assert earliest.result(30).offset == 1


def test_members_of_a_group(world: World) -> None:
    """A group has the members that are in it; one that nobody was ever in has none, or is not found."""
    topic, group = world.topic(), uuid4().hex
    world.until(lambda: _members(world, group) == 0)
    member = world.member(group, topic)
    assert _members(world, group) == 1
    member.close()
    world.until(lambda: _members(world, group) == 0)


def _members(world: World, group: str) -> int | None:
    """How many there are; None while a fresh broker makes itself ready to tell."""
    future = world.admin.describe_consumer_groups([group])[group]
    if (failed := future.exception(30)) is None:
        return len(future.result().members)
    code = failed.args[0].code()
    assert code in {KafkaError.GROUP_ID_NOT_FOUND, *GETTING_READY}
    return 0 if code == KafkaError.GROUP_ID_NOT_FOUND else None


def _described(world: World, topic: str) -> object:
    future = world.admin.describe_topics(TopicCollection([topic]))[topic]
    return None if future.exception(30) else future.result()
