"""What workers write to the log themselves, in the transaction that caused it; and all that may stand there."""

from __future__ import annotations

from streams.model.base import Record
from streams.model.commands import Act, CancelFlow, ControlBatch, Invoke, ReportTransition, StartBatch
from streams.model.shared import Cause, Filter
from streams.model.vocabulary import Action, OnTimeout, SliceOperation, SlicePhase


class StartSlice(Record, frozen=True):
    """The lead tells a partition to begin its part; the offset of this record is the slice's cut-off.

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
    """Handle the next page of a slice; `max_bytes`: about as many it may write, 0 means 4 MiB."""

    engine_version: int
    partition: int
    batch_id: str
    page: int
    max_scanned: int
    max_matched: int
    max_bytes: int = 0


class ControlSlice(Record, frozen=True):
    """The lead changes a partition's slice.

    `budget`: with GRANT, how many rows of the limit are left for this slice; with 0 it is over. `max_rate`: with
    SET_RATE, the slice's share, rows a second.
    """

    engine_version: int
    partition: int
    batch_id: str
    operation: SliceOperation
    budget: int | None = None
    max_rate: float | None = None


class SliceReport(Record, frozen=True):
    """A slice tells its lead (`partition`) how far it has come.

    `acted`: rows that its pages have acted on. `aborted`: an abort came before its last page.
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
    """Start held rows that no slice guards any longer: those behind the seq `after`, at most `max_rows` looked at.

    `max_bytes`: as in `ContinueSlice`.
    """

    engine_version: int
    partition: int
    release_no: int
    after: int
    max_rows: int
    max_bytes: int = 0


class Tick(Record, frozen=True):
    """Time acts: handle what is due, at most `max_rows` pieces of work; `max_bytes`: as in `ContinueSlice`."""

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
    | ReleaseHeld
    | Tick
)
"""What may stand in the command log."""

Internal = StartSlice | ContinueSlice | ControlSlice | SliceReport | ReleaseHeld | Tick
"""Commands that only workers write; each carries its partition and the engine's version."""
