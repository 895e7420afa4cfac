"""The effects of a command, as data: the engine decides, the table and the worker act.

Effects are listed in the order in which they take place. A later command of the same turn sees them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.model import (
    Batch,
    Cause,
    Command,
    Flow,
    Invocation,
    Member,
    PageDelta,
    Record,
    Row,
    SignalKind,
    Slice,
    Status,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from streams.engine.answers import StartedRow


class InsertRow(Record, frozen=True):
    """A new invocation; `payload` is stored beside it."""

    row: Row
    invocation: Invocation
    payload: bytes | None = None


class UpdateRow(Record, frozen=True):
    """The row's new state, written as a record of its own even if the row rested on a delta before."""

    row: Row


class RemoveRow(Record, frozen=True):
    """The row and its payload are forgotten (tombstones)."""

    seq: int
    invocation_id: str


class PutDelta(Record, frozen=True):
    """A change that one page makes to many rows; `left` counts them by their former status."""

    delta: PageDelta
    left: dict[Status, int]


class PutBatch(Record, frozen=True):
    """The lead's record of a batch; its header is published at the end of the turn."""

    batch: Batch


class RemoveBatch(Record, frozen=True):
    """The lead forgets a batch: tombstones for the record and the published header."""

    batch_id: str


class PutSlice(Record, frozen=True):
    """A partition's slice; its progress is published at the end of the turn."""

    slice: Slice


class RemoveSlice(Record, frozen=True):
    """The partition forgets a slice: tombstones for the record and the published progress."""

    batch_id: str


class SetPage(Record, frozen=True):
    """The number of the newest `ContinueSlice`, and whether it is outstanding."""

    page: int
    outstanding: bool


class SetRelease(Record, frozen=True):
    """The number of the newest `ReleaseHeld`, whether it is outstanding, and whether its pages then start over."""

    release_no: int
    outstanding: bool
    again: bool


class SetTick(Record, frozen=True):
    """The number of the last `Tick` done."""

    tick_no: int


class PutFlow(Record, frozen=True):
    """A flow's new state; that of a named flow is published at the end of the turn."""

    flow: Flow


class RemoveFlow(Record, frozen=True):
    """A flow and all entries of its members are forgotten; what was published of a named flow, too."""

    flow_id: str
    children: bool


class PutMembers(Record, frozen=True):
    """The same new entry for members of a flow on one partition; `seqs` rise."""

    flow_id: str
    children: bool
    partition: int
    seqs: tuple[int, ...]
    member: Member


class RemoveMembers(Record, frozen=True):
    """The entries of members of a flow on one partition are removed; `seqs` rise."""

    flow_id: str
    children: bool
    partition: int
    seqs: tuple[int, ...]


class SetReconciled(Record, frozen=True):
    """The reconciler's last turn, and the labels of the last `Tick`."""

    reconciled_at: int
    labels: dict[str, str]


class Send(Record, frozen=True):
    """A signal to executors; `encoded` holds the Avro bytes of the `Invocation`."""

    kind: SignalKind
    invocation_id: str
    encoded: bytes
    seq: int
    attempt: int
    repeat: int
    at: int
    payload: bytes | None = None
    cause: Cause | None = None


class SendAll(Record, frozen=True):
    """A page's signals: the same signal to the executor of each row."""

    kind: SignalKind
    rows: Sequence[StartedRow | Row]
    at: int
    cause: Cause | None

    def each(self) -> Iterator[Send]:
        """The signals one by one."""
        for row in self.rows:
            yield Send(self.kind, row.invocation_id, row.encoded, row.seq, row.attempt, 0, self.at, None, self.cause)


class Append(Record, frozen=True):
    """A command to write to the log in the same transaction."""

    partition: int
    key: str
    command: Command


class Count(Record, frozen=True):
    """An event worth counting that changes nothing, such as a stale report."""

    name: str
    by: int = 1


RowEffect = InsertRow | UpdateRow
"""The effects of nearly every command on the table. Code that walks effects checks for these, and for `Send`, first."""
FlowEffect = PutFlow | RemoveFlow | PutMembers | RemoveMembers
"""The effects on flows."""
SeldomEffect = (
    RemoveRow
    | PutDelta
    | PutBatch
    | RemoveBatch
    | PutSlice
    | RemoveSlice
    | SetPage
    | SetRelease
    | SetTick
    | SetReconciled
    | FlowEffect
)
TableEffect = RowEffect | SeldomEffect
"""The effects that the table applies."""
Outgoing = Send | SendAll | Append
"""The effects that the runtime sends out."""
Effect = TableEffect | Outgoing | Count
