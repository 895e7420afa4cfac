"""Every record of the protocol as a frozen struct.

Times are milliseconds since 1970 UTC (`int`), durations end in `_ms`. An absent optional field is `None`.
Field names, order and defaults are those of `schemas/<Record>.avsc`; a test holds the two equal.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

ENGINE_VERSION = 1
"""Version written into internal records; a worker stops at a record of a newer engine."""


class Record(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Base of all records: immutable, and cheap for the garbage collector."""


# --- enumerations -----------------------------------------------------------------------------------------------


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


# --- shared parts -----------------------------------------------------------------------------------------------


class Invocation(Record, frozen=True):
    """The part of an invocation that never changes."""

    invocation_id: str
    service: str
    handler: str
    object_key: str | None = None
    deployment_id: str | None = None
    flow_id: str | None = None
    parent_id: str | None = None
    lease_ms: int | None = None
    labels: dict[str, str] = {}


class Cause(Record, frozen=True):
    """Who asked for an act, and why."""

    batch_id: str | None = None
    flow_id: str | None = None
    actor: str | None = None
    reason: str | None = None


class Ending(Record, frozen=True):
    """How an invocation is being ended, or was."""

    cause: Cause = Cause()
    on_timeout: OnTimeout = OnTimeout.KILL
    grace_until: int | None = None
    repeat: int = 0
    counted_by: str | None = None
    error: str | None = None


class Filter(Record, frozen=True):
    """Which invocations a batch is about: fields are ANDed, values of a list ORed, an absent field matches all."""

    created_from: int | None = None
    created_until: int | None = None
    modified_from: int | None = None
    modified_until: int | None = None
    services: tuple[str, ...] | None = None
    handlers: tuple[str, ...] | None = None
    object_keys: tuple[str, ...] | None = None
    deployment_ids: tuple[str, ...] | None = None
    statuses: tuple[Status, ...] | None = None
    flow_ids: tuple[str, ...] | None = None
    parent_ids: tuple[str, ...] | None = None
    invocation_ids: tuple[str, ...] | None = None
    batch_ids: tuple[str, ...] | None = None
    labels: dict[str, str] | None = None
    match_all: bool = False


# --- commands of clients and executors --------------------------------------------------------------------------


class Invoke(Record, frozen=True):
    """Bring an invocation into the table.

    `encoded` is not a field of the schema: it holds the Avro bytes of `invocation` under today's schema, so that
    they can be carried into the row and its signals without encoding them again.
    """

    invocation: Invocation
    scheduled_at: int | None = None
    adopt: bool = False
    payload: bytes | None = None
    encoded: bytes = b""


class ReportTransition(Record, frozen=True):
    """An executor says how an invocation gets on."""

    invocation_id: str
    attempt: int
    seq: int | None = None
    report_no: int | None = None
    to: Status = Status.RUNNING
    retry_at: int | None = None
    deployment_id: str | None = None
    error: str | None = None


class Act(Record, frozen=True):
    """One action on one invocation."""

    invocation_id: str
    action: Action
    grace_ms: int | None = None
    on_timeout: OnTimeout = OnTimeout.KILL
    only_unstarted: bool = False
    cause: Cause = Cause()


class StartBatch(Record, frozen=True):
    """One action on all invocations that a filter matches."""

    batch_id: str
    action: Action
    filter: Filter
    dry_run: bool = False
    limit: int | None = None
    max_rate: float | None = None
    grace_ms: int | None = None
    on_timeout: OnTimeout = OnTimeout.KILL
    standing_until: int | None = None
    expires_at: int | None = None
    reason: str | None = None
    actor: str | None = None


class ControlBatch(Record, frozen=True):
    """Change a batch while it runs."""

    batch_id: str
    operation: ControlOperation
    control_no: int | None = None
    max_rate: float | None = None
    actor: str | None = None


class CancelFlow(Record, frozen=True):
    """Cancel a flow and its members."""

    flow_id: str
    action: FlowAction
    policy: CancelPolicy
    grace_ms: int | None = None
    on_timeout: OnTimeout = OnTimeout.KILL
    reason: str | None = None
    actor: str | None = None


