"""The next turn's pages, worked out while Kafka commits this one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import TopicPartition

from streams.config import Topic
from streams.kafka.errors import TransactionAbortedError
from streams.model import Action, Filter, StartBatch
from support.service.worker_world import PARTITIONS, World, invocations

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streams.worker.turn import Turn

pytestmark = pytest.mark.long

ROWS = 2_000


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """One service with rows on both partitions, and a kill of them in the log."""
    made = World(tmp_path)
    made.invoke(*invocations(range(ROWS), service="mail"))
    made.run_until_idle()
    made.send(StartBatch("kill", Action.KILL, Filter(match_all=True)), key="kill")
    yield made
    made.close()


def _until_ahead(world: World) -> Turn:
    """Turns until the worker has worked ahead; what it has."""
    for _ in range(50):
        world._alive().step()
        world.cluster.now += 1
        ahead = world._alive().pipeline.next_turn
        if ahead is not None:
            return ahead
    raise AssertionError("the worker never works ahead")


def _assert_killed_once(world: World) -> None:
    assert set(world.statuses().values()) == {"KILLED"}
    signals = world.signals()
    assert len(set(signals)) == len(signals)
    assert sum(kind == "KILL" for _, kind, *_ in signals) == ROWS
    world.assert_log_and_changelog_agree()


def test_a_page_done_ahead_is_committed_with_its_own_turn(world: World) -> None:
    """Its partition's table is ahead of what is committed by that page, and by no more than that."""
    ahead = _until_ahead(world)
    (task,) = ahead.tasks
    assert task.store.in_transaction
    committed = world.published_count(Topic.CHANGELOG)
    world._alive().step()
    assert world._alive().pipeline.next_turn is not ahead
    assert world.published_count(Topic.CHANGELOG) > committed
    world.run_until_idle()
    _assert_killed_once(world)


def test_a_page_that_arrives_a_little_late_is_awaited(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers hear of a commit after its worker: without that page the next commit would be an idle wait."""
    ahead = _until_ahead(world)
    worker = world._alive()
    consume, calls = worker.connections.consume, []

    def late(most: int, wait_s: float) -> list[Any]:
        calls.append(wait_s)
        return consume(most, wait_s) if len(calls) > 2 else []

    monkeypatch.setattr(worker.connections, "consume", late)
    worker.step()
    assert calls[0] == 0
    assert len(calls) == 3
    assert all(0 < wait_s < 0.1 for wait_s in calls[1:])
    after = worker.pipeline.next_turn
    assert after is not None
    assert set(after.tasks).isdisjoint(ahead.tasks)
    monkeypatch.undo()
    world.run_until_idle()
    _assert_killed_once(world)


def test_a_page_that_does_not_arrive_is_not_awaited_for_long(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The turn goes on without it."""
    _until_ahead(world)
    worker = world._alive()
    monkeypatch.setattr(worker.connections, "consume", lambda *_: [])
    assert worker.step()
    assert worker.pipeline.next_turn is None
    monkeypatch.undo()
    world.run_until_idle()
    _assert_killed_once(world)


@pytest.mark.parametrize("which", ["the one ahead", "the other"])
def test_a_partition_lost_meanwhile_takes_what_was_done_ahead_with_it(world: World, which: str) -> None:
    """The partitions come back, and every page is done once."""
    (task,) = _until_ahead(world).tasks
    partition = task.partition if which == "the one ahead" else PARTITIONS - 1 - task.partition
    worker = world._alive()
    names = [TopicPartition(world.settings.topic(Topic.COMMANDS), partition)]
    worker.rebalance.on_lost(worker.connections.consumer, names)
    worker.rebalance.on_assign(worker.connections.consumer, names)
    world.run_until_idle()
    _assert_killed_once(world)


def test_a_death_with_a_page_done_ahead_repeats_nothing(world: World) -> None:
    """What is committed in Kafka and not in SQLite is replayed from the changelog."""
    _until_ahead(world)
    world.die()
    world.run_until_idle()
    _assert_killed_once(world)


def test_a_clean_stop_leaves_tables_where_their_changelogs_end(world: World) -> None:
    """What was done ahead is committed before the worker closes, and nothing is begun any more."""
    ahead = _until_ahead(world)
    worker = world._alive()
    assert all(task.store.in_transaction for task in ahead.tasks)
    worker.stop()
    worker.run()
    world.worker = None
    world.run_until_idle()
    assert [task.replay.records for task in world._alive().tasks.values()] == [0] * PARTITIONS
    _assert_killed_once(world)


def test_no_page_is_done_ahead_once_a_stop_was_asked_for(world: World) -> None:
    """The turn that was under way is the last."""
    _until_ahead(world)
    worker = world._alive()
    worker.stop()
    worker.step()
    assert worker.pipeline.next_turn is None


def test_a_stop_goes_on_when_what_was_done_ahead_cannot_be_committed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its input is read again at the next start."""
    _until_ahead(world)
    worker = world._alive()

    def refused(*_: object) -> None:
        raise TransactionAbortedError("no")

    monkeypatch.setattr(worker.connections.checkpoint, "commit", refused)
    worker.stop()
    worker.run()
    world.worker = None
    world.run_until_idle()
    _assert_killed_once(world)
