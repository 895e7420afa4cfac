"""Two workers with one id: each takes the other's place in turn, until one of them ends."""

from __future__ import annotations

import time
from typing import Final

_SOON_S: Final = 60.0
_LATER_S: Final = 3_600.0
_MORE: Final = 2
"""Number of further rounds allowed within the longer time: with little to do, a round may take minutes."""
_ESTABLISHED_S: Final = 600.0


class Rounds:
    """Counts how often this worker's place was taken, and decides when the worker is to end.

    A restarted coordinator may take the place once. Of two workers, the second one is to end, not the one that does the
    work, so the second one is allowed one round less. Neither knows for sure which it is: a worker that had been
    running for ten minutes before it first lost its place counts as the first.
    """

    def __init__(self) -> None:
        self._born = time.monotonic()
        self._times: list[float] = []
        self._borne = 0

    def another(self) -> str | None:
        """Count one more round. When this worker is to end, returns the number of rounds and their time, as text."""
        now = time.monotonic()
        times = [each for each in self._times if now - each < _LATER_S]
        if not times:
            self._borne = 2 if now - self._born > _ESTABLISHED_S else 1
        self._times = [*times, now]
        soon = sum(now - each < _SOON_S for each in self._times)
        if soon > self._borne:
            return f"{soon} times within a minute"
        if len(self._times) > self._borne + _MORE:
            return f"{len(self._times)} times within an hour"
        return None
