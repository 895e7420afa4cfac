"""Objects, and what batches hold of them, by a whole worker: whatever it dies of, and from the changelog alone."""

from __future__ import annotations

import shutil
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from streams.config import Topic
from streams.model import (
    Act,
    Action,
    ControlBatch,
    ControlOperation,
    Filter,
    Invocation,
    Invoke,
    ReleaseHeld,
    ReportTransition,
    StartBatch,
    Status,
)
from support.worker_world import World

if TYPE_CHECKING:
    from pathlib import Path

OBJECTS, EACH = 6, 5
SOON = 5_000
ALL = Filter(match_all=True)


def _id(key: int, number: int) -> str:
    return f"cart/{key}~{number}"


def _loaded(world: World) -> None:
    """Objects with full inboxes, schedules that come due, and a slow batch that is about to kill all of it."""
    for number in range(EACH):
        for key in range(OBJECTS):
            world.invoke(Invoke(Invocation(_id(key, number), "cart", "add", str(key)), payload=b"p"))
    for number in range(4):
        world.invoke(Invoke(Invocation(f"later-{number}", "mail", "send"), world.cluster.now + SOON))
    world.run_until_idle()
    world.send(StartBatch("b", Action.KILL, ALL, max_rate=0.001), key="b")
    world.run_until_idle()


def _freed(world: World) -> None:
    """All objects are freed, and what is scheduled comes due, while the batch runs."""
    for key in range(OBJECTS):
        done = ReportTransition(_id(key, 0), 1, to=Status.COMPLETED) if key % 2 else Act(_id(key, 0), Action.KILL)
        world.send(done, key=f"cart/{key}")
    world.pass_time(SOON)
    world.run_until_idle()


def _starts(world: World) -> Counter[str]:
    return Counter(name for name, kind, *_ in world.signals() if kind == "START")


@pytest.mark.parametrize("deaths", [(), (30, 70, 110, 140), (55, 56, 90, 125, 126)])
@pytest.mark.parametrize("operation", [ControlOperation.PAUSE, ControlOperation.ABORT])
def test_what_is_held_is_let_go_once_whatever_the_worker_dies_of(
    operation: ControlOperation, deaths: tuple[int, ...], tmp_path: Path
) -> None:
    """Nothing starts before, and then one of each object."""
    world = World(tmp_path)
    for step in deaths:
        world.cluster.faults.crash_at(step)
    with closing(world):
        _loaded(world)
        _freed(world)
        first = Counter(_id(key, 0) for key in range(OBJECTS))
        assert _starts(world) == first
        world.send(ControlBatch("b", operation), key="b")
        world.run_until_idle()
        world.cluster.faults.cancel()
        assert world.deaths == len(deaths)
        second = Counter(_id(key, 1) for key in range(OBJECTS))
        assert _starts(world) == first + second + Counter(f"later-{number}" for number in range(4))
        assert Counter(world.statuses().values())["PENDING"] == OBJECTS * (EACH - 2)
        world.assert_log_and_changelog_agree()


def test_a_mark_is_restored_from_the_changelog(tmp_path: Path) -> None:
    """Another worker, with nothing but the topics, holds what was held, and lets it go by pages in the log."""
    world = World(tmp_path)
    with closing(world):
        _loaded(world)
        _freed(world)
        before = _starts(world)
    shutil.rmtree(world.settings.state_dir)
    with closing(world):
        world.run_until_idle()
        world.pass_time(SOON)
        world.run_until_idle()
        assert _starts(world) == before
        world.send(ControlBatch("b", ControlOperation.ABORT), key="b")
        world.run_until_idle()
        assert _starts(world).total() == before.total() + OBJECTS + 4
        assert any(isinstance(command, ReleaseHeld) for command in world.published(Topic.COMMANDS))
        world.assert_log_and_changelog_agree()


def test_pages_done_ahead_start_nothing_that_is_to_be_killed(tmp_path: Path) -> None:
    """Two partitions take turns with their pages; of each object the first has started, and no other."""
    world = World(tmp_path)
    objects, each = 300, 8
    with closing(world):
        for number in range(each):
            for key in range(objects):
                world.invoke(Invoke(Invocation(_id(key, number), "cart", "add", str(key))))
        world.run_until_idle()
        world.send(StartBatch("k", Action.KILL, ALL), key="k")
        ahead = 0
        for _ in range(40):
            world._alive().step()
            ahead += world._alive()._ahead is not None
            world.cluster.now += 1
        world.run_until_idle()
        assert ahead
        assert set(world.statuses().values()) == {"KILLED"}
        assert _starts(world) == Counter(_id(key, 0) for key in range(objects))
        world.assert_log_and_changelog_agree()
