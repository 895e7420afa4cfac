"""The batches that a partition leads, and its slices of all batches: unfinished ones in memory, the others on disk."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import replace

from streams.codec import encode
from streams.engine.effects import PutBatch, PutSlice, RemoveBatch, RemoveSlice
from streams.engine.guarding import guard_of, guarding
from streams.engine.lead import header_of
from streams.engine.lead_control import expiry_of
from streams.engine.slices import progress_of, takes_turns
from streams.model import Batch, Slice
from streams.state import remembered
from streams.state.deadlines import Deadlines
from streams.state.door import Door
from streams.state.held import HeldCounts
from streams.state.keys import batch_key, slice_key
from streams.state.remembered import Written, over_since

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence

    from streams.engine.guarding import Guard
    from streams.state.overlay import Changelog
    from streams.state.remembered import Kind, OverCounts

_R = TypeVar("_R", Batch, Slice)


class Batches:
    """Records of batches and slices, and what is derived from them: turns, guards, the door, deadlines.

    Args:
        db: the partition's store; read by `reload`, written by `flush`.
        partition: its number.
    """

    def __init__(self, db: sqlite3.Connection, partition: int) -> None:
        self._db = db
        self._partition = partition
        self.running_batches: dict[str, Batch] = {}
        self.running_slices: dict[str, Slice] = {}
        self.over_counts: OverCounts = remembered.over_counts(db)
        self.held = HeldCounts(db)
        self.door = Door()
        self.due_slices = Deadlines()
        self.expiring = Deadlines()
        self._changed_batches: dict[str, Batch | None] = {}
        self._changed_slices: dict[str, Slice | None] = {}
        self._guarding: dict[str, Guard] = {}
        self._turns: tuple[str, ...] | None = None

    # --- a turn ---

    def absorb(self, effect: PutBatch | RemoveBatch | PutSlice | RemoveSlice) -> None:
        """Put or remove a record."""
        match effect:
            case PutSlice(slice=slice_):
                _keep(self.running_slices, slice_.batch_id, slice_)
                self._changed_slices[slice_.batch_id] = slice_
                self._derive(slice_)
            case RemoveSlice(batch_id=batch_id):
                self.running_slices.pop(batch_id, None)
                self._changed_slices[batch_id] = None
                self.door.remove(batch_id)
                self._guarding.pop(batch_id, None)
                self.due_slices.set(batch_id, None)
                self._turns = None
            case PutBatch(batch=batch):
                _keep(self.running_batches, batch.start.batch_id, batch)
                self._changed_batches[batch.start.batch_id] = batch
                self.expiring.set(batch.start.batch_id, expiry_of(batch) if over_since(batch) is None else None)
            case RemoveBatch(batch_id=batch_id):
                self.running_batches.pop(batch_id, None)
                self._changed_batches[batch_id] = None
                self.expiring.set(batch_id, None)

    def flush(self) -> Changelog:
        """Write the turn's changes to the store's open transaction; returns them for the changelog."""
        if not (self._changed_slices or self._changed_batches):
            return []
        changelog = self._flush("slices", slice_key, self._changed_slices)
        changelog += self._flush("batches", batch_key, self._changed_batches)
        self.over_counts = remembered.over_counts(self._db)
        return changelog

    def published(self, next_offset: int, clock: int) -> Changelog:
        """Progress to publish: each slice and header that the turn changed. None is a tombstone.

        A slice whose number of waiting rows changed is published, too. Its record then has the last offset of the turn,
        which ends before `next_offset` at `clock`, ms.
        """
        changed = self._changed_slices
        records: Changelog = [
            (f"{batch_id}/lead", None if batch is None else encode(header_of(batch)))
            for batch_id, batch in self._changed_batches.items()
        ]
        before = dict.fromkeys(self._guarding, -1) if self.held.unknown else self.held.by_batch
        now = self.held.count([guard.slice for guard in self._guarding.values()])
        moved = [each for each in before.keys() | now.keys() if before.get(each, 0) != now.get(each, 0)]
        others = [self.running_slices[each] for each in sorted(moved) if each not in changed and each in self._guarding]
        slices = dict(changed) | {
            each.batch_id: replace(each, revision=next_offset - 1, updated_at=clock) for each in others
        }
        records += [
            (
                f"{batch_id}/{self._partition}",
                None if slice_ is None else encode(progress_of(slice_, self._partition, now.get(batch_id, 0))),
            )
            for batch_id, slice_ in slices.items()
        ]
        return records

    def forget(self) -> None:
        """Forget the turn's changes: the store has them, committed or about to be."""
        self._changed_slices.clear()
        self._changed_batches.clear()

    def reload(self) -> None:
        """Read all unfinished batches and slices from the store again."""
        self.forget()
        self.running_batches = remembered.running(self._db, "batches", Batch)
        self.running_slices = remembered.running(self._db, "slices", Slice)
        self.over_counts = remembered.over_counts(self._db)
        self.held = HeldCounts(self._db)
        self.door, self.due_slices, self.expiring = Door(), Deadlines(), Deadlines()
        self._guarding.clear()
        self._turns = None
        for slice_ in self.running_slices.values():
            self._derive(slice_)
        for batch_id, batch in self.running_batches.items():
            self.expiring.set(batch_id, expiry_of(batch))

    # --- one of them ---

    def batch(self, batch_id: str) -> Batch | None:
        """A batch that is led here, over or not; None if unknown."""
        return self._one("batches", Batch, batch_id, self._changed_batches, self.running_batches)

    def slice(self, batch_id: str) -> Slice | None:
        """This partition's slice of a batch, over or not; None if unknown."""
        return self._one("slices", Slice, batch_id, self._changed_slices, self.running_slices)

    def _one(
        self, kind: Kind, of: type[_R], batch_id: str, changed: Mapping[str, _R | None], running: Mapping[str, _R]
    ) -> _R | None:
        if batch_id in running:
            return running[batch_id]
        return changed[batch_id] if batch_id in changed else remembered.one(self._db, kind, of, batch_id)

    # --- what is derived ---

    def turns(self) -> Sequence[str]:
        """Ids of the batches whose slice has a page to do now (`slices.takes_turns`), in order of their cut-off."""
        if self._turns is None:
            waiting = sorted(filter(takes_turns, self.running_slices.values()), key=attrgetter("cutoff"))
            self._turns = tuple(slice_.batch_id for slice_ in waiting)
        return self._turns

    def guarding(self) -> Sequence[Guard]:
        """The slices that guard starts, as `guarding.guarding` says."""
        return tuple(self._guarding.values())

    def finished(self, before: int, limit: int) -> Sequence[str]:
        """Batches led here that are over and whose `updated_at < before`, oldest first."""
        changed = self._changed_batches
        over = remembered.finished(self._db, before, limit + len(changed))
        found = [(when, batch_id) for when, batch_id in over if batch_id not in changed]
        for batch_id, batch in changed.items():
            when = None if batch is None else over_since(batch)
            if when is not None and when < before:
                found.append((when, batch_id))
        return [batch_id for _, batch_id in sorted(found)[:limit]]

    def next_due(self) -> int | None:
        """The earliest time at which a slice or batch is due, ms; None if none is."""
        times = (self.due_slices.earliest(), self.expiring.earliest())
        return min((time for time in times if time is not None), default=None)

    def _derive(self, slice_: Slice) -> None:
        self.door.put(slice_)
        self.due_slices.set(slice_.batch_id, slice_.due_at if over_since(slice_) is None else None)
        known = self._guarding.pop(slice_.batch_id, None)
        if guarding(slice_):
            self._guarding[slice_.batch_id] = guard_of(slice_, known)
        self._turns = None

    def _flush(
        self, kind: Kind, key: Callable[[str], str], changed: Mapping[str, Batch | None] | Mapping[str, Slice | None]
    ) -> Changelog:
        written = [
            Written(name, record, None if record is None else encode(record)) for name, record in changed.items()
        ]
        remembered.write(self._db, kind, written)
        return [(key(name), value) for name, _, value in written]


def _keep(running: dict[str, _R], batch_id: str, record: _R) -> None:
    """Keep the record among the unfinished ones for as long as it is one."""
    if over_since(record) is None:
        running[batch_id] = record
    else:
        running.pop(batch_id, None)
