"""The cancel reconciler's last cycle on one partition: what it did from one choice of flows to the next."""

from __future__ import annotations

from streams.engine.counters import RECONCILED_FLOWS, RECONCILED_IN_VAIN, RECONCILED_MEMBERS, REMOVED_ENTRIES


class Cycle:
    """`processed`: members asked again. `errors`: flows asked before in vain, and entries that had to be removed."""

    def __init__(self) -> None:
        self.processed = self.errors = 0

    def note(self, name: str, by: int) -> None:
        """Note one of the engine's counts; most are none of the reconciler's."""
        if name == RECONCILED_FLOWS:
            self.processed = self.errors = 0
        elif name == RECONCILED_MEMBERS:
            self.processed += by
        elif name in {RECONCILED_IN_VAIN, REMOVED_ENTRIES}:
            self.errors += by
