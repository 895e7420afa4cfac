"""Published records: signals, the progress of batches and flows, the addresses of workers."""

from __future__ import annotations

from streams.model.base import Record
from streams.model.shared import Cause, Filter, Invocation
from streams.model.vocabulary import (
    Action,
    BatchState,
    CancelPolicy,
    FlowAction,
    FlowState,
    OnTimeout,
    SignalKind,
    SliceState,
)


class Signal(Record, frozen=True):
    """A message to an executor, which acts once for each (partition, seq, kind, attempt)."""

    kind: SignalKind
    invocation: Invocation
    seq: int
    attempt: int
    repeat: int
    at: int
    payload: bytes | None = None
    cause: Cause | None = None


class BatchHeader(Record, frozen=True):
    """`batch-slices`, key `<batch id>/lead`: the batch as requested, and the lead's state.

    `content_hash`: that of the `StartBatch` as sent; None from a lead of an earlier version.
    """

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
    content_hash: int | None = None


class SliceProgress(Record, frozen=True):
    """`batch-slices`, key `<batch id>/<partition>`: absolute counters of one slice; the highest revision wins.

    `held`: rows that wait at present because it guards them. No other counter includes them.
    """

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
    held: int = 0


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
    held: int = 0


class FlowProgress(Record, frozen=True):
    """`flows`, key the flow id: absolute numbers of one named flow; the highest revision wins.

    `members = live + pending + ended + kept + failed`. `backlog`: the reconciler looks after it; `next_due_at`: when
    it does so next, at the earliest. Fields of the cancel are absent while the flow is OPEN.
    """

    flow_id: str
    state: FlowState
    action: FlowAction | None
    policy: CancelPolicy | None
    reason: str | None
    actor: str | None
    escalated_by: str | None
    grace_ms: int | None
    on_timeout: OnTimeout | None
    members: int
    live: int
    pending: int
    ended: int
    kept: int
    failed: int
    failures: tuple[str, ...]
    backlog: bool
    next_due_at: int | None
    revision: int
    created_at: int
    updated_at: int


class WorkerAddress(Record, frozen=True):
    """`workers`, key the partition's number: the worker that answers queries about a partition.

    `url`: where it serves them, without a path. `since`: when it took the partition over. `revision`: the worker's
    place in the changelog then, which rises from worker to worker; the highest wins, of equal ones the later record.
    """

    partition: int
    url: str
    worker_id: str
    engine_version: int
    since: int
    revision: int
