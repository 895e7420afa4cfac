"""What the executor does with each signal, and when it commits it."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import KafkaError, TopicPartition

from streams.client import DeliveryError, InvalidCommandError, UnreadableSignalError
from streams.client.executor.registry import group_of
from streams.client.executor.run import Outcome
from streams.config import Topic
from streams.errors import StreamsError
from streams.model import SignalKind, Status
from support.executor_world import ExecutorWorld, ManualRunner
from support.fake_faults import failure

if TYPE_CHECKING:
    from streams.client import Context, Executor

RUNNING, COMPLETED, FAILED, CANCELLED = Status.RUNNING, Status.COMPLETED, Status.FAILED, Status.CANCELLED


def disobedient() -> ManualRunner:
    """Handlers that end when they like."""
    return ManualRunner(obedient=False)


def test_a_start_is_run_reported_and_then_committed() -> None:
    """RUNNING when it starts, its end when it ends, with attempt and seq; committed only behind the end's report."""
    world = ExecutorWorld()
    world.start("a", 7, attempt=3)
    world.step()
    assert world.said("a") == [RUNNING]
    assert world.committed() == 0
    world.runner.end(world.runner.find("a"))
    world.step()
    assert world.said("a") == [RUNNING, COMPLETED]
    assert {(each.attempt, each.seq) for each in world.reports()} == {(3, 7)}
    assert world.committed() == 1


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


def test_report_numbers_rise_and_ends_go_without() -> None:
    """Microseconds since 1970; an end has none, so that another machine's clock cannot make the table ignore it."""
    world = ExecutorWorld()
    for seq in range(4):
        world.start(f"i-{seq}", seq)
    world.step()
    for run in list(world.runner.active):
        world.runner.end(run)
    world.step()
    numbers = [each.report_no or 0 for each in world.reports() if each.to is RUNNING]
    assert numbers == sorted(set(numbers))
    assert all(number > 1_700_000_000_000_000 for number in numbers)
    assert {each.report_no for each in world.reports() if each.to is COMPLETED} == {None}


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Outcome(Status.FAILED, "broken"), (Status.FAILED, "broken", None)),
        (Outcome(Status.SUSPENDED), (Status.SUSPENDED, None, None)),
        (Outcome(Status.BACKING_OFF, retry_at=99), (Status.BACKING_OFF, None, 99)),
    ],
)
def test_every_outcome_is_reported(outcome: Outcome, expected: tuple[Any, ...]) -> None:
    """What a handler has come to stands in the log, and its signal is dealt with."""
    world = ExecutorWorld()
    world.start("a", 1)
    world.step()
    world.runner.end(world.runner.find("a"), outcome)
    world.step()
    last = world.reports()[-1]
    assert (last.to, last.error, last.retry_at) == expected
    assert last.report_no is None  # a clock that is behind another machine's loses none of these
    assert world.committed() == 1


def test_a_cancel_stops_the_handler_and_is_answered() -> None:
    """CANCELLED once it has stopped; the handler can see why; both signals are then committed."""
    world = ExecutorWorld(disobedient)
    world.start("a", 1)
    world.step()
    world.cancel("a", 1)
    world.cancel("a", 1, repeat=1)
    world.step()
    run = world.runner.find("a")
    assert world.runner.interrupted == [run], "asked once: a repeated signal does not disturb its cleaning up"
    assert run.context.cancelled.is_set()
    assert run.context.cause is not None
    assert run.context.cause.reason == "because"
    assert (world.said("a"), world.committed()) == ([RUNNING], 0)
    world.runner.end(run, Outcome(None))
    world.step()
    assert (world.said("a"), world.committed()) == ([RUNNING, CANCELLED], 3)


def test_a_handler_may_complete_in_spite_of_a_cancel() -> None:
    """What it reports is what happened."""
    world = ExecutorWorld(disobedient)
    world.start("a", 1)
    world.cancel("a", 1)
    world.step()
    world.runner.end(world.runner.find("a"))
    world.step()
    assert world.said("a")[-1] is COMPLETED


def test_a_kill_waits_for_nobody() -> None:
    """Its signals are dealt with at once, and whatever the handler does later is not reported."""
    world = ExecutorWorld(disobedient)
    world.start("a", 1)
    world.step()
    world.kill("a", 1)
    world.step()
    assert world.committed() == 2
    world.runner.end(world.runner.find("a"))
    world.step()
    assert world.said("a") == [RUNNING]


def test_a_kill_outdoes_a_cancel() -> None:
    """A handler that has been asked is reached again, and reports nothing."""
    world = ExecutorWorld(disobedient)
    world.start("a", 1)
    world.step()
    world.cancel("a", 1)
    world.kill("a", 1)
    world.step()
    assert len(world.runner.interrupted) == 2
    world.runner.end(world.runner.find("a"), Outcome(None))
    world.step()
    assert (world.said("a"), world.committed()) == ([RUNNING], 3)


