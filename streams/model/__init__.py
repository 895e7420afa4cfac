"""Every record of the protocol as a frozen struct.

Times are milliseconds since 1970 UTC (`int`), durations end in `_ms`. An absent optional field is `None`.
Field names, order and defaults are those of `schemas/<Record>.avsc`; a test holds the two equal.
"""

from streams.model.base import ENGINE_VERSION, Record
from streams.model.commands import Act, CancelFlow, ControlBatch, Invoke, ReportTransition, StartBatch
from streams.model.internal import (
    Command,
    ContinueSlice,
    ControlSlice,
    Internal,
    ReleaseHeld,
    SliceReport,
    StartSlice,
    Tick,
)
from streams.model.published import BatchHeader, BatchProgress, Signal, SliceProgress
from streams.model.shared import Cause, Ending, Exclusion, Filter, Invocation
from streams.model.table import Batch, Change, InvocationRow, Meta, PageDelta, Payload, Row, Slice
from streams.model.vocabulary import (
    Action,
    BatchState,
    CancelPolicy,
    ControlOperation,
    FlowAction,
    OnTimeout,
    SignalKind,
    SliceOperation,
    SlicePhase,
    SliceState,
    Status,
)

__all__ = [
    "ENGINE_VERSION",
    "Act",
    "Action",
    "Batch",
    "BatchHeader",
    "BatchProgress",
    "BatchState",
    "CancelFlow",
    "CancelPolicy",
    "Cause",
    "Change",
    "Command",
    "ContinueSlice",
    "ControlBatch",
    "ControlOperation",
    "ControlSlice",
    "Ending",
    "Exclusion",
    "Filter",
    "FlowAction",
    "Internal",
    "Invocation",
    "InvocationRow",
    "Invoke",
    "Meta",
    "OnTimeout",
    "PageDelta",
    "Payload",
    "Record",
    "ReleaseHeld",
    "ReportTransition",
    "Row",
    "Signal",
    "SignalKind",
    "Slice",
    "SliceOperation",
    "SlicePhase",
    "SliceProgress",
    "SliceReport",
    "SliceState",
    "StartBatch",
    "StartSlice",
    "Status",
    "Tick",
]
