"""The cancel reconciler's last cycle on one partition: what it did from one choice of flows to the next."""

from __future__ import annotations

from typing import Final

from streams.engine.counters import RECONCILED_FLOWS, RECONCILED_IN_VAIN, RECONCILED_MEMBERS, REMOVED_ENTRIES

OF_CYCLES: Final = frozenset({RECONCILED_FLOWS, RECONCILED_MEMBERS, RECONCILED_IN_VAIN, REMOVED_ENTRIES})
"""The engine's counts that are the reconciler's."""


class Cycle:
    """`processed`: members asked again. `errors`: flows asked before in vain, and entries that had to be removed."""

    def __init__(self) -> None:
        self.processed = self.errors = 0

    def note(self, name: str, by: int) -> None:
        """Note one of the counts `OF_CYCLES`, once its turn is committed."""
        if name == RECONCILED_FLOWS:
            self.processed = self.errors = 0
        elif name == RECONCILED_MEMBERS:
            self.processed += by
        else:
            self.errors += by