def test_a_pause_stops_without_a_word() -> None:
    """Its RESUME starts a new attempt, so an interrupted one is over; one that completes first says so."""
    world = ExecutorWorld()
    for name, seq in (("a", 1), ("b", 2)):
        world.start(name, seq)
    world.step()
    world.signal(SignalKind.PAUSE, "a", 1)
    world.step()
    world.runner.end(world.runner.find("b"))
    world.signal(SignalKind.PAUSE, "b", 2)
    world.step()
    assert (world.said("a"), world.said("b"), world.committed()) == ([RUNNING], [RUNNING, COMPLETED], 4)


def test_a_resume_starts_again_whatever_becomes_of_the_paused_attempt() -> None:
    """A handler that never looked may still run; only the new attempt is reported on from then on."""
    world = ExecutorWorld(lambda: ManualRunner(obedient=False))
    world.start("a", 1)
    world.step()
    paused = world.runner.find("a")
    world.signal(SignalKind.PAUSE, "a", 1)
    world.start("a", 1, attempt=2)
    world.step()
    assert world.runner.interrupted[0] is paused
    world.runner.end(paused)
    world.step()
    world.runner.end(world.runner.find("a"))
    world.step()
    said = [(report.to, report.attempt) for report in world.reports("a")]
    assert (said, world.committed()) == ([(RUNNING, 1), (RUNNING, 2), (COMPLETED, 2)], 3)


def test_a_cancel_of_what_does_not_run_here_is_answered() -> None:
    """Otherwise an invocation whose START was dealt with before a restart could only be killed."""
    world = ExecutorWorld()
    world.cancel("gone", 1, attempt=2)
    world.kill("gone too", 2)
    world.step()
    [report] = world.reports()
    assert (report.to, report.invocation_id, report.attempt, report.seq) == (CANCELLED, "gone", 2, 1)
    assert world.committed() == 2


def test_each_signal_is_acted_on_once() -> None:
    """A partition that goes and comes back brings again what was not committed, and nothing else."""
    world = ExecutorWorld()
    for seq in range(4):
        world.start(f"i-{seq}", seq)
    world.step()
    for name in ("i-1", "i-3"):
        world.runner.end(world.runner.find(name))
    world.step()
    assert world.committed() == 0, "i-0 is still open"
    world.crash()
    world.step()
    assert {run.context.invocation.invocation_id for run in world.runner.active} == {"i-0", "i-2"}


def test_a_newer_attempt_replaces_an_older_one() -> None:
    """The older one's reports would count no more; it is stopped and says nothing."""
    world = ExecutorWorld()
    world.start("a", 1)
    world.step()
    world.start("a", 1, attempt=2)
    world.step()
    world.cancel("a", 1, attempt=1)
    world.step()
    assert [run.context.attempt for run in world.runner.active] == [2], "and an old cancel does not reach it"
    world.runner.end(world.runner.find("a"))
    world.step()
    assert [(each.attempt, each.to) for each in world.reports()] == [(1, RUNNING), (2, RUNNING), (2, COMPLETED)]
    assert world.committed() == 3


def mail_only(executor: Executor) -> None:
    """One handler of one service."""
    executor.handler("mail", "send")(lambda _: None)


@pytest.mark.parametrize("fail_missing", [False, True])
def test_an_unknown_handler_is_tried_again(caplog: pytest.LogCaptureFixture, *, fail_missing: bool) -> None:
    """By name, with what there is, told in the log; FAILED only when asked for."""
    world = ExecutorWorld(fail_missing=fail_missing)
    world.prepare = mail_only
    world.start("a", 1, service="mail")
    world.step()
    [report] = world.reports()
    assert report.to is (FAILED if fail_missing else Status.BACKING_OFF)
    assert "no handler for mail/run; this executor has mail/send: register one" in (report.error or "")
    assert "no handler for mail/run" in caplog.text
    assert (report.retry_at is None) is fail_missing


def test_only_services_of_its_handlers_are_served() -> None:
    """Without `services=` other services' signals are passed over."""
    world = ExecutorWorld()
    world.prepare = mail_only
    world.start("a", 1)
    world.step()
    assert (world.reports(), world.committed()) == ([], 1)


def test_executors_of_different_services_share_no_group() -> None:
    """The name follows from the services, in any order; it is legal and short whatever they are called."""
    assert group_of(["b", "a"]) == group_of(("a", "b"))
    names = {group_of(each) for each in (None, ["a"], ["a", "b"], ["a-b"], ["a b"], ["\u00e9" * 256], ["x"] * 9_000)}
    assert len(names) == 7
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,100}", each) for each in names)


def test_an_executor_without_handlers_says_so() -> None:
    """It would serve nothing."""
    world = ExecutorWorld()
    world.prepare = lambda _: None
    with pytest.raises(StreamsError, match="no handler"):
        world.step()


def test_other_services_are_passed_over() -> None:
    """An executor of some services leaves the others to theirs, cancels included."""
    world = ExecutorWorld(services={"mail"})
    world.start("a", 1)
    world.cancel("a", 1)
    world.start("b", 2, service="mail")
    world.step()
    assert (world.said("a"), world.said("b"), world.committed()) == ([], [RUNNING], 2)


