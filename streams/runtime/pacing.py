"""Page sizes tuned so that a turn's pages together take their time budget."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from streams.engine.view import PageSizes

if TYPE_CHECKING:
    from collections.abc import Sequence

SMALLEST = PageSizes(max_scanned=400, max_matched=100, max_due=50)
"""A turn costs several ms besides its pages: smaller ones would only make a batch slow."""
LARGEST = PageSizes(max_scanned=100_000, max_matched=20_000)
"""Of what is due, `STREAMS_TICK_MAX_ROWS` is the most."""
FIRST = PageSizes(max_scanned=2_000, max_matched=500, max_due=200)
_STEP = 1.5
"""One turn moves a size by at most this factor, up and down alike: a single slow turn says little."""
_WAITED = 0.25
_WEIGHT = 0.1
"""Of the latest commit, in what a commit usually takes."""
_AT_MOST = 2.0
"""Times the budget that is set: a broker that has come to a halt must not make pages endless."""


class Measured(NamedTuple):
    """A page: how much it might take, how much it took, and how long."""

    allowed: PageSizes
    scanned: int
    matched: int
    took_ms: float


class MeasuredTick(NamedTuple):
    """A tick: how many pieces of work it might do, whether there were so many, and how long it took."""

    allowed: int
    filled: bool
    took_ms: float


class Stopwatch:
    """Milliseconds that a page has taken since the watch was made.

    Time in which the thread did not run counts little: on a busy machine it waits for the processor whatever the
    page's size. It counts a quarter, because it may have waited for the disk.
    """

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.thread_time()

    def ms(self) -> float:
        """So far."""
        ran, passed = time.thread_time() - self._cpu, time.perf_counter() - self._wall
        return 1_000 * max(ran, _WAITED * passed)


class Budget:
    """Milliseconds that a turn's pages may take: what is set, or what Kafka takes to commit a turn where that is more.

    Pages are done while the turn before is committed: shorter ones would only be waited for.
    """

    def __init__(self, set_ms: float) -> None:
        self._least_ms = self._usual_ms = set_ms
        self._most_ms = _AT_MOST * set_ms

    def committed(self, took_s: float) -> None:
        """A turn's Kafka transaction took so many seconds."""
        self._usual_ms += _WEIGHT * (min(1_000 * took_s, self._most_ms) - self._usual_ms)

    @property
    def ms(self) -> float:
        """Of the turns that follow."""
        return max(self._least_ms, self._usual_ms)


def first_sizes(most_due: int) -> PageSizes:
    """The sizes to begin with, where a tick may do so many pieces of work at most."""
    return FIRST._replace(max_due=min(FIRST.max_due, most_due))


def tuned(
    sizes: PageSizes,
    pages: Sequence[Measured],
    budget_ms: float,
    ticks: Sequence[MeasuredTick] = (),
    most_due: int = 1_000,
) -> PageSizes:
    """The sizes for the pages that follow, given those of one turn, which were to take `budget_ms` together.

    A page that filled its share of matches says what a match costs; one that filled only its share of looks says what
    a look costs. A page that filled neither was the last of its slice and says nothing. Each is measured against what
    it was allowed itself: `sizes`, given to pages since, have not been tried yet. `ticks` are pages too, of the work
    that is due: `most_due` pieces of it at most.
    """
    took_ms = sum(page.took_ms for page in pages) + sum(tick.took_ms for tick in ticks)
    factor = min(_STEP, max(1 / _STEP, budget_ms / max(took_ms, 0.01)))
    matches = [page.allowed.max_matched for page in pages if page.matched >= page.allowed.max_matched]
    looks = [
        page.allowed.max_scanned
        for page in pages
        if page.matched < page.allowed.max_matched and page.scanned >= page.allowed.max_scanned
    ]
    due = [tick.allowed for tick in ticks if tick.filled]
    return PageSizes(
        _next(looks, factor, SMALLEST[0], LARGEST[0]) if looks else sizes.max_scanned,
        _next(matches, factor, SMALLEST[1], LARGEST[1]) if matches else sizes.max_matched,
        _next(due, factor, min(SMALLEST[2], most_due), most_due) if due else sizes.max_due,
    )


def _next(allowed: Sequence[int], factor: float, low: int, high: int) -> int:
    return int(min(high, max(low, factor * sum(allowed) / len(allowed))))
