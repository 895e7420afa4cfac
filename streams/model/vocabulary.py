"""The words of the protocol: statuses, actions, states."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Status(StrEnum):
    """Status of an invocation."""

    SCHEDULED = "SCHEDULED"
    PENDING = "PENDING"
    READY = "READY"
    RUNNING = "RUNNING"
    SUSPENDED = "SUSPENDED"
    BACKING_OFF = "BACKING_OFF"
    PAUSED = "PAUSED"
    CANCELLING = "CANCELLING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    KILLED = "KILLED"


UNSTARTED: Final = frozenset({Status.SCHEDULED, Status.PENDING})
STARTED: Final = frozenset(
    {Status.READY, Status.RUNNING, Status.SUSPENDED, Status.BACKING_OFF, Status.CANCELLING},
)
"""Statuses of rows that an executor may know. A PAUSED row counts by the status it was paused from."""
TERMINAL: Final = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.KILLED})
"""Statuses of an invocation that has ended."""


class Action(StrEnum):
    """An operator's action on invocations."""

    CANCEL = "CANCEL"
    KILL = "KILL"
    PAUSE = "PAUSE"
    RESUME = "RESUME"
    PURGE = "PURGE"
    RESTART = "RESTART"


ENDING_ACTIONS: Final = frozenset({Action.CANCEL, Action.KILL})
"""Actions that end what they match."""
ON_ENDED: Final = frozenset({Action.PURGE, Action.RESTART})
"""Actions on what has ended; every other one acts on what has not."""


class OnTimeout(StrEnum):
    """The outcome for a row that has not ended when its cancel's grace ends."""

    KILL = "KILL"
    LEAVE = "LEAVE"


class ControlOperation(StrEnum):
    """A client's change to a running batch."""

    PAUSE = "PAUSE"
    RESUME = "RESUME"
    ABORT = "ABORT"
    SET_RATE = "SET_RATE"


class FlowAction(StrEnum):
    """The effect of a flow's cancel on its members."""

    CANCEL = "CANCEL"
    KILL = "KILL"


class CancelPolicy(StrEnum):
    """The members that a flow's cancel reaches."""

    CANCEL_ALL = "CANCEL_ALL"
    CANCEL_PENDING = "CANCEL_PENDING"
    FLOW_ONLY = "FLOW_ONLY"


class FlowState(StrEnum):
    """State of a flow."""

    OPEN = "OPEN"
    CANCELLING = "CANCELLING"
    PARTIALLY_CANCELLED = "PARTIALLY_CANCELLED"
    CANCELLED = "CANCELLED"


class MemberState(StrEnum):
    """The last thing that a flow knows of a member that has not ended."""

    JOINED = "JOINED"
    ASKED = "ASKED"
    AWAITED = "AWAITED"
    KEPT = "KEPT"
    FAILED = "FAILED"
    RESTARTED = "RESTARTED"


class MemberAnswer(StrEnum):
    """The answer of a member's partition that has not ended it."""

    NOT_FOUND = "NOT_FOUND"
    KEPT = "KEPT"
    FAILED = "FAILED"
    CANCELLING = "CANCELLING"


class SliceOperation(StrEnum):
    """The lead's order to a partition's slice."""

    FORGET = "FORGET"
    PAUSE = "PAUSE"
    RESUME = "RESUME"
    ABORT = "ABORT"
    SET_RATE = "SET_RATE"
    GRANT = "GRANT"
    LIFT = "LIFT"


class SlicePhase(StrEnum):
    """The progress of a slice, as reported to its lead."""

    STARTED = "STARTED"
    PAGES_DONE = "PAGES_DONE"
    DRAINED = "DRAINED"


class SliceState(StrEnum):
    """State of one partition's slice of a batch."""

    WAITING = "WAITING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    DRAINING = "DRAINING"
    COMPLETED = "COMPLETED"
    ABORTED = "ABORTED"


PAGING_SLICES: Final = frozenset({SliceState.WAITING, SliceState.RUNNING, SliceState.PAUSED})
"""States of a slice that has pages to do."""
FINAL_SLICES: Final = frozenset({SliceState.COMPLETED, SliceState.ABORTED})
"""States of a slice that is over."""


class BatchState(StrEnum):
    """State of a whole batch."""

    STARTING = "STARTING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    DRAINING = "DRAINING"
    COMPLETED = "COMPLETED"
    ABORTED = "ABORTED"
    REJECTED = "REJECTED"


PAGING_STATES: Final = frozenset({BatchState.STARTING, BatchState.RUNNING, BatchState.PAUSED})
"""States of a batch that has pages to do."""
FINAL_STATES: Final = frozenset({BatchState.COMPLETED, BatchState.ABORTED, BatchState.REJECTED})
"""States of a batch that is over and no longer changes."""


class SignalKind(StrEnum):
    """The kind of order that a signal gives an executor."""

    START = "START"
    CANCEL = "CANCEL"
    KILL = "KILL"
    PAUSE = "PAUSE"
