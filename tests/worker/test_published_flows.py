"""The topic `flows`: how often a flow is published, and that its newest state always is."""

from __future__ import annotations

from contextlib import closing
from shutil import rmtree
from typing import TYPE_CHECKING

import pytest

from streams.config import Topic
from streams.model import Invocation, Invoke
from streams.protocol.routing import partition_of
from streams.worker.flow_outlet import EVERY_MS
from streams.worker.task import RETENTION_CHECK_MS
from support.service.flow_world import kill, members, newest, numbers, published, settle
from support.service.worker_world import PARTITIONS, World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A worker with two partitions."""
    with closing(World(tmp_path)) as made:
        yield made


def test_a_flow_is_published_five_times_a_second_and_its_newest_state_in_the_end(world: World) -> None:
    """However fast it changes, and also when nothing happens any more."""
    world.run_until_idle()
    began = world.cluster.now
    joined = 0
    while world.cluster.now < began + 2_000:
        world.invoke(*members(1, prefix=f"i{joined}"))
        joined += 1
        world._alive().step()
        world.cluster.now += 7
    during = len(published(world))
    assert 8 <= during <= 2_000 / EVERY_MS + 1
    settle(world)
    assert newest(world)["f"].members == joined
    assert len(published(world)) <= during + 2
    revisions = [each.revision for each in published(world)]
    assert revisions == sorted(set(revisions))
    world.assert_log_and_changelog_agree()


@pytest.mark.parametrize("end", ["dies", "loses its tables", "stops"])
def test_what_was_held_back_is_published_after_a_death_and_before_a_stop(end: str, world: World) -> None:
    """A state that came too soon after the one before it is not lost."""
    world.invoke(*members(1))
    world.run_until_idle()
    world.invoke(*members(2, prefix="j"))
    world.run_until_idle()
    assert newest(world)["f"].members < 3
    if end == "stops":
        world._alive().finish_ahead()
        world.close()
    else:
        world.die()
        if end == "loses its tables":
            rmtree(world.settings.state_dir)
        world.run_until_idle()
    assert newest(world)["f"].members == 3
    settle(world)
    world.assert_log_and_changelog_agree()


def test_children_are_not_published_and_many_flows_are(world: World) -> None:
    """A flow for each request is a record for each, at its own partition of the topic."""
    world.invoke(*(each for n in range(100) for each in members(2, f"f{n}", f"i{n}")))
    world.invoke(*(Invoke(Invocation(f"c{n}", "orders", "run", parent_id=f"i{n}-0")) for n in range(100)))
    settle(world)
    assert {name: each.members for name, each in newest(world).items()} == {f"f{n}": 2 for n in range(100)}
    for partition in range(PARTITIONS):
        for record in world.cluster.records(world.settings.topic(Topic.FLOWS), partition):
            assert partition_of((record.key or b"").decode(), PARTITIONS) == partition


def test_a_flow_that_is_forgotten_leaves_nothing(tmp_path: Path) -> None:
    """A Tick is written when its time has come, and its record gets a tombstone."""
    with closing(World(tmp_path, retention_ms=100_000, batch_retention_ms=1_000_000)) as world:
        world.invoke(*members(10))
        world.run_until_idle()
        world.send(kill(), key="f")
        settle(world)
        assert numbers(newest(world)["f"]) == ("CANCELLED", 0, 0, 10, 0, 0)
        world.pass_time(1_000_000)
        for _ in range(3):
            world.pass_time(RETENTION_CHECK_MS)
            world.run_until_idle()
        assert newest(world) == {}
        keys = {key for task in world._alive().tasks.values() for key, _ in task.store.dump()}
        assert {key.partition("/")[0] for key in keys} <= {"m"}
        world.assert_log_and_changelog_agree()
