"""One run of a handler: its signal, the requests to stop it, and its outcome."""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from streams.client.executor.context import Context, HandlerCancelledError, Retry, Suspend
from streams.client.executor.watermark import Watermark
from streams.clock import wall_clock
from streams.model import SignalKind, Status
from streams.protocol.validation import MAX_TEXT

if TYPE_CHECKING:
    from streams.client.executor.registry import Handler
    from streams.model import Cause


class Stop(IntEnum):
    """The reason why a run is to stop; a higher one overrides a lower one."""

    LEAVE = 1
    """Another executor, or this one's next life, will run it again: the stop here is not reported."""
    PAUSE = 2
    """An operator holds it: the stop here is not reported; its RESUME starts a new attempt."""
    CANCEL = 3
    """The run is reported CANCELLED when it stops."""
    KILL = 4
    """The invocation has ended already: nothing is reported, whatever the outcome."""


STOPS = {SignalKind.PAUSE: Stop.PAUSE, SignalKind.CANCEL: Stop.CANCEL, SignalKind.KILL: Stop.KILL}


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run; `to` is None if it was interrupted."""

    to: Status | None
    error: str | None = None
    retry_at: int | None = None
    result: Any = None


INTERRUPTED = Outcome(None)


class Early(NamedTuple):
    """A signal that stops a run, read before its turn at this offset; `acted`: nothing more is to be done for it."""

    attempt: int
    stop: Stop
    offset: int
    acted: bool


@dataclass(eq=False)
class AssignedPartition:
    """A partition that this executor has: its runs by seq, and early signals by seq."""

    partition: int
    watermark: Watermark = field(default_factory=Watermark)
    runs: dict[int, Run] = field(default_factory=dict)
    early: dict[int, Early] = field(default_factory=dict)

    def forget_log(self) -> None:
        """Forget all offsets: their topic is gone. Runs and waiting ones go on and are reported."""
        self.watermark = Watermark()
        self.early.clear()
        for run in self.runs.values():
            run.offsets.clear()


@dataclass(eq=False)
class Run:
    """A handler and the signal for which it runs.

    `offsets`: those of the signals that are done once the end of this run is. `over`: it has ended, but its report may
    still be on its way. `task`: that of an async handler that has begun.
    """

    part: AssignedPartition
    context: Context
    handler: Handler | None
    offsets: list[int]
    stop: Stop | None = None
    over: bool = False
    task: asyncio.Task[Outcome] | None = None
    is_async: bool = field(init=False)

    def __post_init__(self) -> None:
        call = getattr(self.handler, "__call__", None)  # noqa: B004 - an object's own may be a coroutine function
        self.is_async = any(map(inspect.iscoroutinefunction, (self.handler, call)))

    @property
    def starts(self) -> bool:
        """True if it runs the invocation, rather than stopping it elsewhere."""
        return self.context.kind is SignalKind.START

    def ask(self, stop: Stop, cause: Cause | None = None) -> None:
        """Ask it to stop, and note why."""
        self.stop = stop
        if cause is not None:
            self.context.cause = cause
        self.context.cancelled.set()

    def settle(self) -> None:
        """Mark all its signals as done."""
        for offset in self.offsets:
            self.part.watermark.done(offset)
        self.offsets.clear()
        if self.part.runs.get(self.context.seq) is self:
            del self.part.runs[self.context.seq]


def outcome_of(result: Any, error: BaseException | None, *, asked_to_stop: bool) -> Outcome:
    """The outcome for a handler's return value or exception; FAILED if it cannot be reported."""
    try:
        return _outcome_of(result, error, asked_to_stop=asked_to_stop)
    except BaseException as fault:  # noqa: BLE001 - whatever a handler returns, its place must be freed
        return Outcome(Status.FAILED, told(fault))


def told(error: BaseException) -> str:
    """The text of an error, made fit for a report: it may not be UTF-8, or raise itself."""
    kind = type(error).__name__
    try:
        text = f"{kind}: {error}"
    except BaseException as fault:  # noqa: BLE001 - any code may stand in an exception's `__str__`
        text = f"{kind}, whose text cannot be had: {type(fault).__name__}"
    return text[:MAX_TEXT].encode("utf-8", "backslashreplace").decode()[:MAX_TEXT]


def _outcome_of(result: Any, error: BaseException | None, *, asked_to_stop: bool) -> Outcome:
    said = result if error is None else error
    if said is Suspend or said is Retry:  # the class instead of an instance
        said = said()
    match said:
        case Suspend():
            return Outcome(Status.SUSPENDED)
        case Retry():
            return Outcome(Status.BACKING_OFF, retry_at=said.due(wall_clock()))
        case HandlerCancelledError() | asyncio.CancelledError() if error is not None:
            return INTERRUPTED if asked_to_stop else Outcome(Status.FAILED, "it stopped, and nobody had asked it to")
        case _ if error is not None:
            return Outcome(Status.FAILED, told(error))
        case _:
            return Outcome(Status.COMPLETED, result=result)
