"""Signals whose topic is deleted and created again under an executor: none of the new ones is passed over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from confluent_kafka import TopicPartition

from streams.config import Topic
from streams.kafka import topic_ids
from streams.kafka.errors import TopicMissingError
from streams.model import Status
from support.service.executor_world import PARTITIONS, ExecutorWorld

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(autouse=True)
def _asks_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_ids, "EVERY_S", 0.0)


@pytest.fixture
def world() -> ExecutorWorld:
    """An executor that has ended five invocations, and runs two: one partition is at offset 7."""
    made = ExecutorWorld()
    for number in range(7):
        made.start(f"old-{number}", number)
    made.step()
    for number in range(5):
        made.runner.end(made.runner.find(f"old-{number}") if number < 4 else made.runner.active[0])
        made.step()
    return made


def create_again(world: ExecutorWorld) -> None:
    """Delete and create; the group's offsets are put back, as by a member that has not heard of it yet."""
    name = world.settings.topic(Topic.SIGNALS)
    groups = {each: (dict(group.committed), dict(group.metadata)) for each, group in world.cluster.groups.items()}
    world.cluster.delete_topic(name)
    world.cluster.create_topic(name, PARTITIONS)
    for each, (committed, metadata) in groups.items():
        world.cluster.groups[each].committed, world.cluster.groups[each].metadata = committed, metadata


def goes_on(world: ExecutorWorld) -> None:
    """The same life."""
    world.step()


def dies(world: ExecutorWorld) -> None:
    """It is killed before it hears of the new topic; the next life knows it only by what was committed."""
    world.crash()
    world.step()


@pytest.mark.parametrize("then", [goes_on, dies])
@pytest.mark.parametrize("count", [3, 30], ids=["shorter", "outgrown"])
def test_every_signal_of_the_new_topic_is_taken(
    world: ExecutorWorld, count: int, then: Callable[[ExecutorWorld], None]
) -> None:
    """From its first one on, whether the old place lies behind the new end or in the middle of it."""
    create_again(world)
    for number in range(count):
        world.start(f"new-{number}", 100 + number)
    then(world)
    while world.runner.active:
        world.runner.end(world.runner.active[0])
        world.step(1)
    for number in range(count):
        assert world.said(f"new-{number}")[-1:] == [Status.COMPLETED]
        assert world.runner.began[f"new-{number}", 1] == 1
    world.step()
    assert world.committed() == count


def test_what_runs_meanwhile_goes_on_and_is_reported(world: ExecutorWorld) -> None:
    """Nobody else would be told to start it; its end does not count as the end of what has its offset now."""
    create_again(world)
    world.step()
    for number in range(8):
        world.start(f"new-{number}", 100 + number)
    world.step()
    for name in ("old-5", "old-6"):
        assert world.said(name) == [Status.RUNNING]
        world.runner.end(world.runner.find(name))
        world.step()
        assert world.said(name)[-1] is Status.COMPLETED
    assert world.committed() == 0


def test_a_kill_in_the_new_topic_reaches_what_began_by_the_old_one(world: ExecutorWorld) -> None:
    """The run is still known by its seq."""
    create_again(world)
    world.step()
    world.kill("old-5", 5)
    world.step()
    assert "old-5" not in {run.context.invocation.invocation_id for run in world.runner.active}
    assert world.said("old-5") == [Status.RUNNING]
    assert world.committed() == 1


def test_what_was_started_already_is_not_started_again_when_read_again(world: ExecutorWorld) -> None:
    """Read from the old place in the new topic first, and then from its beginning."""
    create_again(world)
    for number in range(10):
        world.start(f"new-{number}", 100 + number)
    executor = world.executor
    assert executor is not None
    group = executor._group
    looks, group._ids.look = group._ids.look, lambda: None  # type: ignore[method-assign]
    world.step()
    began = sum(each.startswith("new") for each, _ in world.runner.began)
    assert 0 < began < 10
    group._ids.look = looks  # type: ignore[method-assign]
    world.step()
    while world.runner.active:
        world.runner.end(world.runner.active[0])
        world.step(1)
    assert {name: times for (name, _), times in world.runner.began.items() if name.startswith("new")} == {
        f"new-{number}": 1 for number in range(10)
    }


def test_partitions_that_go_with_their_topic_take_nothing_along(world: ExecutorWorld) -> None:
    """The group takes them away when it hears of the deletion first: handlers are not asked to leave."""
    executor = world.executor
    assert executor is not None
    group = executor._group
    create_again(world)
    group._on_revoke(group._consumer, [TopicPartition(world.settings.topic(Topic.SIGNALS), 0)])
    assert world.runner.interrupted == []
    group._on_assign(group._consumer, [TopicPartition(world.settings.topic(Topic.SIGNALS), 0)])
    world.kill("old-6", 6)
    world.step()
    assert [run.context.invocation.invocation_id for run in world.runner.active] == ["old-5"]


def test_a_topic_that_is_gone_for_good_ends_it_by_name(world: ExecutorWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, and no code of Kafka's."""
    monkeypatch.setattr(topic_ids, "_GONE_S", 0.0)
    executor = world.executor
    assert executor is not None
    world.cluster.delete_topic(world.settings.topic(Topic.SIGNALS))
    assert executor._group._ids.look() is None  # asks
    with pytest.raises(TopicMissingError, match=r"t\.signals was deleted while the executor ran"):
        executor.step()


def test_what_an_older_version_has_committed_is_taken_over(world: ExecutorWorld) -> None:
    """It did not say of which topic: nothing is run again."""
    world.crash()
    [group] = [each for each in world.cluster.groups.values() if each.committed]
    assert "#" in (group.metadata[world.settings.topic(Topic.SIGNALS), 0] or "")
    group.metadata = {key: (value or "").rpartition("#")[0] for key, value in group.metadata.items()}
    world.step()
    assert {name for name, _ in world.runner.began} == {"old-5", "old-6"}
