"""The words of the protocol: statuses, actions, states."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """Where an invocation stands."""

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
    """What an operator asks for."""

    CANCEL = "CANCEL"
    KILL = "KILL"
    PAUSE = "PAUSE"
    RESUME = "RESUME"
    PURGE = "PURGE"


class OnTimeout(StrEnum):
    """What happens when a cancel's grace ends."""

    KILL = "KILL"
    LEAVE = "LEAVE"


class ControlOperation(StrEnum):
    """What a client may ask of a batch that runs."""

    PAUSE = "PAUSE"
    RESUME = "RESUME"
    ABORT = "ABORT"
    SET_RATE = "SET_RATE"


class FlowAction(StrEnum):
    """What a flow's cancel does to its members."""

    CANCEL = "CANCEL"
    KILL = "KILL"


class CancelPolicy(StrEnum):
    """Which members a flow's cancel reaches."""

    CANCEL_ALL = "CANCEL_ALL"
    CANCEL_PENDING = "CANCEL_PENDING"
    FLOW_ONLY = "FLOW_ONLY"


class SliceOperation(StrEnum):
    """What the lead asks of a partition's slice."""

    FORGET = "FORGET"
    PAUSE = "PAUSE"
    RESUME = "RESUME"
    ABORT = "ABORT"
    SET_RATE = "SET_RATE"
    GRANT = "GRANT"
    LIFT = "LIFT"


class SlicePhase(StrEnum):
    """How far a slice has come, as its lead is told."""

    STARTED = "STARTED"
    PAGES_DONE = "PAGES_DONE"
    DRAINED = "DRAINED"


class SliceState(StrEnum):
    """State of one partition's part of a batch."""

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
    """What an executor is told to do."""

    START = "START"
    CANCEL = "CANCEL"
    KILL = "KILL"
    PAUSE = "PAUSE"
