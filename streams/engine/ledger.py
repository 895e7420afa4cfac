"""Counters of slices that move because a row ended: exactly one slice moves a row out of `pending`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from msgspec.structs import replace

from streams.engine.effects import Append, PutSlice
from streams.model import ENGINE_VERSION, SlicePhase, SliceReport, SliceState

if TYPE_CHECKING:
    from streams.engine.effects import Effect
    from streams.engine.view import At, View
    from streams.model import Slice

Outcome = Literal["done", "skipped", "failed"]

MAX_SAMPLES: Final = 20
"""How many ids a slice keeps as samples, and as failures."""


def report_of(slice_: Slice, at: At, phase: SlicePhase) -> Append:
    """Tells the lead of `slice_` how far it has come."""
    acted = slice_.done + slice_.pending + slice_.failed
    report = SliceReport(ENGINE_VERSION, slice_.lead, slice_.batch_id, at.partition, phase, slice_.cutoff, acted)
    return Append(slice_.lead, slice_.batch_id, report)


class Ledger:
    """Collects what one command moves out of `pending`, so that each slice is written once."""

    def __init__(self, at: At, view: View) -> None:
        self._at = at
        self._view = view
        self._slices: dict[str, Slice] = {}

    def settle(self, batch_id: str, outcome: Outcome, rows: int = 1, failure: str | None = None) -> None:
        """Move `rows` of the slice of `batch_id` from pending to `outcome`; a forgotten slice counts nothing.

        `failure` is the id of the row, kept with the slice's failures as long as there is room.
        """
        slice_ = self._slices.get(batch_id) or self._view.slice(batch_id)
        if slice_ is None:
            return
        failures = slice_.failures
        if failure is not None and len(failures) < MAX_SAMPLES:
            failures = (*failures, failure)
        moved = {outcome: getattr(slice_, outcome) + rows}
        self._slices[batch_id] = replace(slice_, pending=slice_.pending - rows, failures=failures, **moved)

    def effects(self) -> list[Effect]:
        """The slices as they stand now, and a report for each that has become drained."""
        effects: list[Effect] = []
        for slice_ in self._slices.values():
            drained = slice_.state is SliceState.DRAINING and slice_.pending == 0
            state = SliceState.COMPLETED if drained else slice_.state
            written = replace(slice_, state=state, revision=self._at.offset, updated_at=self._at.now)
            effects.append(PutSlice(written))
            if drained:
                effects.append(report_of(written, self._at, SlicePhase.DRAINED))
        return effects