# --- internal commands: written by workers, in the transaction that caused them ---------------------------------


class StartSlice(Record, frozen=True):
    """The lead tells a partition to begin its part; the offset of this record is the slice's cut-off."""

    engine_version: int
    partition: int
    batch_id: str
    lead: int
    action: Action
    filter: Filter
    dry_run: bool
    grace_ms: int
    on_timeout: OnTimeout
    cause: Cause


class ContinueSlice(Record, frozen=True):
    """Handle the next page of a slice."""

    engine_version: int
    partition: int
    batch_id: str
    page: int
    max_scanned: int
    max_matched: int


class ControlSlice(Record, frozen=True):
    """The lead changes a partition's slice."""

    engine_version: int
    partition: int
    batch_id: str
    operation: SliceOperation


class SliceReport(Record, frozen=True):
    """A slice tells its lead (`partition`) how far it has come."""

    engine_version: int
    partition: int
    batch_id: str
    slice_partition: int
    phase: SlicePhase
    cutoff: int
    acted: int


class Tick(Record, frozen=True):
    """Time acts: handle what is due, at most `max_rows` pieces of work."""

    engine_version: int
    partition: int
    tick_no: int
    due_until: int
    ended_before: int
    batches_ended_before: int
    reconcile_interval_ms: int
    max_rows: int
    reconcile_labels: dict[str, str] = {}


Command = (
    Invoke
    | ReportTransition
    | Act
    | StartBatch
    | ControlBatch
    | CancelFlow
    | StartSlice
    | ContinueSlice
    | ControlSlice
    | SliceReport
    | Tick
)
"""What may stand in the command log."""

Internal = StartSlice | ContinueSlice | ControlSlice | SliceReport | Tick
"""Commands that only workers write; each carries its partition and the engine's version."""


# --- the table: records of the changelog ------------------------------------------------------------------------


class InvocationRow(Record, frozen=True):
    """`i/<invocation id>`: one invocation as it stands.

    On the hot path the table holds it as `Row`, which carries the encoded `invocation` instead of the decoded one.
    """

    invocation: Invocation
    seq: int
    content_hash: int
    status: Status
    attempt: int
    last_report_no: int
    created_at: int
    modified_at: int
    started_seq: int | None = None
    deployment_id: str | None = None
    scheduled_at: int | None = None
    due_at: int | None = None
    paused_from: Status | None = None
    held: bool = False
    ending: Ending | None = None


class Row(Record, frozen=True):
    """An `InvocationRow` with the encoded invocation carried along.

    `encoded`: Avro bytes of the `Invocation`. `lease_ms`: as in the invocation. `last_report_no` is -1 when the
    attempt has not reported. `delta`: offset of the `PageDelta` the row rests on; None when it rests on its own
    record. The last two fields are no part of the row's record.
    """

    invocation_id: str
    encoded: bytes
    seq: int
    content_hash: int
    status: Status
    attempt: int
    last_report_no: int
    created_at: int
    modified_at: int
    started_seq: int | None = None
    deployment_id: str | None = None
    scheduled_at: int | None = None
    due_at: int | None = None
    paused_from: Status | None = None
    held: bool = False
    ending: Ending | None = None
    lease_ms: int | None = None
    delta: int | None = None


class Payload(Record, frozen=True):
    """`p/<invocation id>`: the invocation's payload, written once."""

    payload: bytes


class Change(Record, frozen=True):
    """Rows that a page brought to the same place; `seqs`: the first absolute, then differences, rising."""

    status: Status
    paused_from: Status | None = None
    due_at: int | None = None
    seqs: tuple[int, ...] = ()


class PageDelta(Record, frozen=True):
    """`d/<offset>`: what one page did to many rows; all of these fields are set on every row listed."""

    modified_at: int
    ending: Ending | None
    changes: tuple[Change, ...]


