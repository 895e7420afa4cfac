"""Commands that workers write to the log, in the transaction that causes them; and all commands of the log."""

from __future__ import annotations

from streams.model.base import Record
from streams.model.commands import ClientCommand
from streams.model.shared import Cause, Filter
from streams.model.vocabulary import (
    Action,
    CancelPolicy,
    FlowAction,
    MemberAnswer,
    OnTimeout,
    SliceOperation,
    SlicePhase,
)


class StartSlice(Record, frozen=True):
    """The lead's order to a partition to start its slice. The offset of this record is the slice's cut-off.

    `budget`, `max_rate`, `standing_until`: as in `Slice`.
    """

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
    budget: int | None = None
    max_rate: float | None = None
    standing_until: int | None = None


class ContinueSlice(Record, frozen=True):
    """Handle the next page of a slice. `max_bytes`: about the most bytes it may write; 0 means 4 MiB."""

    engine_version: int
    partition: int
    batch_id: str
    page: int
    max_scanned: int
    max_matched: int
    max_bytes: int = 0


class ControlSlice(Record, frozen=True):
    """The lead's change to a partition's slice.

    `budget`: with GRANT, number of rows of the limit left for this slice; 0 ends it. `max_rate`: with
    SET_RATE, the slice's share, rows per second.
    """

    engine_version: int
    partition: int
    batch_id: str
    operation: SliceOperation
    budget: int | None = None
    max_rate: float | None = None


class SliceReport(Record, frozen=True):
    """A slice's report of its progress to its lead (`partition`).

    `acted`: number of rows that it acted on. `aborted`: an abort came before its last page.
    """

    engine_version: int
    partition: int
    batch_id: str
    slice_partition: int
    phase: SlicePhase
    cutoff: int
    acted: int
    aborted: bool = False


class ReleaseHeld(Record, frozen=True):
    """Start held rows with a seq above `after` that no slice guards any longer; at most `max_rows` are looked at.

    `max_bytes`: as in `ContinueSlice`.
    """

    engine_version: int
    partition: int
    release_no: int
    after: int
    max_rows: int
    max_bytes: int = 0


class Tick(Record, frozen=True):
    """Let time act: handle what is due, at most `max_rows` pieces of work. `max_bytes`: as in `ContinueSlice`."""

    engine_version: int
    partition: int
    tick_no: int
    due_until: int
    ended_before: int
    batches_ended_before: int
    reconcile_interval_ms: int
    max_rows: int
    reconcile_labels: dict[str, str] = {}
    max_bytes: int = 0


class JoinFlow(Record, frozen=True):
    """Members that a flow has gained. They live on `member_partition`; `seqs` rise.

    `labels`: those of the members' labels that the reconciler looks at. `restarted`: the members ran before, and the
    cancel that the flow has does not reach them; `restarted_seq`: the offset at which they were restarted, else -1.
    """

    engine_version: int
    partition: int
    flow_id: str
    children: bool
    member_partition: int
    seqs: tuple[int, ...]
    labels: dict[str, str] = {}
    restarted: bool = False
    restarted_seq: int = -1


class MemberEnded(Record, frozen=True):
    """Members of a flow that have ended, for whatever reason. `seqs` rise.

    `revision`: offset, on the members' partition, of the command that caused this record; -1: not told.
    """

    engine_version: int
    partition: int
    flow_id: str
    children: bool
    member_partition: int
    seqs: tuple[int, ...]
    revision: int = -1


class MemberAck(Record, frozen=True):
    """The answer for members of a flow that have not ended. `seqs` rise.

    `invocation_ids`: with FAILED, the ids of the members, in the order of `seqs`; else empty. `revision`: as in
    `MemberEnded`.
    """

    engine_version: int
    partition: int
    flow_id: str
    children: bool
    member_partition: int
    answer: MemberAnswer
    seqs: tuple[int, ...]
    invocation_ids: tuple[str, ...] = ()
    revision: int = -1


class ActMembers(Record, frozen=True):
    """A flow's cancel for the members on one partition. It is a page: it acts on the first `max_rows` of `seqs`.

    The rest follows in another record. `max_bytes`: as in `ContinueSlice`.
    """

    engine_version: int
    partition: int
    flow_id: str
    children: bool
    action: FlowAction
    policy: CancelPolicy
    grace_ms: int
    on_timeout: OnTimeout
    cause: Cause
    seqs: tuple[int, ...]
    max_rows: int
    max_bytes: int = 0


class ContinueFlow(Record, frozen=True):
    """Ask the next page of a flow's members. It shares its number with `ContinueSlice`."""

    engine_version: int
    partition: int
    flow_id: str
    children: bool
    page: int
    max_scanned: int
    max_matched: int
    max_bytes: int = 0


Internal = (
    StartSlice
    | ContinueSlice
    | ControlSlice
    | SliceReport
    | ReleaseHeld
    | Tick
    | JoinFlow
    | MemberEnded
    | MemberAck
    | ActMembers
    | ContinueFlow
)
"""Commands that only workers write; each carries its partition and the engine's version."""

Command = ClientCommand | Internal
"""Every record that the command log may hold."""
