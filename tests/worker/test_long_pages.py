"""A page whose transaction runs out of time gives way to a smaller one, and nothing else changes."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import KafkaError
from msgspec.structs import replace

from streams import codec
from streams.config import Topic
from streams.model import (
    Action,
    ActMembers,
    CancelFlow,
    CancelPolicy,
    Cause,
    ContinueFlow,
    ContinueSlice,
    ControlBatch,
    ControlOperation,
    Filter,
    FlowAction,
    Invocation,
    Invoke,
    OnTimeout,
    ReleaseHeld,
    ReportTransition,
    StartBatch,
    Status,
    Tick,
)
from streams.worker.long_pages import smaller
from streams.worker.page_sizes import TunedSizes
from support.kafka.fake_cluster import failure
from support.service.flow_world import newest, numbers, settle
from support.service.worker_world import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streams.engine.awaited import Page

pytestmark = pytest.mark.long

ROWS = 300


class SlowBroker:
    """It takes so long over a transaction with more than `most` records of a topic that it ends it itself."""

    def __init__(self, world: World, topic: Topic, most: int) -> None:
        self.sizes: list[int] = []
        self._world, self._topic, self._most = world, world.settings.topic(topic), most
        self.error: Exception | None = None
        world.cluster.faults.hook = self._step

    def _step(self, name: str) -> None:
        worker = self._world.worker
        if name != "commit:before" or worker is None:
            return
        cluster = self._world.cluster
        records = [record for log in cluster.topics[self._topic].logs for record in log.records]
        size = sum(record.txn is not None and record.txn.undecided for record in records)
        if size > self._most:
            self.sizes.append(size)
            worker.connections.checkpoint._began -= self._world.settings.transaction_timeout_ms / 1_000
            if self.error is not None:
                raise self.error
            cluster.expire_transactions()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A worker with two partitions."""
    with closing(World(tmp_path)) as made:
        yield made


def _letters(world: World) -> list[str]:
    records = world.cluster.records(world.settings.topic(Topic.DEAD_LETTERS))
    return [dict(record.headers or ())["error-code"].decode() for record in records]


def _paused(world: World, count: int = ROWS) -> None:
    world.invoke(*(Invoke(Invocation(f"same~{n}", "s", "h"), payload=b"x" * 1_000) for n in range(count)))
    world.run_until_idle()
    world.send(StartBatch("pause", Action.PAUSE, Filter(services=("s",))), key="pause")
    world.run_until_idle()


@pytest.mark.parametrize("error", [None, failure(KafkaError._STATE, abortable=True)], ids=["fenced", "aborted"])
def test_a_resume_that_takes_too_long_is_done_in_smaller_pages(world: World, error: Exception | None) -> None:
    """Whichever way the broker ends the transaction; the other partition goes on, and log and table agree."""
    _paused(world)
    broker = SlowBroker(world, Topic.SIGNALS, 100)
    broker.error = error
    world.send(StartBatch("resume", Action.RESUME, Filter(services=("s",))), key="resume")
    world.invoke(*(Invoke(Invocation(f"x{n}", "t", "h")) for n in range(10)))
    world.run_until_idle()
    assert 1 <= len(broker.sizes) <= 4
    assert len(broker.sizes) < sum(isinstance(record, ContinueSlice) for record in world.published(Topic.COMMANDS))
    assert set(world.statuses().values()) == {"READY"}
    assert sum(each[2] for key, each in world.counters().items() if key[0] == "resume") == ROWS
    assert _letters(world) == ["page_too_long"] * len(broker.sizes)
    started = [(name, attempt) for name, kind, _, attempt, _ in world.signals() if kind == "START"]
    assert len(started) == len(set(started)) == 2 * ROWS + 10
    world.assert_log_and_changelog_agree()


def test_a_tick_that_takes_too_long_is_done_in_parts(world: World) -> None:
    """Its number stays the same, and no second tick is written beside it."""
    at = world.cluster.now + 1_000
    world.invoke(*(Invoke(Invocation(f"same~{n}", "s", "h"), scheduled_at=at) for n in range(ROWS)))
    world.run_until_idle()
    broker = SlowBroker(world, Topic.SIGNALS, 60)
    world.pass_time(2_000)
    world.run_until_idle()
    assert broker.sizes
    assert set(world.statuses().values()) == {"READY"}
    assert len(world.signals()) == ROWS
    assert _letters(world) == ["page_too_long"] * len(broker.sizes)
    world.assert_log_and_changelog_agree()
    numbers = [record.tick_no for record in world.published(Topic.COMMANDS) if isinstance(record, Tick)]
    assert len(numbers) - len(set(numbers)) <= len(broker.sizes)


