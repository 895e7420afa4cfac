"""How an executor commits what it has done, shares its partitions, and ends."""

from __future__ import annotations

from functools import partial

import pytest
from confluent_kafka import KafkaError, TopicPartition

from streams.client import DeliveryError, UnreadableSignalError
from streams.config import Topic
from streams.model import Status
from support.kafka.fake_faults import failure
from support.service.executor_world import ExecutorWorld, ManualRunner

RUNNING, COMPLETED, FAILED, CANCELLED = Status.RUNNING, Status.COMPLETED, Status.FAILED, Status.CANCELLED


def test_a_report_on_its_way_commits_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only when the broker has said that it has the report is its signal dealt with."""
    world = ExecutorWorld()
    world.start("a", 1)
    world.step()
    assert world.executor is not None
    world.runner.end(world.runner.find("a"))
    with monkeypatch.context() as patched:
        patched.setattr(world.executor._reporter, "serve", lambda: None)
        world.step()
        assert (world.said("a"), world.committed()) == ([RUNNING, COMPLETED], 0)
    world.step()
    assert world.committed() == 1


def finished(world: ExecutorWorld) -> None:
    """Three handlers have ended, and nothing is committed yet."""
    for seq in range(3):
        world.start(f"i{seq}", seq)
    world.step(2)
    for seq in range(3):
        world.runner.end(world.runner.find(f"i{seq}"))


@pytest.mark.parametrize("step", ["commit", "commit:done"])
def test_a_commit_that_fails_is_tried_again(step: str) -> None:
    """With the next one, though nothing new has come."""
    world = ExecutorWorld()
    finished(world)
    world.cluster.faults.fail(step, failure(KafkaError.REBALANCE_IN_PROGRESS, retriable=True))
    world.step(1)
    world.step(3)
    assert world.committed() == 3


def test_a_commit_whose_answer_is_a_refusal_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is heard of a turn later."""
    world = ExecutorWorld()
    finished(world)
    refusal = KafkaError(KafkaError.REBALANCE_IN_PROGRESS), [TopicPartition("t.signals", 0, 3)]
    assert world.executor is not None
    consumer = world.executor._group._consumer
    with monkeypatch.context() as patched:
        patched.setattr(consumer, "commit", lambda **_: consumer._answers.append(refusal))
        world.step(1)
    assert world.committed() == 0
    world.step(2)
    assert world.committed() == 3


def test_closing_commits_what_is_not_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was reported is not run again by the next life."""
    world = ExecutorWorld()
    finished(world)
    monkeypatch.setattr("streams.client.executor.group._PAUSE_S", 0)
    executor = world.executor
    assert executor is not None
    with monkeypatch.context() as patched:  # asked for, and never answered
        patched.setattr(executor._group._consumer, "commit", lambda **_: None)
        world.step(2)
    world.cluster.faults.fail("commit", failure(KafkaError.REBALANCE_IN_PROGRESS, retriable=True))
    executor.close()
    assert world.committed() == 3


def test_two_executors_share_the_partitions() -> None:
    """What moves is stopped where it ran and run again where it went; nothing is lost."""
    world = ExecutorWorld()
    for seq in range(3):
        world.start(f"p0-{seq}", seq, partition=0)
        world.start(f"p1-{seq}", seq, partition=1)
    world._options = {}
    world._make_runner = partial(ManualRunner, 10)
    world.step()
    first, runner = world.executor, world.runner
    assert first is not None
    assert runner.running == 6
    second = world.begin()
    for _ in range(6):
        for executor in (first, second):
            executor._commit_at = 0.0
            executor.step()
    assert (runner.running, world.runner.running) == (3, 3)
    for each in (runner, world.runner):
        for run in list(each.active):
            each.end(run)
    for executor in (first, second):
        executor.step()
    ended = [each.invocation_id for each in world.reports() if each.to is COMPLETED]
    assert sorted(ended) == sorted({each.invocation_id for each in world.reports()})
    assert len(ended) == 6


def test_what_has_just_ended_is_reported_before_a_partition_goes() -> None:
    """It is committed too, so that nobody runs it again."""
    world = ExecutorWorld()
    world.start("a", 1)
    world.step()
    assert world.executor is not None
    world.runner.end(world.runner.find("a"))
    world.executor.close()
    assert (world.said("a"), world.committed()) == ([RUNNING, COMPLETED], 1)


def test_a_report_that_cannot_be_sent_stops_the_executor() -> None:
    """Nothing is committed over it: the next life does it again."""
    world = ExecutorWorld()
    world.start("a", 1)
    world.step()
    run = world.runner.find("a")
    world.cluster.topics[world.settings.topic(Topic.COMMANDS)].config["max.message.bytes"] = "10"
    world.runner.end(run)
    with pytest.raises(DeliveryError, match=r"1 command\(s\) did not reach the log \(a\)"):
        world.step()
    assert world.executor is not None
    world.executor.close()
    assert world.committed() == 0


def test_a_signal_of_a_newer_version_stops_the_executor() -> None:
    """It is not skipped: the message says where it is and what to do."""
    world = ExecutorWorld()
    world.cluster.append((world.settings.topic(Topic.SIGNALS), 1), b"k", b"\xc3\x01" + b"\0" * 8)
    with pytest.raises(UnreadableSignalError, match=r"signal at partition 1, offset 0: .*upgrade this executor"):
        world.step()


def test_stopping_waits_for_handlers_and_leaves_what_waits() -> None:
    """What runs may end and is reported; what has not begun comes again in the next life."""
    world = ExecutorWorld(partial(ManualRunner, 1, obedient=False))
    for seq in range(3):
        world.start(f"i-{seq}", seq)
    world.step()
    executor, runner = world.executor, world.runner
    assert executor is not None

    def end_what_runs(step: str) -> None:
        if step == "consume" and runner.active:
            runner.end(runner.find("i-0"))

    world.cluster.faults.hook = end_what_runs
    executor.stop()
    executor.run()
    world.cluster.faults.cancel()
    assert world.said("i-0") == [RUNNING, COMPLETED]
    world.executor = None
    world._make_runner = ManualRunner
    world.step()
    begun = {run.context.invocation.invocation_id for run in world.runner.active}
    assert begun == {"i-1", "i-2"}


def test_stopping_gives_up_on_handlers_after_the_grace() -> None:
    """They are left to the next life, unreported and uncommitted."""
    world = ExecutorWorld(grace=0.05)
    world.start("a", 1)
    world.step()
    assert world.executor is not None
    world.executor.stop()
    world.executor.run()
    assert (world.said("a"), world.committed()) == ([RUNNING], 0)


def test_stopped_before_it_began() -> None:
    """It ends at once."""
    executor = ExecutorWorld().begin()
    executor.stop()
    executor.run()