class Batch(Record, frozen=True):
    """`b/<batch id>`: a batch as its lead partition remembers it.

    `start` has the filter's invocation ids removed once they are handed to the slices; `ids` is their count.
    `phases[p]` is the last phase partition p reported, None before its first report; `cutoffs[p]` likewise, -1.
    """

    start: StartBatch
    content_hash: int
    ids: int | None
    state: BatchState
    error: str | None
    phases: tuple[SlicePhase | None, ...]
    cutoffs: tuple[int, ...]
    revision: int
    created_at: int
    updated_at: int


class Slice(Record, frozen=True):
    """`s/<batch id>`: one partition's part of a batch.

    `cursor`: the seq up to which rows are handled (-1 at the start), or, with a filter by ids, how many ids are.
    """

    batch_id: str
    lead: int
    action: Action
    filter: Filter
    dry_run: bool
    grace_ms: int
    on_timeout: OnTimeout
    cause: Cause
    state: SliceState
    cutoff: int
    cursor: int
    scan_total: int
    scanned: int
    matched: int
    done: int
    pending: int
    skipped: int
    failed: int
    samples: tuple[str, ...]
    failures: tuple[str, ...]
    revision: int
    created_at: int
    updated_at: int


class Meta(Record, frozen=True):
    """`m/`: the partition's own record.

    `clock`: the highest timestamp seen. `counts`: rows by status. `page`: number of the newest `ContinueSlice`;
    it is outstanding while `page_outstanding`. `tick_no`: number of the last `Tick` done.
    """

    engine_version: int = ENGINE_VERSION
    partitions: int = 0
    next_offset: int = 0
    clock: int = 0
    commands_topic_id: str = ""
    changelog_topic_id: str = ""
    counts: dict[str, int] = {}
    page: int = 0
    page_outstanding: bool = False
    tick_no: int = 0


# --- what is published ------------------------------------------------------------------------------------------


class Signal(Record, frozen=True):
    """What an executor is told; it acts once for each (partition, seq, kind, attempt)."""

    kind: SignalKind
    invocation: Invocation
    seq: int
    attempt: int
    repeat: int
    at: int
    payload: bytes | None = None
    cause: Cause | None = None


class BatchHeader(Record, frozen=True):
    """`batch-slices`, key `<batch id>/lead`: the batch as asked for, and the lead's state."""

    batch_id: str
    action: Action
    filter: Filter
    dry_run: bool
    limit: int | None
    max_rate: float | None
    grace_ms: int | None
    on_timeout: OnTimeout
    standing_until: int | None
    expires_at: int | None
    reason: str | None
    actor: str | None
    invocation_ids_count: int | None
    state: BatchState
    error: str | None
    partitions_total: int
    revision: int
    created_at: int
    updated_at: int


class SliceProgress(Record, frozen=True):
    """`batch-slices`, key `<batch id>/<partition>`: absolute counters of one slice; the highest revision wins."""

    batch_id: str
    partition: int
    state: SliceState
    cutoff: int
    cursor: int
    scan_total: int
    scanned: int
    matched: int
    done: int
    pending: int
    skipped: int
    failed: int
    samples: tuple[str, ...]
    failures: tuple[str, ...]
    revision: int
    updated_at: int


class BatchProgress(Record, frozen=True):
    """`batches`, key the batch id: header and slices merged into one record."""

    batch_id: str
    action: Action
    filter: Filter
    dry_run: bool
    limit: int | None
    max_rate: float | None
    grace_ms: int | None
    on_timeout: OnTimeout
    standing_until: int | None
    expires_at: int | None
    reason: str | None
    actor: str | None
    invocation_ids_count: int | None
    state: BatchState
    error: str | None
    partitions_total: int
    partitions_done: int
    scan_total: int
    scanned: int
    matched: int
    done: int
    pending: int
    skipped: int
    failed: int
    rate: float
    eta_ms: int | None
    samples: tuple[str, ...]
    failures: tuple[str, ...]
    revision: int
    created_at: int
    updated_at: int
    finished_at: int | None = None
