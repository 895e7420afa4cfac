"""Handlers at work in threads and in the event loop."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from streams.client.executor.context import LATEST_MS, Context, HandlerCancelledError, Retry, Suspend
from streams.client.executor.run import AssignedPartition, Outcome, Run, Stop
from streams.client.executor.runner import Runner
from streams.model import Invocation, Signal, SignalKind, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streams.client.executor.registry import Handler

ENOUGH_S = 20.0


class Bench:
    """A runner, and what it has said."""

    def __init__(self, concurrency: int) -> None:
        self.runner = Runner(concurrency)
        self.outcomes: dict[Run, Outcome] = {}
        self.begun: list[Run] = []

    def submit(self, handler: Handler) -> Run:
        """Submit a run."""
        signal = Signal(SignalKind.START, Invocation("i", "s", "h"), 1, 1, 0, 0, b"payload")
        run = Run(AssignedPartition(0), Context(signal, 0, lambda *_: None), handler, [])
        self.runner.submit(run)
        return run

    def stop(self, run: Run) -> None:
        """Ask a run to stop, as the dispatcher does."""
        run.ask(Stop.CANCEL)
        self.runner.interrupt(run)

    def until(self, condition: Callable[[], Any]) -> None:
        """Take events until it holds."""
        deadline = time.monotonic() + ENOUGH_S
        while not condition():
            assert time.monotonic() < deadline
            for run, outcome in self.runner.events():
                if outcome is None:
                    self.begun.append(run)
                else:
                    self.outcomes[run] = outcome
            time.sleep(0.001)

    def outcome(self, handler: Handler) -> Outcome:
        """How such a handler ends."""
        run = self.submit(handler)
        self.until(lambda: run in self.outcomes)
        assert run in self.begun
        return self.outcomes[run]


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Two places."""
    made = Bench(2)
    yield made
    made.runner.close()


def in_both_ways(function: Callable[[Context], Any]) -> list[Handler]:
    """The same as a sync and an async handler."""

    async def asynchronous(context: Context) -> Any:
        await asyncio.sleep(0)
        return function(context)

    return [function, asynchronous]


def raising(error: BaseException | type[BaseException]) -> Callable[[Context], Any]:
    """A handler that raises."""

    def handler(_context: Context) -> None:
        raise error

    return handler


@pytest.mark.parametrize(
    ("function", "to", "error"),
    [
        (lambda context: context.payload, Status.COMPLETED, None),
        (raising(Suspend), Status.SUSPENDED, None),
        (lambda _: Suspend(), Status.SUSPENDED, None),
        (lambda _: Suspend, Status.SUSPENDED, None),
        (raising(KeyError("k")), Status.FAILED, "KeyError: 'k'"),
        (raising(SystemExit(3)), Status.FAILED, "SystemExit: 3"),
        (raising(HandlerCancelledError), Status.FAILED, "it stopped, and nobody had asked it to"),
        (raising(asyncio.CancelledError), Status.FAILED, "it stopped, and nobody had asked it to"),
        (raising(ValueError("x" * 5_000)), Status.FAILED, ("ValueError: " + "x" * 5_000)[:1_000]),
    ],
)
def test_what_a_handler_returns_or_raises_is_its_outcome(
    bench: Bench, function: Callable[[Context], Any], to: Status, error: str | None
) -> None:
    """In a thread and in the loop alike; nothing it raises reaches further."""
    for handler in in_both_ways(function):
        found = bench.outcome(handler)
        assert (found.to, found.error) == (to, error)


def test_retry_says_when(bench: Bench) -> None:
    """After seconds from now, or at a time."""
    before = time.time_ns() // 1_000_000
    for handler in in_both_ways(lambda _: Retry(after=2.5)):
        retry_at = bench.outcome(handler).retry_at
        assert retry_at is not None
        assert 2_500 <= retry_at - before < 2_500 + ENOUGH_S * 1_000
    assert bench.outcome(raising(Retry(at=77))) == Outcome(Status.BACKING_OFF, retry_at=77)


