"""The words of the protocol: statuses, actions, states."""

from __future__ import annotations

from enum import StrEnum


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


class Action(StrEnum):
    """An operator's action on invocations."""

    CANCEL = "CANCEL"
    KILL = "KILL"
    PAUSE = "PAUSE"
    RESUME = "RESUME"
    PURGE = "PURGE"


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


class BatchState(StrEnum):
    """State of a whole batch."""

    STARTING = "STARTING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    DRAINING = "DRAINING"
    COMPLETED = "COMPLETED"
    ABORTED = "ABORTED"
    REJECTED = "REJECTED"


class SignalKind(StrEnum):
    """The kind of order that a signal gives an executor."""

    START = "START"
    CANCEL = "CANCEL"
    KILL = "KILL"
    PAUSE = "PAUSE"
