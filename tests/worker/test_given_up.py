"""A partition that cannot go on is given up by itself: the others go on, and it is taken up again when it can."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from streams.config import Topic
from streams.errors import PartitionError
from streams.protocol.routing import partition_of
from streams.worker.observer import WorkerObserver
from streams.worker.task import Phase
from streams.worker.worker import Worker
from support.service.worker_world import PARTITIONS, World, invocations

if TYPE_CHECKING:
    from collections.abc import Callable

BAD, GOOD = 0, 1


def _moved_offset(world: World) -> Callable[[], None]:
    """Somebody has moved the group's offset."""
    committed = world.cluster.group(world.settings.group_id).committed
    committed[world.settings.topic(Topic.COMMANDS), BAD] += 3

    def right() -> None:
        committed[world.settings.topic(Topic.COMMANDS), BAD] -= 3

    return right


def test_the_others_go_on_and_it_is_tried_again(world: World) -> None:
    """What is wrong is told by name in health and metrics; once it is right, nothing has been lost or done twice."""
    right = _moved_offset(world)
    world.invoke(*invocations(range(20), "later"))
    observer = WorkerObserver(lambda: world.cluster.now)
    with closing(Worker(world.settings, world.cluster, lambda: world.cluster.now, observer)) as worker:
        for _ in range(20):
            worker.step()
        assert {p: task.phase for p, task in worker.tasks.items()} == {BAD: Phase.GIVEN_UP, GOOD: Phase.RUNNING}
        here = [n for n in range(20) if partition_of(f"later-{n}", PARTITIONS) == GOOD]
        assert worker.applied == len(here) > 0
        verdict = observer.ready()
        assert not verdict.ok
        assert "1 of 2 partitions cannot go on" in json.dumps(verdict.body)
        assert f"partition {BAD}: " in verdict.body["given_up"][str(BAD)]
        faults = {s.labels["fault"]: s.value for m in observer.collect() for s in m.samples if "fault" in s.labels}
        assert faults["partition"] == 1
        right()
        for _ in range(5):
            worker.step()
        assert worker.tasks[BAD].phase is Phase.GIVEN_UP
        worker.tasks[BAD].again_at = 0.0
        for _ in range(20):
            worker.step()
        assert {task.phase for task in worker.tasks.values()} == {Phase.RUNNING}
        assert worker.applied == 20
    assert len(world.signals()) == len(set(world.signals())) == 40
    world.assert_log_and_changelog_agree()


def test_a_worker_none_of_whose_partitions_goes_on_ends_by_name(world: World) -> None:
    """There is nothing to stay for; whoever takes them over fares no better, and says the same."""
    committed = world.cluster.group(world.settings.group_id).committed
    for partition in range(PARTITIONS):
        committed[world.settings.topic(Topic.COMMANDS), partition] += 3
    with pytest.raises(PartitionError, match="somebody reset one of them"):
        world.run_until_idle()


def test_a_deleted_record_costs_its_partition_and_no_other(world: World) -> None:
    """Its log was trimmed behind what was applied; what came with the news of it is not lost."""
    world.run_until_idle()
    world.invoke(*invocations(range(20), "later"))
    log = world.cluster.topics[world.settings.topic(Topic.COMMANDS)].logs[BAD]
    log.trim(log.end)
    world.invoke(*invocations(range(20), "last"))
    world.run_until_idle()
    worker = world.worker
    assert worker is not None
    assert worker.tasks[BAD].phase is Phase.GIVEN_UP
    assert "the next record to apply has been deleted" in (worker.tasks[BAD].fault or "")
    statuses = world.statuses()
    for name in (f"{each}-{n}" for each in ("later", "last") for n in range(20)):
        assert (name in statuses) == (partition_of(name, PARTITIONS) == GOOD)