def test_a_lease_is_renewed_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """RUNNING again every third of it, not before and not after."""
    world, clock = ExecutorWorld(disobedient), [100.0]
    world.start("a", 1, lease_ms=3_000)
    executor = world.begin()
    monkeypatch.setattr(executor._dispatcher, "_monotonic", lambda: clock[0])
    world.step()
    for seconds, reports in ((0.9, 1), (0.2, 2), (0.5, 2), (0.6, 3)):
        clock[0] += seconds
        world.step()
        assert world.said("a") == [RUNNING] * reports
    world.cancel("a", 1)
    world.step()
    clock[0] += 10
    world.step()
    assert len(world.said("a")) == 3, "what is to stop keeps no lease"


def test_what_stops_something_does_not_wait_behind_starts() -> None:
    """With all places taken and the queue full, cancels and kills reach what runs; what has not begun never does."""
    world = ExecutorWorld(partial(ManualRunner, 1), waiting=2)
    for seq in range(50):
        world.start(f"i-{seq}", seq, payload=b"x" * 100)
    world.step()
    assert world.runner.running + world.runner.waiting < 50, "the others wait in Kafka"
    for seq in range(0, 50, 2):
        world.cancel(f"i-{seq}", seq)
    for seq in range(1, 49, 2):
        world.kill(f"i-{seq}", seq)
    world.step(40)
    assert [run.context.invocation.invocation_id for run in world.runner.active] == ["i-49"]
    assert sum(world.runner.began.values()) < 5, "only what had a place already has begun"
    assert all(world.said(f"i-{seq}")[-1:] == [CANCELLED] for seq in range(0, 50, 2))
    assert sum(each.to is CANCELLED for each in world.reports()) == 25, "each is answered once"
    assert not any(world.said(f"i-{seq}") for seq in range(3, 49, 2))
    world.runner.end(world.runner.find("i-49"))
    world.step(5)
    assert world.committed() == 99


def test_payloads_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large payloads wait in Kafka however few they are; all are run in the end."""
    monkeypatch.setattr("streams.client.executor.executor._MOST_BYTES", 1_000)
    monkeypatch.setattr("streams.client.executor.executor._CHUNK", 2)
    world = ExecutorWorld()
    for seq in range(30):
        world.start(f"i-{seq}", seq, payload=b"x" * 600)
    for _ in range(60):
        world.step(1)
        assert world.executor is not None
        assert world.executor._dispatcher.held_bytes <= 1_000 + 3 * 600
        for run in list(world.runner.active):
            world.runner.end(run)
    assert sum(each.to is COMPLETED for each in world.reports()) == 30


def test_on_stop_reaches_work_that_runs_elsewhere() -> None:
    """It is given the signal; the cancel is answered when it returns, and not when it declines or fails."""
    world = ExecutorWorld()
    seen: list[tuple[str, SignalKind]] = []

    def prepare(executor: Executor) -> None:
        @executor.on_stop("orders", "run")
        def stop(context: Context) -> None:
            seen.append((context.invocation.invocation_id, context.kind))

    world.prepare = prepare
    for seq, name in enumerate(("stopped", "declined", "failed")):
        world.cancel(name, seq)
        world.cancel(name, seq, repeat=1)
    world.kill("killed", 9)
    world.step()
    for name, outcome in (
        ("stopped", Outcome(COMPLETED)),
        ("declined", Outcome(COMPLETED, result=False)),
        ("failed", Outcome(FAILED, "no connection")),
        ("killed", Outcome(COMPLETED)),
    ):
        run = world.runner.find(name)
        assert run.handler is not None
        run.handler(run.context)
        world.runner.end(run, outcome)
    world.step()
    assert [kind for _, kind in seen] == [SignalKind.CANCEL] * 3 + [SignalKind.KILL]
    assert [(each.invocation_id, each.to) for each in world.reports()] == [("stopped", CANCELLED)]
    assert world.committed() == 7


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


def test_a_report_that_breaks_a_rule_becomes_a_failure() -> None:
    """The executor goes on: its next life would come to the same end."""
    world = ExecutorWorld()
    world.start("a", 1)
    world.step()
    world.runner.end(world.runner.find("a"), Outcome(Status.BACKING_OFF, retry_at=2**70))
    world.step()
    last = world.reports()[-1]
    assert (last.to, (last.error or "")[:20], world.committed()) == (FAILED, "InvalidCommandError:", 1)


@pytest.mark.parametrize("deployment_id", ["", "x" * 257, "a\nb", "\udcff", 7])
def test_a_deployment_that_no_report_can_carry_is_refused_at_once(deployment_id: Any) -> None:
    """By name."""
    with pytest.raises(InvalidCommandError):
        ExecutorWorld(deployment_id=deployment_id).begin()


def test_bad_numbers_are_refused() -> None:
    """By name."""
    with pytest.raises(ValueError, match="concurrency 0"):
        ExecutorWorld(concurrency=0).begin()
