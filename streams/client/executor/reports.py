"""Reports, and what handlers invoke, on their way to the command log."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from typing import TYPE_CHECKING

from streams.client import outlet as outlets
from streams.client.errors import DeliveryError, InvalidCommandError
from streams.client.executor.run import told
from streams.model import ReportTransition, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.client.executor.context import Context
    from streams.client.executor.run import Outcome
    from streams.client.outlet import Delivery, Outlet
    from streams.model import Invoke

_WAIT = 0.1


class Reporter:
    """Sends reports, in order within a partition.

    `report_no` is the time in microseconds, and rises; only RUNNING has one. Reports that decide an invocation's fate
    (its end, its retry, that it goes on elsewhere) have none: with a number, one would be ignored if this clock is
    behind that of the executor that had the invocation before. The table takes only the first of them anyway.

    All is called by one thread, but for `invoke`, which handlers call. The end of an attempt waits for what the attempt
    has invoked: a crash between the two would lose it.
    """

    def __init__(self, outlet: Outlet, now_us: Callable[[], int], deployment_id: str | None) -> None:
        self._outlet = outlet
        self._now_us = now_us
        self._deployment_id = deployment_id
        self._last = 0
        self._failed: DeliveryError | None = None
        self._lock = threading.Lock()
        self._invoking: Counter[Context] = Counter()
        self._waiting: dict[Context, Callable[[], None]] = {}
        self._due: deque[Callable[[], None]] = deque()

    def invoke(self, context: Context, command: Invoke) -> None:
        """Send an invocation that the attempt makes; waits while the local queue is full.

        Raises:
            InvalidCommandError: it breaks a rule of the protocol.
        """
        key, value = outlets.encode(command)

        def delivered(delivery: Delivery) -> None:
            if delivery.error is not None:
                self._fail(delivery)
            else:
                self._one_less(context)

        with self._lock:
            self._invoking[context] += 1
        while True:
            try:
                self._outlet.put_record(key, value, delivered)
            except BufferError:
                time.sleep(_WAIT)  # the executor's own thread serves the queue
            else:
                return

    def _one_less(self, context: Context) -> None:
        """Count a delivered invocation; the attempt's report is due if it has waited for this one."""
        with self._lock:
            self._invoking[context] -= 1
            if not self._invoking[context]:
                del self._invoking[context]
                self._due.extend([self._waiting.pop(context)] if context in self._waiting else [])

    def _send_due(self) -> bool:
        """Send the reports that have waited; whether there were any. Not from a callback: the queue may be full."""
        due = bool(self._due)
        while self._due:
            self._due.popleft()()
        return due

    def running(self, context: Context) -> None:
        """Report that it runs, or still does; this renews its lease."""
        self._send(context, Status.RUNNING, None, None, _nothing)

    def ended(self, context: Context, outcome: Outcome, then: Callable[[], None]) -> None:
        """Report the end of an attempt; `then` is called once the report is in the log."""
        if outcome.to is None:
            raise AssertionError("an interrupted run has nothing to report")
        to = outcome.to

        def report() -> None:
            try:
                self._send(context, to, outcome.retry_at, outcome.error, then)
            except InvalidCommandError as refused:  # the next life would come to the same end, and so on forever
                self._send(context, Status.FAILED, None, told(refused), then)

        with self._lock:
            if self._invoking[context]:
                self._waiting[context] = report
                return
            del self._invoking[context]
        report()

    def serve(self) -> None:
        """Handle deliveries that are known by now.

        Raises:
            DeliveryError: a report did not get there; its signal stays uncommitted and comes again.
        """
        self._outlet.serve()
        if self._failed is not None:
            raise self._failed
        self._send_due()

    def flush(self, timeout: float) -> int:
        """Wait for deliveries, at most twice `timeout` seconds; returns the number still awaited."""
        left = self._outlet.flush(timeout)
        return self._outlet.flush(timeout) if self._send_due() else left

    def _send(
        self, context: Context, to: Status, retry_at: int | None, error: str | None, then: Callable[[], None]
    ) -> None:
        report = ReportTransition(
            context.invocation.invocation_id,
            context.attempt,
            seq=context.seq,
            report_no=self._number() if to is Status.RUNNING else None,
            to=to,
            retry_at=retry_at,
            deployment_id=self._deployment_id,
            error=error,
        )

        def delivered(delivery: Delivery) -> None:
            if delivery.error is None:
                then()
            else:
                self._fail(delivery)

        while True:
            try:
                self._outlet.put(report, delivered)
            except BufferError:
                self._outlet.serve(_WAIT)
            else:
                return

    def _fail(self, delivery: Delivery) -> None:
        if self._failed is None:
            self._failed = DeliveryError(1, (delivery.key,), delivery.error or "")

    def _number(self) -> int:
        self._last = max(self._last + 1, self._now_us())
        return self._last


def check_deployment_id(deployment_id: str | None) -> None:
    """Check a deployment id now: a bad one would be refused in each report.

    Raises:
        InvalidCommandError: no report can have this deployment id.
    """
    outlets.encode(ReportTransition("any", 1, to=Status.RUNNING, deployment_id=deployment_id))


def _nothing() -> None:
    pass
