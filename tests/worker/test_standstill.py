"""A transaction of somebody else that stays open on command log or changelog: it is said where, and since when."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from streams.config import Topic
from streams.model import Invocation, Invoke
from streams.worker import observer as observing
from streams.worker import standstill
from support.service.worker_world import PARTITIONS, World, invocations

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streams.health import Health


class Clock:
    """Seconds, set by the test."""

    now = 1_000.0

    def __call__(self) -> float:
        """As `time.monotonic`."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The worker's, as far as it looks for transactions that are open."""
    return Clock()


@pytest.fixture
def world(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A worker that runs both partitions."""
    monkeypatch.setattr(observing, "SNAPSHOT_EVERY_S", 0.0)
    with closing(World(tmp_path)) as made:
        made.invoke(*invocations(range(20)))
        made.run_until_idle()
        assert made.worker is not None
        made.worker.connections.standstill._clock = clock
        made.worker.connections.standstill._asked_at = clock.now
        yield made


def stranger(world: World, topic: Topic) -> Any:
    """Somebody's open transaction, with a record on partition 1."""
    producer = world.cluster.producer({"transactional.id": "stranger"})
    producer.init_transactions()
    producer.begin_transaction()
    producer.produce(world.settings.topic(topic), b"x", b"k", partition=1)
    return producer


def pass_time(world: World, clock: Clock, seconds: int) -> None:
    """The worker goes on for so long, with something to do all the time."""
    for second in range(seconds):
        clock.now += 1
        world.invoke(Invoke(Invocation(f"at-{clock.now}-{second}", "orders", "run")))
        assert world.worker is not None
        world.worker.step()
        world.worker.step()


def ready(world: World) -> Health:
    """What `/health/ready` answers."""
    assert world.worker is not None
    return world.worker._observer.ready()


def test_a_log_that_stands_is_told_and_the_worker_is_not_ready(world: World, clock: Clock) -> None:
    """Topic, partition and offset; not at once, and no longer than it lasts."""
    commands = world.settings.topic(Topic.COMMANDS)
    offset = world.cluster.topics[commands].logs[1].end
    open_one = stranger(world, Topic.COMMANDS)
    with capture_logs() as logged:
        pass_time(world, clock, 12)
        assert not [line for line in logged if "open" in line["event"]]
        assert ready(world).ok
        pass_time(world, clock, 40)
    told = [line for line in logged if line["event"] == "readers wait for a transaction that is open"]
    assert [(line["topic"], line["partition"], line["offset"]) for line in told] == [(commands, 1, offset)]
    verdict = ready(world)
    assert not verdict.ok
    assert verdict.body["why"] == "1 logs wait for a transaction that is open"
    (place,) = verdict.body["waits_at"]
    assert place.startswith(f"{commands}, partition 1, offset {offset}: a transaction is open there for ")
    open_one.abort_transaction()
    with capture_logs() as logged:
        pass_time(world, clock, 12)
    assert ready(world).ok
    assert "the transaction that was open is over" in {line["event"] for line in logged}


def test_a_changelog_that_stands_is_told_but_nothing_waits_for_it(world: World, clock: Clock) -> None:
    """Only the next one who takes the partition over would."""
    changelog = world.settings.topic(Topic.CHANGELOG)
    stranger(world, Topic.CHANGELOG)
    pass_time(world, clock, 45)
    verdict = ready(world)
    assert verdict.ok
    assert len(verdict.body["waits_at"]) == 1
    assert verdict.body["waits_at"][0].startswith(f"{changelog}, partition 1, ")


def test_workers_own_transactions_are_nothing_to_tell(world: World, clock: Clock) -> None:
    """One after the other, each at another offset."""
    with capture_logs() as logged:
        pass_time(world, clock, 100)
    assert not [line for line in logged if "open" in line["event"]]
    assert "waits_at" not in ready(world).body
    assert len(ready(world).body["partitions"]) == PARTITIONS


def test_a_leader_that_does_not_answer_is_asked_again(
    world: World, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was known stays so."""
    stranger(world, Topic.COMMANDS)
    pass_time(world, clock, 20)
    with monkeypatch.context() as patched:
        patched.setattr(standstill, "_told", lambda _: {})
        pass_time(world, clock, 20)
    assert not ready(world).ok
