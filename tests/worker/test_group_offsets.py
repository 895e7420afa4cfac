"""What the group says of a partition that is taken over, and what is done while it says nothing."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams.model import Invocation, Invoke
from streams.worker.offsets import Offsets
from streams.worker.task import Phase
from streams.worker.worker import Worker
from support.kafka.fake_faults import failure
from support.kafka.fake_group import GroupMetadata
from support.service.worker_world import PARTITIONS, World

if TYPE_CHECKING:
    from collections.abc import Sequence


def test_a_partition_that_another_writes_meanwhile_is_taken_over_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An offset that moves while the changelog is replayed was reset by nobody."""
    asked, committed = [], Offsets._committed

    def behind_at_first(self: Offsets, partitions: Sequence[int]) -> dict[int, int | None]:
        asked.append(len(partitions))
        answer = committed(self, partitions)
        return dict.fromkeys(answer, 1) if len(asked) == 1 else answer

    monkeypatch.setattr(Offsets, "_committed", behind_at_first)
    world.run_until_idle()
    assert asked == [PARTITIONS, PARTITIONS]
    assert len(world.statuses()) == 20


@pytest.mark.parametrize(
    "code", [KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError._TRANSPORT]
)
def test_a_coordinator_that_moves_is_waited_for(world: World, code: int) -> None:
    """A broker that stood still gives its groups away: that passes, and no worker ends for it."""
    world.cluster.faults.fail("committed", failure(code))
    world.run_until_idle()
    assert len(world.statuses()) == 20


def test_a_group_that_may_not_be_read_stops_the_worker(world: World) -> None:
    """That does not pass."""
    world.cluster.faults.fail("committed", failure(KafkaError.GROUP_AUTHORIZATION_FAILED))
    with pytest.raises(KafkaException):
        world.run_until_idle()


def test_a_deleted_group_goes_on_where_the_changelog_stands(world: World) -> None:
    """Without a committed offset, the partition's own record has the next one."""
    world.cluster.group(world.settings.group_id).committed.clear()
    world.invoke(Invoke(Invocation("i-20", "orders", "run")))
    world.run_until_idle()
    assert len(world.statuses()) == 21
    assert len(world.signals()) == 21


def test_offsets_that_do_not_come_are_not_asked_for_all_the_time(world: World) -> None:
    """Each time is one more request to a broker that has said what it waits for."""
    dead = world.cluster.producer({"transactional.id": "dead"})
    dead.init_transactions()
    dead.begin_transaction()
    place = TopicPartition(world.commands, 0, 3)
    dead.send_offsets_to_transaction([place], GroupMetadata(world.settings.group_id, "", -1))
    with closing(Worker(world.settings, world.cluster, lambda: world.cluster.now)) as worker:
        for _ in range(20):
            worker.step()
        assert worker.tasks[1].phase is Phase.RUNNING
        assert worker.connections.takeover.waits
