"""A table that is made again from its changelog: when it is, and when its changelog does not suffice."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from streams.errors import StreamsError
from streams.model import Invocation, Invoke
from streams.offline.export import restored
from streams.offline.verify import verify
from streams.worker import takeover
from streams.worker.takeover import Takeover
from streams.worker.worker import Worker
from support.service.worker_world import World, invocations

if TYPE_CHECKING:
    from pathlib import Path


DAY_MS = 24 * 3_600_000


def _state(world: World) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in world.settings.state_dir.glob("*.sqlite3")}


def _put_back(world: World, kept: dict[str, bytes]) -> None:
    """Stop the worker, and make its folder what it was."""
    world.close()
    for file in world.settings.state_dir.glob("*.sqlite3*"):
        file.unlink()
    for name, content in kept.items():
        (world.settings.state_dir / name).write_bytes(content)


def _trim(world: World, left: int) -> None:
    """Delete the changelog but for so many records of each partition."""
    for log in world.cluster.topics[world.changelog].logs:
        log.trim(log.end - left)


def test_a_trimmed_log_without_a_table_stops_the_worker(tmp_path: Path) -> None:
    """What is deleted cannot be replayed: the worker says so instead of starting in the middle."""
    with closing(World(tmp_path)) as world:
        world.invoke(*invocations(range(20)))
        for log in world.cluster.topics[world.commands].logs:
            log.trim(3)
        assert "its beginning was deleted" in world.refusal()


@pytest.mark.parametrize("left", [1, 0])
def test_a_changelog_without_its_beginning_stops_whoever_needs_that(world: World, left: int) -> None:
    """The rest of it would be taken for the whole table, and what is not in it be lost; not Kafka's words for it."""
    _trim(world, left)
    world.run_until_idle()
    assert len(world.statuses()) == 20  # its own table is whole
    world.close()
    _trim(world, left)  # the takeover has written there, too
    kept = _state(world)
    _put_back(world, {})
    said = f"the beginning of {world.changelog} has been deleted, and a table cannot be made from the rest"
    assert said in world.refusal()
    world.close()
    world.cluster.kill()
    with pytest.raises(StreamsError, match=said):
        list(verify(world.settings, world.cluster))
    with pytest.raises(StreamsError, match=said), restored(world.settings, world.cluster, force=True):
        pass
    _put_back(world, kept)
    world.run_until_idle()
    assert len(world.statuses()) == 20


def test_a_table_that_could_not_be_created_again_is_not_thrown_away(world: World) -> None:
    """It may lack tombstones, and stays for whoever is to look into it."""
    kept = _state(world)
    _trim(world, 1)
    world.invoke(*invocations(range(20, 30)))
    world.run_until_idle()
    _put_back(world, kept)
    world.pass_time(13 * 3_600_000)
    assert "has been deleted, and a table cannot be made from the rest" in world.refusal()
    world.close()
    assert all(file.stat().st_size >= len(kept[file.name]) for file in world.settings.state_dir.glob("*.sqlite3"))
    with sqlite3.connect(world.settings.state_dir / "partition-0.sqlite3") as db:
        assert db.execute("SELECT changelog_position FROM state").fetchone()[0] > 0
    db.close()


