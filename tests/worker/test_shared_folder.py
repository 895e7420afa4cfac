"""A state folder that several processes of one worker share: a partition that moves takes its table along."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from streams.errors import StreamsError
from streams.offline.verify import verify
from streams.worker import state_folder
from streams.worker.state_folder import StateFolder
from streams.worker.worker import Worker
from support.service.worker_world import PARTITIONS, World, invocations

if TYPE_CHECKING:
    from pathlib import Path


def _step(*workers: Worker) -> None:
    for _ in range(30):
        for worker in workers:
            worker.step()


def _process(world: World, number: int) -> Worker:
    return Worker(world.settings, world.cluster, lambda: world.cluster.now, process=number)


def test_a_partition_moves_with_its_table(tmp_path: Path) -> None:
    """To a second process and back: what is replayed is what was written since, and not the whole changelog."""
    with closing(World(tmp_path, worker_id=None)) as world, closing(StateFolder(world.settings.state_dir)) as folder:
        folder.worker_id(None)
        first = _process(world, 0)
        world.invoke(*invocations(range(20)))
        _step(first)
        second = _process(world, 1)
        _step(second, first)
        assert (len(first.tasks), len(second.tasks)) == (1, PARTITIONS - 1)
        (moved,) = second.tasks.values()
        assert (moved.replay.begin > 0, moved.replay.records) == (True, 0)
        assert moved.file == folder.partition_file(moved.partition)
        world.invoke(*invocations(range(20, 40)))
        _step(first, second)
        second.close()
        _step(first)
        back = first.tasks[moved.partition]
        assert (back.replay.begin > moved.replay.begin, back.replay.records, len(first.tasks)) == (True, 0, PARTITIONS)
        first.close()
        assert len(set(world.signals())) == len(world.signals()) == 40
        assert all(verdict.holds for verdict in verify(world.settings, world.cluster))


def test_a_process_that_stands_still_keeps_its_files_and_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another makes the tables again in files of its own, which go with the partitions."""
    monkeypatch.setattr(state_folder, "_LEFT_WITHIN_S", 0.01)
    with closing(World(tmp_path, worker_id=None)) as world, closing(StateFolder(world.settings.state_dir)) as folder:
        folder.worker_id(None)
        first = _process(world, 0)
        world.invoke(*invocations(range(20)))
        _step(first)
        world.cluster.kill()  # the group takes it for dead, and it knows nothing of that
        second = _process(world, 1)
        _step(second)
        own = {task.file.name for task in second.tasks.values()}
        assert own == {f"partition-{partition}.of-1.sqlite3" for partition in range(PARTITIONS)}
        assert sum(task.running_table.row_total() for task in second.tasks.values()) == 20
        second.close()
        assert not list(tmp_path.rglob("*.of-*"))
        for task in first.tasks.values():
            task.close()
        third = _process(world, 2)
        _step(third)
        assert {task.file for task in third.tasks.values()} == {folder.partition_file(p) for p in range(PARTITIONS)}
        third.close()
        assert all(verdict.holds for verdict in verify(world.settings, world.cluster))


def test_the_kept_id_of_a_process_ends_with_its_number(tmp_path: Path) -> None:
    """It is the same at each start, and no other's; a given one is the process's own already."""
    with closing(StateFolder(tmp_path)) as folder:
        kept = folder.worker_id(None)
        for _ in range(2):
            with closing(StateFolder(tmp_path, 1)) as process:
                assert (process.worker_id(None), process.worker_id("w-1")) == (f"{kept}-1", "w-1")


def test_a_folder_is_not_taken_while_a_process_of_another_worker_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that has lost its supervisor may still write; once it is gone, what it had of its own is removed."""
    monkeypatch.setattr(state_folder, "_ENDS_WITHIN_S", 0.05)
    StateFolder(tmp_path).close()
    own = tmp_path / "partition-3.of-1.sqlite3"
    with closing(StateFolder(tmp_path, 1)):
        own.touch()
        with pytest.raises(StreamsError, match="in use by another worker"):
            StateFolder(tmp_path)
        with pytest.raises(StreamsError, match="in use by another worker"):
            StateFolder(tmp_path, 1)
    StateFolder(tmp_path).close()
    assert not own.exists()
