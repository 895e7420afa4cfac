"""The batches that a partition leads, and its slices of all batches: few, so held in memory, and written whole."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, TypeVar

from streams.codec import decode, encode
from streams.engine.batches import header_of
from streams.engine.control import expiry_of
from streams.engine.effects import PutBatch, PutSlice, RemoveBatch, RemoveSlice
from streams.engine.guards import guarding
from streams.engine.slices import progress_of, takes_turns
from streams.engine.standing import Door
from streams.model import Batch, Slice
from streams.rules import FINAL_STATES
from streams.state.deadlines import Deadlines
from streams.state.errors import ChangelogError
from streams.state.mapping import batch_key, slice_key
from streams.state.restore import write_records

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence

    from streams.state.overlay import Changelog

_R = TypeVar("_R", Batch, Slice)


class Batches:
    """Records of batches and slices, with what is derived of them: turns, guards, the door, deadlines.

    Args:
        db: the partition's store; read by `reload`, written by `flush`.
        partition: which one.
    """

    def __init__(self, db: sqlite3.Connection, partition: int) -> None:
        self._db = db
        self._partition = partition
        self.batches: dict[str, Batch] = {}
        self.slices: dict[str, Slice] = {}
        self.door = Door()
        self.due_slices = Deadlines()
        self.expiring = Deadlines()
        self._changed_batches: dict[str, Batch | None] = {}
        self._changed_slices: dict[str, Slice | None] = {}
        self._guarding: dict[str, Slice] = {}
        self._turns: tuple[str, ...] | None = None

    # --- a turn ---

    def absorb(self, effect: PutBatch | RemoveBatch | PutSlice | RemoveSlice) -> None:
        """A record is there, or gone, from now on."""
        match effect:
            case PutSlice(slice=slice_):
                self.slices[slice_.batch_id] = slice_
                self._changed_slices[slice_.batch_id] = slice_
                self._derive(slice_)
            case RemoveSlice(batch_id=batch_id):
                self.slices.pop(batch_id, None)
                self._changed_slices[batch_id] = None
                self.door.remove(batch_id)
                self._guarding.pop(batch_id, None)
                self.due_slices.set(batch_id, None)
                self._turns = None
            case PutBatch(batch=batch):
                self.batches[batch.start.batch_id] = batch
                self._changed_batches[batch.start.batch_id] = batch
                self.expiring.set(batch.start.batch_id, expiry_of(batch))
            case RemoveBatch(batch_id=batch_id):
                self.batches.pop(batch_id, None)
                self._changed_batches[batch_id] = None
                self.expiring.set(batch_id, None)

    def flush(self) -> Changelog:
        """Write what the turn changed to the store's open transaction; returns it for the changelog."""
        changelog = self._flush("slices", slice_key, self._changed_slices)
        return changelog + self._flush("batches", batch_key, self._changed_batches)

    def published(self) -> Changelog:
        """Progress to publish: one record for each slice and header that the turn changed; None is a tombstone."""
        records: Changelog = [
            (f"{batch_id}/lead", None if batch is None else encode(header_of(batch)))
            for batch_id, batch in self._changed_batches.items()
        ]
        records += [
            (f"{batch_id}/{self._partition}", None if slice_ is None else encode(progress_of(slice_, self._partition)))
            for batch_id, slice_ in self._changed_slices.items()
        ]
        return records

    def forget(self) -> None:
        """The turn's changes stand in the store, committed or about to be."""
        self._changed_slices.clear()
        self._changed_batches.clear()

    def reload(self) -> None:
        """Everything from the store."""
        self.forget()
        self.batches = _records(self._db, "batches", Batch)
        self.slices = _records(self._db, "slices", Slice)
        self.door, self.due_slices, self.expiring = Door(), Deadlines(), Deadlines()
        self._guarding.clear()
        self._turns = None
        for slice_ in self.slices.values():
            self._derive(slice_)
        for batch in self.batches.values():
            self.expiring.set(batch.start.batch_id, expiry_of(batch))

    # --- what is derived ---

    def turns(self) -> Sequence[str]:
        """Ids of the batches whose slice has a page to do now (`slices.takes_turns`), in order of their cut-off."""
        if self._turns is None:
            waiting = sorted(filter(takes_turns, self.slices.values()), key=attrgetter("cutoff"))
            self._turns = tuple(slice_.batch_id for slice_ in waiting)
        return self._turns

    def guarding(self) -> Sequence[Slice]:
        """Slices that guard starts, as `guards.guarding` says."""
        return tuple(self._guarding.values())

    def finished(self, before: int, limit: int) -> Sequence[str]:
        """Batches led here that are over and whose `updated_at < before`, oldest first."""
        over = [
            (batch.updated_at, batch_id)
            for batch_id, batch in self.batches.items()
            if batch.state in FINAL_STATES and batch.updated_at < before
        ]
        return [batch_id for _, batch_id in sorted(over)[:limit]]

    def next_due(self) -> int | None:
        """The earliest time that acts on a slice or a batch, ms; None when none does."""
        times = (self.due_slices.earliest(), self.expiring.earliest())
        return min((time for time in times if time is not None), default=None)

    def _derive(self, slice_: Slice) -> None:
        self.door.put(slice_)
        self.due_slices.set(slice_.batch_id, slice_.due_at)
        self._guarding.pop(slice_.batch_id, None)
        if guarding(slice_):
            self._guarding[slice_.batch_id] = slice_
        self._turns = None

    def _flush(self, table: str, key: Callable[[str], str], changed: Mapping[str, Batch | Slice | None]) -> Changelog:
        records = [(name, None if record is None else encode(record)) for name, record in changed.items()]
        write_records(self._db, table, dict(records))
        return [(key(name), value) for name, value in records]


def _records(db: sqlite3.Connection, table: str, kind: type[_R]) -> dict[str, _R]:
    """All records of a table, by id."""
    records = {}
    for name, value in db.execute(f"SELECT id, record FROM {table}").fetchall():  # noqa: S608 - one of two names
        record = decode(value)
        if not isinstance(record, kind):
            raise ChangelogError(f"{table}: {name} holds a {type(record).__name__}")
        records[name] = record
    return records
