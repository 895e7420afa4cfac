"""What a handler is given, and what it may say besides returning."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from streams.model import Cause, Invocation, Signal, SignalKind

LATEST_MS: Final = 253_402_300_799_000
"""The end of the year 9999: no attempt is put off beyond it."""


class HandlerCancelledError(BaseException):
    """Raised in a handler that has been asked to stop; no `Exception`, so that no handler swallows it unawares."""


class Suspend(Exception):  # noqa: N818 - says what comes next, and is no error
    """Raise or return it: the work goes on elsewhere, or waits; whoever knows its end reports it. SUSPENDED."""


class Retry(Exception):  # noqa: N818 - says what comes next, and is no error
    """Raise or return it: this attempt is over, and another is to be started. BACKING_OFF.

    after: seconds from now. at: milliseconds since 1970, wins over `after`.
    """

    def __init__(self, after: float = 1.0, *, at: int | None = None) -> None:
        super().__init__(f"again after {after} s" if at is None else f"again at {at}")
        self.after = after
        self.at = at

    def due(self, now_ms: int) -> int:
        """When to start again, milliseconds since 1970; what is out of all bounds is brought back to them.

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

    invocation: id, service, handler, labels, ... payload: what its producer gave.
    kind: START in a handler; CANCEL or KILL in an `on_stop` handler. cause: who asked for that, and why.
    attempt, seq, partition: with these and `kind` a signal is known.
    cancelled: set as soon as the handler is to stop.
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
        """Raise `HandlerCancelledError` when the handler is to stop: call it where stopping does no harm."""
        if self.cancelled.is_set():
            raise HandlerCancelledError

    def sleep(self, seconds: float) -> None:
        """Sleep in a handler that runs in a thread; ends early, with `HandlerCancelledError`, when it is to stop."""
        self.cancelled.wait(seconds)
        self.raise_if_cancelled()