def test_a_beginning_that_is_deleted_meanwhile_stops_the_worker(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the question where it begins and the reading."""
    _put_back(world, {})

    def deleted(*_: object) -> None:
        for log in world.cluster.topics[world.changelog].logs:
            log.trim(log.end)

    monkeypatch.setattr(takeover, "check_store", deleted)
    assert f"the beginning of {world.changelog} has been deleted" in world.refusal()


def test_a_store_older_than_half_the_tombstones_life_is_rebuilt(world: World) -> None:
    """Behind and old: a tombstone it has not seen may be gone, so the table is made from the start."""
    kept = _state(world)
    world.invoke(*invocations(range(20, 30)))
    world.run_until_idle()
    _put_back(world, kept)
    world.pass_time(13 * 3_600_000)
    world.run_until_idle()
    assert world.worker is not None
    assert all(task.replay.begin == 0 for task in world.worker.tasks.values())
    assert len(world.statuses()) == 30


def _set_saved_at(world: World, saved_at: int) -> None:
    for file in world.settings.state_dir.glob("*.sqlite3"):
        with closing(sqlite3.connect(file)) as db:
            db.execute("UPDATE state SET saved_at = ?", (saved_at,))
            db.commit()


@pytest.mark.parametrize("late", [False, True])
def test_a_wrong_clock_does_not_hide_how_old_a_store_is(world: World, *, late: bool) -> None:
    """The worker's was three days ahead when the store was written, or is late now: the log's own time says it."""
    kept = _state(world)
    began = world.wall_clock()
    world.pass_time(13 * 3_600_000)
    world.invoke(*invocations(range(20, 30)))
    world.run_until_idle()
    _put_back(world, kept)
    _set_saved_at(world, began if late else world.wall_clock() + 3 * DAY_MS)
    world.broker_ahead += world.wall_clock() - began if late else 0
    world.run_until_idle()
    world.broker_ahead = 0
    assert world.worker is not None
    assert all(task.replay.begin == 0 for task in world.worker.tasks.values())
    assert len(world.statuses()) == 30
    world.assert_log_and_changelog_agree()


def test_a_late_clock_costs_no_table_that_could_not_be_made_again(world: World) -> None:
    """It is given up by name, and stays as it was."""
    kept = _state(world)
    began = world.wall_clock()
    _trim(world, 5)
    world.pass_time(13 * 3_600_000)
    world.invoke(*invocations(range(20, 30)))
    world.run_until_idle()
    _put_back(world, kept)
    _set_saved_at(world, began)
    world.broker_ahead += world.wall_clock() - began
    assert "has been deleted, and a table cannot be made from the rest" in world.refusal()
    world.close()
    with closing(sqlite3.connect(world.settings.state_dir / "partition-0.sqlite3")) as db:
        assert db.execute("SELECT saved_at FROM state").fetchone() == (began,)
        assert db.execute("SELECT count(*) FROM rows").fetchone()[0] > 0


def test_a_partition_that_begins_its_life_at_another_worker_is_not_rebuilt(world: World) -> None:
    """Or goes on after days of rest: a table is as old as its last commit, with or without commands."""
    for hours in (0, 72):
        world.pass_time(hours * 3_600_000)
        world.run_until_idle()
        world.close()
        world.run_until_idle()
        world.close()
        kept = _state(world)
        world.pass_time(3_600_000)
        world.invoke(*invocations(range(10), f"after-{hours}"))
        world.run_until_idle()
        _put_back(world, kept)
        world.run_until_idle()
        assert world.worker is not None
        assert all(task.replay.begin > 0 for task in world.worker.tasks.values())


def test_an_idle_partition_is_not_rebuilt_however_long_it_had_nothing_to_do(world: World) -> None:
    """Of a whole table only the marker of the last transaction is missing, and that is no tombstone."""
    world.pass_time(13 * 3_600_000)
    world.run_until_idle()
    assert world.worker is not None
    assert all(task.replay.begin > 0 for task in world.worker.tasks.values())
    assert len(world.statuses()) == 20


def test_a_restore_that_was_not_finished_is_as_old_as_where_it_began(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has saved on the way has not seen the tombstones behind that."""
    apply = Takeover._apply
    kept = _state(world)
    for number in range(20, 30):
        world.invoke(Invoke(Invocation(f"i-{number}", "orders", "run")))
        world.run_until_idle()
    _put_back(world, kept)
    world.pass_time(11 * 3_600_000)
    with monkeypatch.context() as patched:
        patched.setattr(takeover, "_SAVE_EVERY", 1)
        patched.setattr(Takeover, "_apply", lambda self, task, records: apply(self, task, records[:1]))
        patched.setattr(Takeover, "_reached", lambda *_: False)
        unfinished = Worker(world.settings, world.cluster, lambda: world.cluster.now)
        for _ in range(20):
            unfinished.step()
        for task in unfinished.tasks.values():
            replay = task.replay
            assert 0 < replay.begin < task.store.changelog_position == replay.position < replay.target - 1
        unfinished.close()
    world.pass_time(2 * 3_600_000)
    world.run_until_idle()
    assert world.worker is not None
    assert all(task.replay.begin == 0 for task in world.worker.tasks.values())
    assert len(world.statuses()) == 30