class UnspeakableError(Exception):
    """Its text cannot be had."""

    def __str__(self) -> str:
        """Raise."""
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("said", "to", "error"),
    [
        (Retry(after=float("nan")), Status.FAILED, "ValueError: Retry needs a number: after seconds, or at"),
        (Retry(after="5"), Status.FAILED, "ValueError: Retry needs a number"),  # type: ignore[arg-type]
        (Retry(after=float("inf")), Status.BACKING_OFF, None),
        (Retry(after=1e18), Status.BACKING_OFF, None),
        (Retry(at=2**70), Status.BACKING_OFF, None),
        (UnspeakableError(), Status.FAILED, "UnspeakableError, whose text cannot be had: RuntimeError"),
        (ValueError("no \udcff.txt"), Status.FAILED, "ValueError: no \\udcff.txt"),
    ],
)
def test_whatever_a_handler_hands_back_its_place_comes_free(
    bench: Bench, said: Exception, to: Status, error: str | None
) -> None:
    """A time out of all bounds is brought back to them; what cannot be said is FAILED, in a text that can be sent."""
    for handler in in_both_ways(raising(said)):
        for _ in range(2):  # a lost place of the two would be missed by the last of these four
            found = bench.outcome(handler)
            assert found.to is to
            assert (found.error or "").startswith(error or "")
            assert found.retry_at is None or found.retry_at == LATEST_MS
    bench.until(lambda: not bench.runner.running)


def test_a_coroutine_that_nobody_awaits_is_an_error(bench: Bench) -> None:
    """A sync function that returns one would be taken for done."""

    async def work(_context: Context) -> None:
        raise AssertionError("never awaited")

    assert "async def" in (bench.outcome(lambda context: work(context)).error or "")  # noqa: PLW0108 - that is the case


def test_partials_and_objects_may_be_async(bench: Bench) -> None:
    """They run in the loop."""

    class Callable_:  # noqa: N801 - a name for this test
        async def __call__(self, context: Context) -> str:
            assert asyncio.get_running_loop().is_running()
            return context.invocation.service

    async def partly(_given: int, context: Context) -> str:
        return context.invocation.service

    assert bench.outcome(Callable_()).result == "s"
    assert bench.outcome(functools.partial(partly, 1)).result == "s"


def test_no_more_at_once_than_allowed(bench: Bench) -> None:
    """Sync and async ones together; the others wait in order, or are withdrawn."""
    now, most, lock = 0, 0, threading.Lock()

    def enter(by: int) -> None:
        nonlocal now, most
        with lock:
            now += by
            most = max(most, now)

    def sync(_context: Context) -> None:
        enter(1)
        time.sleep(0.005)
        enter(-1)

    async def asynchronous(_context: Context) -> None:
        enter(1)
        await asyncio.sleep(0.005)
        enter(-1)

    runs = [bench.submit(sync if number % 2 else asynchronous) for number in range(40)]
    withdrawn = [run for run in runs[-3:] if bench.runner.withdraw(run)]
    assert withdrawn == runs[-3:]
    assert not bench.runner.withdraw(runs[0])
    bench.until(lambda: len(bench.outcomes) == 37)
    assert most == 2
    assert (bench.runner.running, bench.runner.waiting) == (0, 0)


def test_asked_to_stop(bench: Bench) -> None:
    """A sync handler sees it where it looks, an async one is cancelled, and may clean up."""
    cleaned = []

    def sync(context: Context) -> None:
        context.raise_if_cancelled()
        context.sleep(60)

    async def asynchronous(_context: Context) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            cleaned.append(True)

    runs = [bench.submit(sync), bench.submit(asynchronous)]
    bench.until(lambda: len(bench.begun) == 2)
    for run in runs:
        bench.stop(run)
    bench.until(lambda: len(bench.outcomes) == 2)
    assert [bench.outcomes[run].to for run in runs] == [None, None]
    assert cleaned == [True]


def test_stopped_before_it_began(bench: Bench) -> None:
    """Its handler is never called."""
    gate = threading.Event()

    def never(_context: Context) -> None:
        raise AssertionError("called")

    async def never_async(_context: Context) -> None:
        raise AssertionError("called")

    for _ in range(2):
        bench.submit(lambda _: gate.wait(ENOUGH_S) and None)
    runs = [bench.submit(never), bench.submit(never_async)]
    for run in runs:
        run.ask(Stop.KILL)
    gate.set()
    bench.until(lambda: len(bench.outcomes) == 4)
    assert [bench.outcomes[run].to for run in runs] == [None, None]
    assert not set(runs) & set(bench.begun)


def test_closing_ends_what_can_be_ended() -> None:
    """Async handlers are cancelled; a thread that goes on keeps nobody waiting."""
    bench, ended = Bench(2), threading.Event()

    async def asynchronous(_context: Context) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    gate = threading.Event()
    bench.submit(asynchronous)
    bench.submit(lambda _: gate.wait(ENOUGH_S) and None)
    bench.until(lambda: len(bench.begun) == 2)
    before = time.monotonic()
    bench.runner.close()
    assert ended.is_set()
    assert time.monotonic() - before < 5
    gate.set()
