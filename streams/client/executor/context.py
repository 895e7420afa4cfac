"""A handler's context, and the outcomes it may give besides a return."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Final

from streams.client import compose
from streams.client.ids import child_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    from streams.model import Cause, Invocation, Invoke, Signal, SignalKind

    Send = Callable[["Context", Invoke], None]

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

    def __init__(self, signal: Signal, partition: int, send: Send) -> None:
        self.invocation: Invocation = signal.invocation
        self.payload: bytes | None = signal.payload
        self.kind: SignalKind = signal.kind
        self.attempt: int = signal.attempt
        self.seq: int = signal.seq
        self.at: int = signal.at
        self.partition: int = partition
        self.cause: Cause | None = signal.cause
        self.cancelled = threading.Event()
        self._send = send

    def invoke(
        self,
        service: str,
        handler: str,
        payload: bytes | None = None,
        *,
        name: str | None = None,
        scheduled_at: int | None = None,
        **options: Unpack[compose.InvocationOptions],
    ) -> str:
        """Queue an invocation as a child of this one, and return its id; in a thread and in the event loop alike.

        Whoever cancels or kills this invocation cancels or kills the child, too, and so does a cancel of its flow. The
        end of this attempt is reported once the child is in the log. It waits only while the local queue is full.

        Args:
            service: the service it belongs to.
            handler: the handler that its executor calls.
            payload: bytes for the handler, at most 256 KiB.
            name: a name for this child: however often the handler runs, there is one child of a name. Else the id is
                a new one, or the one in `options`.
            scheduled_at: milliseconds since 1970; started at once when absent.
            options: `InvocationOptions`. Unless told otherwise, `parent_id` is this invocation and `flow_id` its flow;
                None: no parent, no flow.

        Raises:
            InvalidCommandError: it breaks a rule of the protocol; nothing was sent.
        """
        own = self.invocation
        given: compose.InvocationOptions = {"flow_id": own.flow_id, "parent_id": own.invocation_id, **options}
        if name is not None:
            if "invocation_id" in options:
                raise TypeError("name and invocation_id are both given: leave one of them out")
            key = options.get("object_key")
            given["invocation_id"] = child_id(own.invocation_id, self.seq, name, service, key)
        command = compose.invoke(service, handler, payload, scheduled_at, given)
        self._send(self, command)
        return command.invocation.invocation_id

    def raise_if_cancelled(self) -> None:
        """Raise `HandlerCancelledError` if the handler was asked to stop: call it where stopping does no harm."""
        if self.cancelled.is_set():
            raise HandlerCancelledError

    def sleep(self, seconds: float) -> None:
        """Sleep in a handler that runs in a thread; raises `HandlerCancelledError` early if it is asked to stop."""
        self.cancelled.wait(seconds)
        self.raise_if_cancelled()
