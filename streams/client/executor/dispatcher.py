"""The effect of a signal: it starts a run, stops one, or is answered at once."""

from __future__ import annotations

import heapq
import logging
import time
from itertools import count
from typing import TYPE_CHECKING

from streams.client.executor.context import Context
from streams.client.executor.run import INTERRUPTED, STOPS, AssignedPartition, Early, Outcome, Run, Stop, told
from streams.client.executor.watch import Watch
from streams.clock import wall_clock
from streams.errors import StreamsError
from streams.model import SignalKind, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from streams.client.executor.registry import Handler, Registry
    from streams.client.executor.reports import Reporter
    from streams.client.executor.runner import Runs
    from streams.model import Signal

log = logging.getLogger("streams.executor")

_CANCELLED = Outcome(Status.CANCELLED)
_MOST_BACKOFF_MS = 300_000
_RENEWALS = 3
"""Number of renewals within the time of a lease."""


class Dispatcher:
    """Signals come in, runs and reports go out. One thread calls it.

    `monotonic`: a clock in seconds. `fail_missing`: an invocation without a handler is FAILED, not tried again.
    `watch` hears of each run.
    """

    def __init__(
        self,
        registry: Registry,
        runner: Runs,
        reporter: Reporter,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        fail_missing: bool = False,
        watch: Watch | None = None,
    ) -> None:
        self._watch = watch or Watch()
        self._registry = registry
        self._runner = runner
        self._reporter = reporter
        self._fail_missing = fail_missing
        self._services: frozenset[str] | None = None
        self._monotonic = monotonic
        self._leases: list[tuple[float, int, float, Run]] = []
        self._order = count()
        self.held_bytes = 0
        """Bytes of the payloads of all unfinished runs."""

    def serve(self, services: Collection[str] | None) -> None:
        """Set the services whose signals are handled; None: all."""
        self._services = None if services is None else frozenset(services)

    # --- signals ---

    def take(self, part: AssignedPartition, offset: int, signal: Signal) -> None:
        """Handle a signal whose turn has come."""
        if not part.watermark.seen(offset):
            return
        if not self._mine(signal):
            part.watermark.done(offset)
        elif signal.kind is SignalKind.START:
            self._start(part, offset, signal)
        else:
            self._stop(part, offset, signal)

    def look_ahead(self, part: AssignedPartition, offset: int, signal: Signal) -> None:
        """Look at a signal whose turn has not come: a signal that stops a run need not wait behind others' STARTs."""
        stop = STOPS.get(signal.kind)
        if stop is None or not self._mine(signal) or offset < part.watermark.next:
            return
        run = part.runs.get(signal.seq)
        lives = run is not None and run.starts and run.context.attempt == signal.attempt
        if run is not None and lives:
            self._ask(run, stop, signal)
        known = part.early.get(signal.seq)
        if known is None or (known.attempt, known.stop) < (signal.attempt, stop):
            part.early[signal.seq] = Early(signal.attempt, stop, offset, lives)

    def leave(self, part: AssignedPartition, *, waiting_only: bool = False) -> None:
        """Leave unfinished runs, or only those not begun, to another executor, or to this one's next life."""
        for run in list(part.runs.values()):
            if not waiting_only:
                self._ask(run, Stop.LEAVE)
            elif self._runner.withdraw(run):
                run.ask(Stop.LEAVE)
                self._finish(run, INTERRUPTED)

    def _mine(self, signal: Signal) -> bool:
        return self._services is None or signal.invocation.service in self._services

    def _missing(self, signal: Signal) -> Outcome:
        """The outcome without a handler: a retry, since this executor is more likely at fault than the producer."""
        text = told(StreamsError(self._registry.missing(signal.invocation)))
        log.error("%s (invocation %s)", text, signal.invocation.invocation_id)
        if self._fail_missing:
            return Outcome(Status.FAILED, text)
        after = min(_MOST_BACKOFF_MS, 1_000 << min(signal.attempt, 20))
        return Outcome(Status.BACKING_OFF, text, wall_clock() + after)

    def _start(self, part: AssignedPartition, offset: int, signal: Signal) -> None:
        older = part.runs.get(signal.seq)
        if older is not None and older.starts and older.stop is None and older.context.attempt == signal.attempt:
            older.offsets.append(offset)  # the topic was created again, and the run has been started already
            return
        if older is not None:  # a run of an earlier attempt, whose reports no longer count
            self._ask(older, Stop.KILL)
        run = self._new_run(part, offset, signal, self._registry.find(signal.invocation))
        early = part.early.get(signal.seq)
        if early is not None and early.attempt >= signal.attempt:
            run.ask(early.stop if early.attempt == signal.attempt else Stop.KILL)
            part.early[signal.seq] = early._replace(acted=True)
            self._finish(run, INTERRUPTED)
        elif run.handler is None:
            self._finish(run, self._missing(signal))
        else:
            self._runner.submit(run)

    def _stop(self, part: AssignedPartition, offset: int, signal: Signal) -> None:
        stop = STOPS[signal.kind]
        run = part.runs.get(signal.seq)
        early = part.early.get(signal.seq)
        if early is not None and early.offset <= offset:
            del part.early[signal.seq]
        if run is None:
            if early is not None and early.acted and early.offset == offset:
                part.watermark.done(offset)
            else:
                self._stop_elsewhere(part, offset, signal)
        elif run.context.attempt > signal.attempt:
            part.watermark.done(offset)
        elif run.context.attempt == signal.attempt and (run.starts or run.context.kind is signal.kind):
            run.offsets.append(offset)
            if run.starts:
                self._ask(run, stop, signal)
        else:
            self._ask(run, Stop.KILL)
            self._stop_elsewhere(part, offset, signal)

    def _stop_elsewhere(self, part: AssignedPartition, offset: int, signal: Signal) -> None:
        """Stop an invocation that does not run here by its `on_stop` handler; without one, answer a cancel at once."""
        run = self._new_run(part, offset, signal, self._registry.find_on_stop(signal.invocation))
        if run.handler is None:
            self._finish(run, _CANCELLED if signal.kind is SignalKind.CANCEL else INTERRUPTED)
        else:
            self._runner.submit(run)

    def _new_run(self, part: AssignedPartition, offset: int, signal: Signal, handler: Handler | None) -> Run:
        run = Run(part, Context(signal, part.partition, self._reporter.invoke), handler, [offset])
        part.runs[signal.seq] = run
        self.held_bytes += len(run.context.payload or b"")
        return run

    # --- runs ---

    def happened(self, run: Run, outcome: Outcome | None) -> None:
        """Handle the news that a run has begun (`outcome` is None) or is over."""
        if outcome is not None:
            self._finish(run, outcome if run.starts else _answer(run, outcome))
            return
        self._watch.began(run)
        if run.starts and run.stop is not Stop.KILL:
            self._reporter.running(run.context)
            self._lease(run)

    def renew_leases(self) -> None:
        """Renew leases: report RUNNING again for runs that have one."""
        now = self._monotonic()
        while self._leases and self._leases[0][0] <= now:
            _, order, every, run = heapq.heappop(self._leases)
            if not run.over and run.stop is None:
                self._reporter.running(run.context)
                heapq.heappush(self._leases, (now + every, order, every, run))

    def _lease(self, run: Run) -> None:
        lease_ms = run.context.invocation.lease_ms
        if lease_ms is not None:
            every = lease_ms / 1_000 / _RENEWALS
            heapq.heappush(self._leases, (self._monotonic() + every, next(self._order), every, run))

    def _ask(self, run: Run, stop: Stop, signal: Signal | None = None) -> None:
        """Ask a run to stop, once for each reason: asked again, a handler would be disturbed while it cleans up."""
        if run.over or (run.stop is not None and stop <= run.stop):
            return
        run.ask(stop, None if signal is None else signal.cause)
        if self._runner.withdraw(run):
            self._finish(run, INTERRUPTED)
            return
        self._runner.interrupt(run)
        if stop is Stop.KILL:  # it has ended already, whenever its handler returns
            run.settle()

    def _finish(self, run: Run, outcome: Outcome) -> None:
        """Finish a run: report its outcome if there is anything to report; its signals are then done."""
        run.over = True
        self.held_bytes -= len(run.context.payload or b"")
        if outcome.to is None and run.stop is Stop.CANCEL and run.starts:
            outcome = _CANCELLED
        self._watch.over(run, outcome)
        if run.stop is not Stop.KILL and outcome.to is not None:
            self._reporter.ended(run.context, outcome, run.settle)
        elif run.stop is not Stop.LEAVE:
            run.settle()


def _answer(run: Run, outcome: Outcome) -> Outcome:
    """The answer from the outcome of an `on_stop` handler: a cancel is answered unless it returned False or failed."""
    if outcome.to is Status.FAILED:
        log.error("on_stop handler for invocation %s: %s", run.context.invocation.invocation_id, outcome.error)
    done = outcome.to is Status.COMPLETED and outcome.result is not False
    return _CANCELLED if done and run.context.kind is SignalKind.CANCEL else INTERRUPTED
