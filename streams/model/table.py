"""Records of the changelog, and the form in which a table keeps them."""

from __future__ import annotations

from streams.model.base import Record
from streams.model.commands import StartBatch
from streams.model.shared import Cause, Ending, Filter, Invocation
from streams.model.vocabulary import (
    Action,
    BatchState,
    CancelPolicy,
    FlowAction,
    MemberState,
    OnTimeout,
    SlicePhase,
    SliceState,
    Status,
)


class InvocationRow(Record, frozen=True):
    """`i/<invocation id>`: the current state of one invocation.

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
    adopted: bool = False


class Row(Record, frozen=True):
    """An `InvocationRow` with the encoded invocation carried along.

    `encoded`: Avro bytes of the `Invocation`. `lease_ms`: as in the invocation. `last_report_no` is -1 when the
    attempt has not reported. `delta`: offset of the `PageDelta` the row rests on; None when it rests on its own
    record. `object_key`, `flow_id`, `parent_id`: as in the invocation. The last five fields are not part of the row's
    record.
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
    adopted: bool = False
    lease_ms: int | None = None
    delta: int | None = None
    object_key: str | None = None
    flow_id: str | None = None
    parent_id: str | None = None


class Payload(Record, frozen=True):
    """`p/<invocation id>`: the invocation's payload, written once."""

    payload: bytes


class Change(Record, frozen=True):
    """Rows that one page gave the same new values. `seqs`: rising; the first absolute, then differences."""

    status: Status
    paused_from: Status | None = None
    due_at: int | None = None
    seqs: tuple[int, ...] = ()


class PageDelta(Record, frozen=True):
    """`d/<offset>`: the change that one page made to many rows. All of these fields are set on every row listed."""

    modified_at: int
    ending: Ending | None
    changes: tuple[Change, ...]


class Batch(Record, frozen=True):
    """`b/<batch id>`: a batch as its lead partition remembers it.

    `start` has no invocation ids in its filter any longer once the slices have them; `ids` is their number.
    `phases[p]` is the last phase partition p reported, None before its first report; `cutoffs[p]` likewise, -1.
    `control_no`: the highest of its controls. `max_rate`: the current rate; `start` has the one requested first.
    `paused`, `aborting`: as last requested. `aborted`: some slice was aborted before its last page. With a limit,
    `acted` counts rows of the slices whose pages are done, and `holder` is the partition that has the rest.
    `lifted`: its rule no longer stands, and the slices have been told.
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
    control_no: int | None = None
    max_rate: float | None = None
    paused: bool = False
    aborting: bool = False
    aborted: bool = False
    acted: int = 0
    holder: int | None = None
    lifted: bool = False


class Slice(Record, frozen=True):
    """`s/<batch id>`: one partition's part of a batch.

    `cursor`: the seq up to which rows are handled (-1 at the start); with a filter by ids, the number of handled ids.
    `acted`: rows that its pages and its rule have acted on, with any outcome. `budget`: the most it may act on in all,
    None without a limit. `max_rate`: its share, rows per second; `tokens`: rows that it allowed up to `tokens_at`
    and that are not used yet. `due_at`: when the tokens allow its next page; until then it takes no turn.
    `standing_until`: until then its rule ends matching arrivals; None without a rule, or once it is lifted.
    `pages_done`: only its rule goes on.
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
    acted: int = 0
    budget: int | None = None
    max_rate: float | None = None
    tokens: float = 0.0
    tokens_at: int = 0
    due_at: int | None = None
    aborted: bool = False
    standing_until: int | None = None
    pages_done: bool = False


class Flow(Record, frozen=True):
    """`f/n/<flow id>`, `f/c/<invocation id>`: a flow as its partition keeps it; its members have entries of their own.

    `children`: it is the flow of the children of the invocation `flow_id`. `live`, `pending`, `ended`, `kept`,
    `failed`: numbers of members, `flows.counts_as` says which counts where. `action`, `policy`, `grace_ms`: of its
    cancel; None while it is OPEN. `round`: rises each time the cancel concerns further members; `escalated`, `killed`:
    the rounds from which members asked before, and members whose end is awaited, are asked again.
    `cursors`: by partition, the seq up to which members are asked in this round; the highest number when all are;
    empty when all are everywhere. `asked`: by partition, members that were asked and have not answered; empty if none.
    `due_at`: the reconciler's time for it; None if it is not in the backlog. `tries`: how often it was chosen.
    `recheck_left`: members that it may still ask in this turn of the reconciler, beginning behind `recheck_partition`
    and `recheck_seq`; `recheck_turn`: partitions that it has still to look at.
    `restarted`: of those kept, the members that joined again and that this round does not reach. `reopened`: the round
    in which it was last opened again; members' entries of that round and before count as JOINED.
    """

    flow_id: str
    children: bool
    revision: int
    created_at: int
    updated_at: int
    live: int = 0
    pending: int = 0
    ended: int = 0
    kept: int = 0
    failed: int = 0
    action: FlowAction | None = None
    policy: CancelPolicy | None = None
    grace_ms: int | None = None
    on_timeout: OnTimeout = OnTimeout.KILL
    cause: Cause = Cause()
    escalated_by: str | None = None
    round: int = 0
    escalated: int = 0
    killed: int = 0
    cursors: tuple[int, ...] = ()
    asked: tuple[int, ...] = ()
    failures: tuple[str, ...] = ()
    due_at: int | None = None
    tries: int = 0
    recheck_left: int = 0
    recheck_turn: int = 0
    recheck_partition: int = 0
    recheck_seq: int = -1
    recheck_labels: dict[str, str] = {}
    restarted: int = 0
    reopened: int = 0


class Member(Record, frozen=True):
    """`g/<n|c>/<flow id>/<partition>/<seq>`: a member that has not ended, as its flow knows it.

    `round`: the flow's when this state was entered. `invocation_id`: of a FAILED one. `restarted_seq`: the offset, on
    the member's partition, at which it was restarted last; -1: it never was.
    """

    state: MemberState = MemberState.JOINED
    round: int = 0
    labels: dict[str, str] = {}
    invocation_id: str | None = None
    restarted_seq: int = -1


class Meta(Record, frozen=True):
    """`m/`: the partition's own record.

    `clock`: the highest timestamp seen among those that count. `counts`: rows by status. `page`: number of the newest
    `ContinueSlice`; it is outstanding while `page_outstanding`. `tick_no`: number of the last `Tick` done. `release_no`
    and `release_outstanding`: the same for `ReleaseHeld`; with `release_again` its pages start over after the last one.
    `engine_since`: the first offset that an engine of `engine_version` applied; 0 where the log began with it.
    `reconciled_at`: when the reconciler last chose flows; `reconcile_labels`: the labels of the last `Tick`.
    """

    engine_version: int = 1
    partitions: int = 0
    next_offset: int = 0
    clock: int = 0
    commands_topic_id: str = ""
    changelog_topic_id: str = ""
    counts: dict[str, int] = {}
    page: int = 0
    page_outstanding: bool = False
    tick_no: int = 0
    release_no: int = 0
    release_outstanding: bool = False
    release_again: bool = False
    engine_since: int = 0
    reconciled_at: int = 0
    reconcile_labels: dict[str, str] = {}
