"""Counters of slices that move because a row ended: exactly one slice moves a row out of `pending`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from msgspec.structs import replace

from streams.engine.effects import PutSlice
from streams.engine.slices import report_of_end, without_pages
from streams.model import SliceState

if TYPE_CHECKING:
    from streams.engine.answers import At
    from streams.engine.effects import Effect
    from streams.engine.view import View
    from streams.model import Slice

Outcome = Literal["done", "skipped", "failed"]

MAX_SAMPLES: Final = 20
"""Maximum number of ids that a slice keeps as samples, and likewise as failures."""


class Ledger:
    """The rows that one command moves out of `pending`, collected so that each slice is written once."""

    def __init__(self, at: At, view: View) -> None:
        self._at = at
        self._view = view
        self._slices: dict[str, Slice] = {}

    def settle(self, batch_id: str, outcome: Outcome, rows: int = 1, failure: str | None = None) -> None:
        """Move `rows` of the batch's slice from `pending` to `outcome`. Nothing is counted for a forgotten slice.

        `failure` is the row's id, added to the slice's failures while there is room.
        """
        slice_ = self._slices.get(batch_id) or self._view.slice(batch_id)
        if slice_ is None:
            return
        failures = slice_.failures
        if failure is not None and len(failures) < MAX_SAMPLES:
            failures = (*failures, failure)
        moved = {outcome: getattr(slice_, outcome) + rows}
        self._slices[batch_id] = replace(slice_, pending=slice_.pending - rows, failures=failures, **moved)

    def wake(self, batch_id: str) -> None:
        """Clear the `due_at` of the batch's slice: the time of its next page has come."""
        slice_ = self._slices.get(batch_id) or self._view.slice(batch_id)
        if slice_ is not None:
            self._slices[batch_id] = replace(slice_, due_at=None)

    def effects(self) -> list[Effect]:
        """A `PutSlice` for each changed slice, and a report for each slice that is now drained."""
        effects: list[Effect] = []
        for slice_ in self._slices.values():
            drained = slice_.state is SliceState.DRAINING and slice_.pending == 0
            over = without_pages(slice_) if drained else slice_
            written = replace(over, revision=self._at.offset, updated_at=self._at.now)
            effects.append(PutSlice(written))
            if drained:
                effects.append(report_of_end(written, self._at))
        return effects