def test_a_release_that_takes_too_long_is_done_in_parts(world: World) -> None:
    """What a batch held is started all the same."""
    world.invoke(*(Invoke(Invocation(f"same~{n}", "s", "h")) for n in range(ROWS)))
    world.run_until_idle()
    for n in range(ROWS):
        world.send(
            ReportTransition(f"same~{n}", 1, to=Status.BACKING_OFF, retry_at=world.cluster.now + 1_000), key="same"
        )
    world.run_until_idle()
    # So slow that it is still there when the retries are due.
    world.send(StartBatch("kill", Action.KILL, Filter(services=("s",)), max_rate=0.001), key="kill")
    world.run_until_idle()
    world.pass_time(2_000)
    world.run_until_idle()
    broker = SlowBroker(world, Topic.SIGNALS, 60)
    world.send(ControlBatch("kill", ControlOperation.ABORT), key="kill")
    world.run_until_idle()
    assert broker.sizes
    assert any(isinstance(record, ReleaseHeld) for record in world.published(Topic.COMMANDS))
    assert set(_letters(world)) == {"page_too_long"}
    assert set(world.statuses().values()) <= {"READY", "KILLED"}
    world.assert_log_and_changelog_agree()


def test_members_that_take_too_long_to_end_are_ended_in_parts(world: World) -> None:
    """Their flow ends as if nothing had been; each of them gets one signal."""
    world.invoke(*(Invoke(Invocation(f"same~{n}", "s", "h", flow_id="f")) for n in range(ROWS)))
    world.run_until_idle()
    broker = SlowBroker(world, Topic.SIGNALS, 60)
    world.send(CancelFlow("f", FlowAction.KILL, CancelPolicy.CANCEL_ALL), key="f")
    world.run_until_idle()
    assert broker.sizes
    assert set(world.statuses().values()) == {"KILLED"}
    assert len(world.signals()) == 2 * ROWS
    assert _letters(world) == ["page_too_long"] * len(broker.sizes)
    world.assert_log_and_changelog_agree()
    settle(world)
    assert numbers(newest(world)["f"]) == ("CANCELLED", 0, 0, ROWS, 0, 0)


def test_where_nothing_can_be_cut_any_more_the_partition_is_given_up_by_name(world: World) -> None:
    """Pages of one row that take too long are for people to look at."""
    _paused(world, 4)
    SlowBroker(world, Topic.SIGNALS, 0)
    world.send(StartBatch("resume", Action.RESUME, Filter(services=("s",))), key="resume")
    world.run_until_idle()
    worker = world.worker
    assert worker is not None
    (fault,) = [task.fault for task in worker.tasks.values() if task.fault]
    assert "even the smallest page takes longer than transaction.timeout.ms" in fault
    assert set(_letters(world)) == {"page_too_long"}
    assert len(_letters(world)) < 20


def test_commands_that_take_too_long_together_are_taken_in_parts(world: World) -> None:
    """Without a page in the turn, and without a dead letter."""
    broker = SlowBroker(world, Topic.SIGNALS, 50)
    world.invoke(*(Invoke(Invocation(f"i{n}", "s", "h")) for n in range(ROWS)))
    world.run_until_idle()
    assert broker.sizes
    assert len(world.signals()) == ROWS
    assert _letters(world) == []
    world.assert_log_and_changelog_agree()


@pytest.mark.parametrize("step", range(0, 24, 2))
def test_a_worker_that_dies_over_a_cut_page_does_nothing_twice(world: World, step: int) -> None:
    """At any step of the rounds in which the page gives way and its successor is done."""
    _paused(world, 120)
    broker = SlowBroker(world, Topic.SIGNALS, 50)
    world.send(StartBatch("resume", Action.RESUME, Filter(services=("s",))), key="resume")
    while not broker.sizes:
        world._alive().step()
    world.cluster.faults.crash_at(step)
    world.run_until_idle()
    assert world.deaths == 1
    assert set(world.statuses().values()) == {"READY"}
    started = [(name, attempt) for name, kind, _, attempt, _ in world.signals() if kind == "START"]
    assert len(started) == len(set(started)) == 240
    world.assert_log_and_changelog_agree()


@pytest.mark.parametrize(
    "page",
    [
        ContinueSlice(1, 0, "b", 1, 100_000, 20_000),
        ReleaseHeld(1, 0, 1, -1, 200, 1 << 20),
        Tick(1, 0, 1, 0, 0, 0, 1, 1_000),
        ContinueFlow(1, 0, "f", False, 1, 80_000, 20_000),
        ActMembers(
            *(1, 0, "f", False, FlowAction.KILL, CancelPolicy.CANCEL_ALL, 0, OnTimeout.KILL, Cause()),
            tuple(range(500)),
            20_000,
        ),
    ],
    ids=lambda page: type(page).__name__,
)
def test_a_page_is_cut_down_to_one_row_and_no_further(page: Page) -> None:
    """A quarter each time, so that it comes to an end."""
    cuts = 0
    sizes = TunedSizes(1_000)
    while (cut := smaller(page)) != page:
        page, cuts = cut, cuts + 1
        sizes.cut(page)
        assert sizes.others(0).max_bytes == page.max_bytes
    assert cuts <= 12
    ones = dict.fromkeys([name for name in page.__struct_fields__ if name.startswith("max_")], 1)
    assert page == replace(page, **ones)
    assert codec.decode(codec.encode(page)) == page
