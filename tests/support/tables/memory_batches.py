"""The batches and slices of a partition's table in plain dicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.engine.effects import PutBatch, PutSlice, RemoveBatch, RemoveSlice
from streams.engine.guarding import Guard, guard_of, guarding
from streams.engine.lead_control import expiry_of
from streams.engine.slices import takes_turns
from streams.model import FINAL_SLICES, FINAL_STATES, Row, SliceState, Status
from support.reference.filters import Seen, matches
from support.tables.memory_flows import MemoryFlows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.model import Batch, Invocation, Slice


class MemoryBatches(MemoryFlows):
    """Batches that the partition leads, and its slices, by id."""

    def __init__(self, partitions: int) -> None:
        super().__init__(partitions)
        self.batches: dict[str, Batch] = {}
        self.slices: dict[str, Slice] = {}

    def batch(self, batch_id: str) -> Batch | None:
        """A batch led here."""
        return self.batches.get(batch_id)

    def slice(self, batch_id: str) -> Slice | None:
        """A slice of this partition."""
        return self.slices.get(batch_id)

    def at_the_door(self, invocation: Invocation, now: int) -> Slice | None:
        """The first rule that stands and matches a row as it would arrive, by the filter as the tests' model has it."""
        row = Row(invocation.invocation_id, b"", -1, 0, Status.PENDING, 0, -1, now, now)
        for slice_ in sorted(self.slices.values(), key=lambda slice_: slice_.cutoff):
            until = slice_.standing_until
            stands = slice_.state is SliceState.RUNNING and until is not None and now < until
            if stands and matches(slice_.filter, slice_.action, as_seen(row, invocation), slice_.cutoff):
                return slice_
        return None

    def running_slices(self) -> Sequence[str]:
        """Ids of running slices that wait for no time, by cut-off."""
        running = [slice_ for slice_ in self.slices.values() if takes_turns(slice_)]
        return [slice_.batch_id for slice_ in sorted(running, key=lambda slice_: slice_.cutoff)]

    def guarding(self) -> Sequence[Guard]:
        """Slices that guard starts."""
        return [guard_of(slice_) for slice_ in self.slices.values() if guarding(slice_)]

    def due_slices(self, until: int, limit: int) -> Sequence[Slice]:
        """Slices whose time has come."""
        going_on = {name: slice_ for name, slice_ in self.slices.items() if slice_.state not in FINAL_SLICES}
        due = [(slice_.due_at, name) for name, slice_ in going_on.items() if slice_.due_at is not None]
        return [self.slices[name] for time, name in sorted(due)[:limit] if time <= until]

    def expiring(self, until: int, limit: int) -> Sequence[Batch]:
        """Batches whose pages took too long."""
        times = [(expiry_of(batch), name) for name, batch in self.batches.items() if batch.state not in FINAL_STATES]
        due = sorted((time, name) for time, name in times if time is not None and time <= until)
        return [self.batches[name] for _, name in due[:limit]]

    def finished_batches(self, before: int, limit: int) -> Sequence[str]:
        """Batches that were over before a time."""
        over = [batch for batch in self.batches.values() if batch.state in FINAL_STATES and batch.updated_at < before]
        return [
            batch.start.batch_id
            for batch in sorted(over, key=lambda batch: (batch.updated_at, batch.start.batch_id))[:limit]
        ]

    def _absorb_batch(self, effect: PutBatch | RemoveBatch | PutSlice | RemoveSlice) -> None:
        match effect:
            case PutBatch(batch):
                self.batches[batch.start.batch_id] = batch
            case RemoveBatch(batch_id):
                del self.batches[batch_id]
            case PutSlice(slice_):
                self.slices[slice_.batch_id] = slice_
            case RemoveSlice(batch_id):
                del self.slices[batch_id]


def as_seen(row: Row, invocation: Invocation) -> Seen:
    """What the filters of the tests look at."""
    return Seen(
        invocation,
        row.seq,
        row.status,
        row.deployment_id or invocation.deployment_id,
        row.created_at,
        row.modified_at,
        row.started_seq,
        row.ending.cause.batch_id if row.ending else None,
    )
