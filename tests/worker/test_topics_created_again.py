"""A topic that is deleted, or created again, under a running worker: it ends and names it, and nothing is skipped."""

from __future__ import annotations

import pytest

from streams.config import Topic
from streams.errors import StreamsError
from streams.kafka import topic_ids
from support.kafka.fake_log import DEFAULT_CONFIG
from support.service.worker_world import PARTITIONS, World, invocations


@pytest.fixture
def world(running: World) -> World:
    """Its worker runs."""
    return running


def _create_again(world: World, topic: Topic) -> None:
    """As an operator does: delete, create; the group's offsets are what a member that goes on commits again."""
    name = world.settings.topic(topic)
    committed = {each: dict(group.committed) for each, group in world.cluster.groups.items()}
    world.cluster.delete_topic(name)
    world.cluster.create_topic(name, PARTITIONS, DEFAULT_CONFIG | {"message.timestamp.type": "LogAppendTime"})
    for each, offsets in committed.items():
        world.cluster.groups[each].committed.update(offsets)


def _frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker has stood still: no answer that it has is fresh."""
    monkeypatch.setattr(topic_ids, "FRESH_S", 0.0)


def _ends(world: World) -> str:
    """What the worker ends with."""
    worker = world.worker
    assert worker is not None
    for _ in range(100_000):
        try:
            worker.step()
        except StreamsError as error:
            return str(error)
    raise AssertionError("it never ends")


@pytest.mark.parametrize("topic", [Topic.COMMANDS, Topic.CHANGELOG])
def test_an_idle_worker_finds_a_topic_created_again(
    world: World, topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any traffic, and with the topic's name and both ids."""
    monkeypatch.setattr(topic_ids, "EVERY_S", 0.0)
    was = world.cluster.topics[world.settings.topic(topic)].id
    _create_again(world, topic)
    said = _ends(world)
    now = world.cluster.topics[world.settings.topic(topic)].id
    assert f"topic {world.settings.topic(topic)} was created again while the worker ran" in said
    assert f"its topic id was {was} and is {now}" in said


@pytest.mark.parametrize("count", [3, 100], ids=["the new log is shorter", "it has outgrown the old place"])
def test_nothing_of_a_new_log_is_applied_from_the_old_place(
    world: World, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker had stood still meanwhile: it goes on at its old offset, which is in the middle of another log."""
    _frozen(monkeypatch)
    _create_again(world, Topic.COMMANDS)
    world.invoke(*invocations(range(100, 100 + count)))
    written = world.published_count(Topic.CHANGELOG)
    assert "commands was created again while the worker ran" in _ends(world)
    assert world.published_count(Topic.CHANGELOG) == written


def test_nothing_is_written_into_a_new_changelog(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would hold the newest rows only, and the next restore would take it for the whole table."""
    _frozen(monkeypatch)
    _create_again(world, Topic.CHANGELOG)
    world.invoke(*invocations(range(100, 110)))
    assert "changelog was created again while the worker ran" in _ends(world)
    assert world.published_count(Topic.CHANGELOG) == 0


def test_a_partition_that_comes_later_is_compared_with_the_topics_as_they_are(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the worker learned when it started says nothing of the offsets that it is told at a takeover."""
    _frozen(monkeypatch)
    worker = world.worker
    assert worker is not None
    _create_again(world, Topic.CHANGELOG)
    worker._claim_all()
    assert "changelog was created again while the worker ran" in _ends(world)


@pytest.mark.parametrize("topic", [Topic.COMMANDS, Topic.CHANGELOG])
def test_a_topic_that_is_gone_is_named(world: World, topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deleted and not created again: not a word of deleted records, or of an error without a name."""
    monkeypatch.setattr(topic_ids, "EVERY_S", 0.0)
    monkeypatch.setattr(topic_ids, "_GONE_S", 0.0)
    world.cluster.delete_topic(world.settings.topic(topic))
    if topic is Topic.COMMANDS:  # nothing can be read of it in memory, where a real client says so in a message
        worker = world.worker
        assert worker is not None
        with pytest.raises(StreamsError, match="commands was deleted while the worker ran"):
            worker.connections.watch.explain()
    else:
        assert "changelog was deleted while the worker ran" in _ends(world)


def test_a_topic_that_is_unknown_for_a_moment_ends_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that has just come up may not know it yet."""
    monkeypatch.setattr(topic_ids, "EVERY_S", 0.0)
    name = world.settings.topic(Topic.CHANGELOG)
    topic = world.cluster.topics.pop(name)
    worker = world.worker
    assert worker is not None
    for _ in range(100):
        worker.step()
    world.cluster.topics[name] = topic
    world.invoke(*invocations(range(100, 110)))
    world.run_until_idle()
    assert len(world.statuses()) == 30
