"""A worker that loses its partitions, or its place in the group, and gets them back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import KafkaError, TopicPartition

from streams.config import Topic
from streams.errors import StreamsError
from streams.kafka.errors import TransactionAbortedError
from support.service.worker_world import PARTITIONS, World, invocations

if TYPE_CHECKING:
    from streams.worker.worker import Worker


@pytest.fixture
def world(running: World) -> World:
    """Its worker runs."""
    return running


def _worker(world: World) -> Worker:
    assert world.worker is not None
    return world.worker


class _Fatal:
    """What a consumer hands out when another one has taken its place."""

    @staticmethod
    def error() -> KafkaError:
        return KafkaError(KafkaError._FATAL)


def _lose_place(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_worker(world).connections.consumer, "poll", lambda *_: _Fatal())
    world.run_until_idle()


def _fence(world: World, monkeypatch: pytest.MonkeyPatch, *, after_s: float) -> None:
    """The next transaction's producer is fenced, `after_s` seconds after it began."""
    clock, faults = time.monotonic, world.cluster.faults

    def hook(step: str) -> None:
        if step == "send_offsets":
            faults.hook = None
            world.cluster.expire_transactions()
            monkeypatch.setattr(time, "monotonic", lambda: clock() + after_s)

    faults.hook = hook


def test_a_worker_that_another_fences_twice_stops_and_names_the_id_they_share(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first time it may have been slow; then two would go on fencing each other."""
    before = _worker(world).connections.checkpoint
    world.invoke(*invocations(range(20, 30)))
    _fence(world, monkeypatch, after_s=1.0)
    world.run_until_idle()
    assert _worker(world).connections.checkpoint is not before
    world.invoke(*invocations(range(30, 40)))
    _fence(world, monkeypatch, after_s=1.0)
    with pytest.raises(StreamsError, match=r"another worker uses transactional\.id w .*STREAMS_WORKER_ID"):
        world.run_until_idle()


def test_transactions_that_take_too_long_are_nobody_elses_doing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker ends them and fences their producer: a slow worker goes on with a new one, however often."""
    for first in (20, 30, 40):
        world.invoke(*invocations(range(first, first + 10)))
        _fence(world, monkeypatch, after_s=world.settings.transaction_timeout_ms / 1_000)
        world.run_until_idle()
    assert len(world.statuses()) == 50
    assert len(world.signals()) == 50


def test_a_lost_place_is_taken_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A consumer that was fenced is replaced, and the worker goes on where it was."""
    before = _worker(world).connections.consumer
    _lose_place(world, monkeypatch)
    assert _worker(world).connections.consumer is not before
    world.invoke(*invocations(range(20, 30)))
    world.run_until_idle()
    assert len(world.statuses()) == len(world.signals()) == 30
    world.assert_log_and_changelog_agree()


def test_a_member_taken_in_again_without_a_word_takes_its_partitions_over_again(world: World) -> None:
    """By a new name: others may have had its partitions, and the group would accept what it commits."""
    before = _worker(world).connections.consumer
    before._member.id = "another"
    world.invoke(*invocations(range(20, 30)))
    world.run_until_idle()
    assert _worker(world).connections.consumer is not before
    assert len(world.statuses()) == len(world.signals()) == 30
    world.assert_log_and_changelog_agree()


def test_a_member_without_partitions_has_none_to_lose(world: World) -> None:
    """It may be taken in again by a new name as often as it likes: nobody has had what it had."""
    worker = _worker(world)
    names = [TopicPartition(world.settings.topic(Topic.COMMANDS), each) for each in range(PARTITIONS)]
    consumer = worker.connections.consumer
    worker.rebalance.on_revoke(consumer, names)
    worker.rebalance.on_assign(consumer, [])
    assert worker.rebalance.member == ""
    consumer._member.id = "another"
    worker.rebalance.on_assign(consumer, [])
    worker.rebalance.on_assign(consumer, names[:1])
    assert worker.rebalance.member == "another"
    worker.rebalance.on_assign(consumer, names[1:])
    worker.rebalance.on_revoke(consumer, names[:1])
    assert worker.rebalance.member == "another"
    worker.rebalance.on_assign(consumer, names[:1])
    world.invoke(*invocations(range(20, 30)))
    world.run_until_idle()
    assert worker.connections.consumer is consumer
    assert len(world.statuses()) == len(world.signals()) == 30


def test_an_abort_that_fails_is_left_to_a_new_producer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the error is: the new one settles the transaction."""
    before = _worker(world).connections.checkpoint

    def fail() -> None:
        raise TransactionAbortedError("once more")

    monkeypatch.setattr(before, "commit", lambda *_: fail())
    monkeypatch.setattr(before, "abort", fail)
    world.invoke(*invocations(range(20, 30)))
    world.run_until_idle()
    assert _worker(world).connections.checkpoint is not before
    assert len(world.statuses()) == len(world.signals()) == 30


def test_a_place_lost_twice_within_a_minute_stops_the_worker(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers with one id would take it from each other for ever: the line names the id and the state folder."""
    _lose_place(world, monkeypatch)
    with pytest.raises(StreamsError) as caught:
        _lose_place(world, monkeypatch)
    assert "transactional.id w " in str(caught.value)
    assert str(world.settings.state_dir) in str(caught.value)


def test_partitions_lost_and_assigned_at_once_are_taken_over_again(world: World) -> None:
    """What was known of a partition is void once it was lost, even if the next poll already brings it back."""
    worker = _worker(world)
    names = [TopicPartition(world.settings.topic(Topic.COMMANDS), each) for each in range(PARTITIONS)]
    before = dict(worker.tasks)
    for numbers in (range(20, 25), range(25, 30)):
        worker.rebalance.on_lost(worker.connections.consumer, names)
        worker.rebalance.on_assign(worker.connections.consumer, names)
        world.invoke(*invocations(numbers))
        world.run_until_idle()
    assert all(worker.tasks[each] is not before[each] for each in range(PARTITIONS))
    assert len(world.statuses()) == len(world.signals()) == 30
    world.assert_log_and_changelog_agree()
