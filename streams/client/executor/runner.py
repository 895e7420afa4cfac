"""Execution of handlers, a limited number at once: sync ones in threads, async ones in an event loop."""

from __future__ import annotations

import asyncio
import inspect
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, NamedTuple, Protocol

from streams.client.executor.run import INTERRUPTED, Outcome, Run, outcome_of
from streams.model import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.client.executor.registry import Handler

_LAST_WORDS_S = 1.0
"""Time for async handlers to finish their clean-up when all else is over, seconds."""


class Event(NamedTuple):
    """The news that a run has begun (`outcome` is None) or is over."""

    run: Run
    outcome: Outcome | None


class Runs(Protocol):
    """Runs handlers; tests pass one that they control."""

    def submit(self, run: Run) -> None:
        """Begin the run as soon as there is a free place."""

    def withdraw(self, run: Run) -> bool:
        """Take back a run that has no place yet. Returns whether it was taken back."""

    def interrupt(self, run: Run) -> None:
        """Interrupt a run that was asked to stop."""

    def events(self) -> Iterator[Event]:
        """The events since the last call, in order for each run."""

    @property
    def waiting(self) -> int:
        """Number of runs without a place."""

    @property
    def running(self) -> int:
        """Number of runs that have a place."""

    def close(self) -> None:
        """End everything that can be ended. Threads that go on do not keep the process alive."""


class Runner:
    """Runs handlers, at most `concurrency` at once. Threads and loop start when they are first needed."""

    def __init__(self, concurrency: int) -> None:
        self._concurrency = concurrency
        self._lock = threading.Lock()
        self._waiting: dict[Run, None] = {}
        self._running: set[Run] = set()
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._work: SimpleQueue[Run | None] = SimpleQueue()
        self._threads = 0
        self._idle = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread: threading.Thread | None = None
        self._closed = False

    @property
    def waiting(self) -> int:
        """Number of runs without a place."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Number of runs that have a place."""
        return len(self._running)

    def submit(self, run: Run) -> None:
        """Begin the run as soon as there is a free place."""
        with self._lock:
            if len(self._running) >= self._concurrency:
                self._waiting[run] = None
                return
            self._running.add(run)
        self._start(run)

    def withdraw(self, run: Run) -> bool:
        """Take back a run that has no place yet. Returns whether it was taken back."""
        with self._lock:
            if run not in self._waiting:
                return False
            del self._waiting[run]
            return True

    def interrupt(self, run: Run) -> None:
        """Cancel an async run; a sync one sees `context.cancelled`."""
        if run.is_async and self._loop is not None:
            self._loop.call_soon_threadsafe(_cancel, run)

    def events(self) -> Iterator[Event]:
        """The events since the last call, in order for each run."""
        while not self._events.empty():
            yield self._events.get()

    def close(self) -> None:
        """End idle threads and the loop. Busy threads do not keep the process alive."""
        with self._lock:
            self._closed = True
            self._waiting.clear()
            threads, loop = self._threads, self._loop
        for _ in range(threads):
            self._work.put(None)
        if loop is not None and self._loop_thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            self._loop_thread.join(2 * _LAST_WORDS_S)

    def _start(self, run: Run) -> None:
        if run.is_async:
            self._running_loop().call_soon_threadsafe(self._begin, run)
            return
        with self._lock:
            if self._idle:
                self._idle -= 1
            else:
                self._threads += 1
                name = f"streams-handler-{self._threads}"
                # A daemon: a handler that never ends must not keep the process from ending.
                threading.Thread(target=self._serve, name=name, daemon=True).start()
        self._work.put(run)

    def _serve(self) -> None:
        """The life of a worker thread: run handlers until it is told to end."""
        while (run := self._work.get()) is not None:
            outcome = self._call(run)
            with self._lock:
                self._idle += 1
            self._over(run, outcome)

    def _call(self, run: Run) -> Outcome:
        if run.context.cancelled.is_set() or run.handler is None:
            return INTERRUPTED
        self._events.put(Event(run, None))
        try:
            result = run.handler(run.context)
        except BaseException as error:  # noqa: BLE001 - whatever a handler raises is its outcome
            return outcome_of(None, error, asked_to_stop=run.stop is not None)
        if inspect.iscoroutine(result):
            result.close()
            return Outcome(Status.FAILED, "the handler returned a coroutine: define it with `async def`")
        return outcome_of(result, None, asked_to_stop=False)

    def _over(self, run: Run, outcome: Outcome) -> None:
        self._events.put(Event(run, outcome))
        with self._lock:
            self._running.discard(run)
            following = next(iter(self._waiting), None)
            if following is None or self._closed:
                return
            del self._waiting[following]
            self._running.add(following)
        self._start(following)

    # --- in the event loop's thread ---

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._loop_thread = threading.Thread(
                    target=_live, args=(self._loop,), name="streams-handlers", daemon=True
                )
                self._loop_thread.start()
            return self._loop

    def _begin(self, run: Run) -> None:
        if run.context.cancelled.is_set() or run.handler is None:
            self._over(run, INTERRUPTED)
            return
        self._events.put(Event(run, None))
        run.task = asyncio.get_running_loop().create_task(_awaited(run, run.handler))
        run.task.add_done_callback(lambda task: self._over(run, INTERRUPTED if task.cancelled() else task.result()))


async def _awaited(run: Run, handler: Handler) -> Outcome:
    try:
        result = await handler(run.context)
    except BaseException as error:  # noqa: BLE001 - whatever a handler raises is its outcome
        return outcome_of(None, error, asked_to_stop=run.stop is not None)
    return outcome_of(result, None, asked_to_stop=False)


def _cancel(run: Run) -> None:
    if run.task is not None:
        run.task.cancel()


def _live(loop: asyncio.AbstractEventLoop) -> None:
    """The life of the event loop's thread: run the loop until it is told to end."""
    asyncio.set_event_loop(loop)
    loop.run_forever()
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks, timeout=_LAST_WORDS_S))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
