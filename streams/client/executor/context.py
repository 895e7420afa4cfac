"""A handler's context, and the outcomes it may give besides a return."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from streams.model import Cause, Invocation, Signal, SignalKind

LATEST_MS: Final = 253_402_300_799_000
"""The end of the year 9999: no attempt is scheduled beyond it."""


class HandlerCancelledError(BaseException):
    """Raised in a handler that was asked to stop. Not an `Exception`, so that no handler swallows it by accident."""


class Suspend(Exception):  # noqa: N818 - says what comes next, and is not an error
    """Raise or return it: the work goes on elsewhere, or waits, and its end will be reported from there. SUSPENDED."""


class Retry(Exception):  # noqa: N818 - says what comes next, and is not an error
    """Raise or return it: this attempt is over, and another one is due later. BACKING_OFF.

    after: seconds from now. at: milliseconds since 1970, wins over `after`.
    """

    def __init__(self, after: float = 1.0, *, at: int | None = None) -> None:
        super().__init__(f"again after {after} s" if at is None else f"again at {at}")
        self.after = after
        self.at = at

    def due(self, now_ms: int) -> int:
        """The time of the next attempt, milliseconds since 1970, limited to the range of valid times.

        Raises:
            ValueError: `after` or `at` is not a number.
        """
        given = self.after if self.at is None else self.at
        if not isinstance(given, int | float) or math.isnan(given):
            raise ValueError(f"Retry needs a number: after seconds, or at milliseconds, and got {given!r}")
        due = now_ms + given * 1_000 if self.at is None else given
        return round(min(max(due, 0), LATEST_MS))


class Context:
    """One attempt of one invocation.

    invocation: id, service, handler, labels, ... payload: bytes from its producer.
    kind: START in a handler; CANCEL or KILL in an `on_stop` handler. cause: who asked for that, and why.
    attempt, seq, partition: together with `kind`, they identify the signal.
    cancelled: set once the handler is asked to stop.
    """

    def __init__(self, signal: Signal, partition: int) -> None:
        self.invocation: Invocation = signal.invocation
        self.payload: bytes | None = signal.payload
        self.kind: SignalKind = signal.kind
        self.attempt: int = signal.attempt
        self.seq: int = signal.seq
        self.partition: int = partition
        self.cause: Cause | None = signal.cause
        self.cancelled = threading.Event()

    def raise_if_cancelled(self) -> None:
        """Raise `HandlerCancelledError` if the handler was asked to stop: call it where stopping does no harm."""
        if self.cancelled.is_set():
            raise HandlerCancelledError

    def sleep(self, seconds: float) -> None:
        """Sleep in a handler that runs in a thread; raises `HandlerCancelledError` early if it is asked to stop."""
        self.cancelled.wait(seconds)
        self.raise_if_cancelled()
