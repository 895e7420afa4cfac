"""Limits on how often somebody may ask."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_KEYS = 10_000
"""Keys that are remembered at once; of more, those that asked least recently are forgotten."""

_ROUNDING_S = 1e-6
"""What sums of times may be wrong by."""


class Rate:
    """Up to `a_second` requests a second for each key, and `burst` at once after a pause.

    The generic cell rate algorithm (ITU-T I.371): one number per key, the time at which its next request is due if it
    keeps to the rate. `clock`: seconds, for intervals only.
    """

    def __init__(self, a_second: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._every = 1 / a_second
        self._ahead = (burst - 1) / a_second
        self._clock = clock
        self._due: OrderedDict[str, float] = OrderedDict()

    def take(self, key: str) -> float:
        """Count a request; 0 if it is within the limits, else the seconds until one is again (it is not counted)."""
        now = self._clock()
        due = max(now, self._due.get(key, now))
        wait = due - now - self._ahead
        if wait > _ROUNDING_S:
            return wait
        self._due[key] = due + self._every
        self._due.move_to_end(key)
        if len(self._due) > MOST_KEYS:
            self._due.popitem(last=False)
        return 0.0


class RecentFailures:
    """Up to `most` failures within `seconds` for each key. `clock`: seconds, for intervals only."""

    def __init__(self, most: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._seconds = seconds
        self._clock = clock
        self._failed: OrderedDict[str, deque[float]] = OrderedDict()

    def wait(self, key: str) -> float:
        """Seconds until the key may try again; 0: at once."""
        times = self._failed.get(key)
        if times is None or len(times) < self._most:
            return 0.0
        return max(0.0, times[0] + self._seconds - self._clock())

    def failed(self, key: str) -> None:
        """Count a failure."""
        times = self._failed.setdefault(key, deque(maxlen=self._most))
        times.append(self._clock())
        self._failed.move_to_end(key)
        if len(self._failed) > MOST_KEYS:
            self._failed.popitem(last=False)
