"""Counts of the rows that running slices hold back from their start, refreshed now and then for observers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from streams.state import lists
from streams.state.conditions import condition_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Mapping

    from streams.model import Filter, Slice

_ROWS_A_TURN: Final = 200
"""Average number of rows looked at per turn: the more rows are held, the less often they are counted."""


class HeldCounts:
    """Counts of held rows by batch, each row for every slice that guards it.

    While few rows are held, the counts follow the table at once; a count that looked at n rows is kept for n / 200
    turns.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.total = 0
        self.by_batch: dict[str, int] = {}
        self.unknown = True
        """True if nothing has been counted yet: what was published before may be something else."""
        self._turns_left = 0

    def count(self, guarding: Collection[Slice]) -> Mapping[str, int]:
        """The counts, refreshed if they are old enough; slices that hold nothing back are left out."""
        self._turns_left -= 1
        self.unknown = False
        ids = {slice_.batch_id for slice_ in guarding}
        if self._turns_left > 0:
            self.by_batch = {batch_id: held for batch_id, held in self.by_batch.items() if batch_id in ids}
            return self.by_batch
        (self.total,) = self._db.execute("SELECT count(*) FROM rows WHERE held = 1").fetchone()
        counts = {slice_.batch_id: self._of(slice_) if self.total else 0 for slice_ in guarding}
        self.by_batch = {batch_id: held for batch_id, held in counts.items() if held}
        self._turns_left = self.total * (1 + len(ids)) // _ROWS_A_TURN
        return self.by_batch

    def _of(self, slice_: Slice) -> int:
        condition = condition_of(_to_come(slice_), slice_.action, slice_.cutoff)
        lists.know(condition.lists)
        after = slice_.cursor if slice_.filter.invocation_ids is None else -1
        sql = f"SELECT count(*) FROM rows r WHERE r.held = 1 AND r.seq > ? AND r.seq < ? AND {condition.sql}"  # noqa: S608
        found = self._db.execute(sql, (after, slice_.cutoff, *condition.params)).fetchone()
        return int(found[0])


def _to_come(slice_: Slice) -> Filter:
    """The slice's filter; of its ids only those whose pages are still to come."""
    ids = slice_.filter.invocation_ids
    return slice_.filter if ids is None else replace(slice_.filter, invocation_ids=ids[slice_.cursor :])
