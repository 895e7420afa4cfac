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
    SliceProgress,
    StartBatch,
    Status,
)
from support.service.worker_world import World

if TYPE_CHECKING:
    from pathlib import Path

OBJECTS, EACH = 6, 5
SOON = 5_000
ALL = Filter(match_all=True)


def _id(key: int, number: int) -> str:
    return f"cart/{key}~{number}"


def _loaded(world: World, filter_: Filter = ALL) -> None:
    """Objects with full inboxes, schedules that come due, and a slow batch that is about to kill all of it."""
    for number in range(EACH):
        for key in range(OBJECTS):
            world.invoke(Invoke(Invocation(_id(key, number), "cart", "add", str(key)), payload=b"p"))
    for number in range(4):
        world.invoke(Invoke(Invocation(f"later-{number}", "mail", "send"), world.cluster.now + SOON))
    world.run_until_idle()
    world.send(StartBatch("b", Action.KILL, filter_, max_rate=0.001), key="b")
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
            ahead += world._alive().pipeline.next_turn is not None
            world.cluster.now += 1
        world.run_until_idle()
        assert ahead
        assert set(world.statuses().values()) == {"KILLED"}
        assert _starts(world) == Counter(_id(key, 0) for key in range(objects))
        world.assert_log_and_changelog_agree()


def _held(world: World) -> int:
    """What the newest record of each slice of the batch says, all partitions together."""
    newest: dict[int, SliceProgress] = {}
    for record in world.published(Topic.BATCH_SLICES):
        if isinstance(record, SliceProgress) and record.batch_id == "b":
            assert record.partition not in newest or record.revision >= newest[record.partition].revision
            newest[record.partition] = record
    return sum(record.held for record in newest.values())


@pytest.mark.parametrize(
    "filter_", [ALL, Filter(invocation_ids=tuple(sorted(_id(k, n) for k in range(6) for n in range(5))))]
)
def test_held_work_is_counted_in_progress(filter_: Filter, tmp_path: Path) -> None:
    """What waits is told while it waits: as it is held, as pages come, and none when the batch lets go."""
    with closing(World(tmp_path)) as world:
        _loaded(world, filter_)
        assert _held(world) == 0
        _freed(world)
        worker = world.worker
        assert worker is not None
        rows = [row for task in worker.tasks.values() for row in task.running_table.held(-1, 100)]
        assert len(rows) > OBJECTS / 2
        assert _held(world) == len(rows)
        assert sum(task.running_table.held_rows() for task in worker.tasks.values()) == len(rows)
        world.send(ControlBatch("b", ControlOperation.SET_RATE, max_rate=3.0, control_no=1), key="b")
        left = []
        for _ in range(20):
            world.pass_time(1_000)
            world.run_until_idle()
            left.append(_held(world))
            held = sum(len(task.running_table.held(-1, 100)) for task in worker.tasks.values())
            assert left[-1] == held
        assert len(set(left)) > 2
        assert left[-1] == 0


def test_many_held_rows_are_counted_less_often(tmp_path: Path) -> None:
    """A count takes as long as there are held rows, so it stands for more turns."""
    with closing(World(tmp_path)) as world:
        world.send(StartBatch("other", Action.KILL, Filter(services=("nobody",)), max_rate=0.001), key="b")
        world.invoke(
            *(Invoke(Invocation(f"later-{n}", "mail", "send"), world.cluster.now + SOON) for n in range(1_200))
        )
        world.run_until_idle()
        world.send(StartBatch("b", Action.KILL, Filter(services=("mail",)), max_rate=0.001), key="b")
        world.run_until_idle()
        world.pass_time(SOON)
        world.run_until_idle()
        worker = world.worker
        assert worker is not None
        counts = [task.running_table._batches.held for task in worker.tasks.values()]
        asked: list[str] = []
        for task in worker.tasks.values():
            task.store.db.set_trace_callback(lambda sql: asked.append(sql) if "held = 1" in sql else None)
        for number in range(12):
            world.invoke(*(Invoke(Invocation(f"now-{number}-{n}", "orders", "run")) for n in range(8)))
            world.run_until_idle()
        assert sum(count.total for count in counts) >= 1_199
        assert 0 < len(asked) < 12 * 2 * len(counts)
