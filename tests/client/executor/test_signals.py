"""What the executor does with each signal, and when it commits it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from streams.client import InvalidCommandError
from streams.client.executor.run import Outcome
from streams.model import SignalKind, Status
from support.service.executor_world import ExecutorWorld, ManualRunner

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
    """What a handler has come to is in the log, and its signal is dealt with."""
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
