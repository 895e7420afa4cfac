"""Page sizes tuned so that a turn's pages together take their time budget."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from streams.engine.view import PageSizes
from streams.engine.weights import MAX_BYTES
from streams.model import ContinueSlice, Tick

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streams.model import ReleaseHeld

SMALLEST = PageSizes(max_scanned=400, max_matched=100, max_due=50)
"""A turn costs several ms besides its pages: smaller ones would only make a batch slow."""
LARGEST = PageSizes(max_scanned=100_000, max_matched=20_000)
"""Of what is due, `STREAMS_TICK_MAX_ROWS` is the most."""
FIRST = PageSizes(max_scanned=2_000, max_matched=250, max_due=100)
TURN_S = 0.25
"""A turn's commands take no longer. Those left over wait for the next, with the pages and ticks of all partitions."""
_FEWEST = 100
"""Commands of a turn; of fewer their cost is not told either."""
_STEP = 1.5
"""One turn lets a size grow by at most this factor; it shrinks at once by what a page took too long."""
_REGROWS = 1.05
"""With each page, the bytes of pages that were cut: where the broker stays slow, one in thirty is cut again."""
_BATCHES = 100
"""Sizes of up to this number of batches are kept per partition. The batch idle for longest is the first to go."""
_WAITED = 0.25
_WEIGHT = 0.1
"""Of the latest commit, in what a commit usually takes."""
_AT_MOST = 2.0
"""Times the budget that is set: a broker that has come to a halt must not make pages endless."""


class Measured(NamedTuple):
    """A batch's page: how much it might take, how much it took, how long, and whether no page of its slice follows."""

    allowed: PageSizes
    scanned: int
    matched: int
    took_ms: float
    partition: int = 0
    batch_id: str = ""
    last: bool = False


class MeasuredTick(NamedTuple):
    """A tick: how many pieces of work it might do, whether there were so many, and how long it took."""

    allowed: int
    filled: bool
    took_ms: float
    partition: int = 0


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


class Pace:
    """A worker's page sizes: of each batch on each partition, and of each partition's ticks.

    What a row costs differs a hundredfold between batches, so a page says nothing of another batch's.
    """

    def __init__(self, most_due: int) -> None:
        self._most_due = most_due
        self._first = first_sizes(most_due)
        self._batches: defaultdict[int, dict[str, PageSizes]] = defaultdict(dict)
        self._due: dict[int, int] = {}
        self._bytes: dict[int, int] = {}
        self._in_time: float | None = None

    def room(self, most: int) -> int:
        """How many commands a turn takes: `most`, or what was seen to fit into its time."""
        return most if self._in_time is None else min(most, max(_FEWEST, int(self._in_time)))

    def learn_commands(self, count: int, took_ms: float) -> None:
        """A turn has applied so many commands in that time, pages and ticks aside."""
        if count >= _FEWEST:
            fits = count * 1_000 * TURN_S / max(took_ms, 0.01)
            self._in_time = fits if self._in_time is None else min(fits, _STEP * max(self._in_time, _FEWEST))

    def batches(self, partition: int) -> Mapping[str, PageSizes]:
        """The sizes of the batches on a partition that have had a page, as they are from now on."""
        return self._batches[partition]

    def others(self, partition: int) -> PageSizes:
        """The sizes of a batch that has not, with that of the partition's ticks."""
        due, most = self._due.get(partition, self._first.max_due), self._bytes.get(partition, 0)
        return self._first._replace(max_due=due, max_bytes=most)

    def cut(self, page: ContinueSlice | ReleaseHeld | Tick) -> None:
        """What follows a page that took too long for its transaction is no larger than the one in its place."""
        self._bytes[page.partition] = page.max_bytes
        if isinstance(page, Tick):
            self._due[page.partition] = page.max_rows
        elif isinstance(page, ContinueSlice):
            self._batches[page.partition][page.batch_id] = PageSizes(page.max_scanned, page.max_matched)

    def smallest(self) -> PageSizes:
        """Of the sizes that are known; those to begin with where none are."""
        known = [sizes for batches in self._batches.values() for sizes in batches.values()] or [self._first]
        return PageSizes(min(sizes.max_scanned for sizes in known), min(sizes.max_matched for sizes in known))

    def learn(self, pages: Sequence[Measured], ticks: Sequence[MeasuredTick], budget_ms: float) -> None:
        """Tune the sizes by the pages of one turn, which were to take `budget_ms` together; ticks are pages too."""
        took = [page.took_ms for page in pages] + [tick.took_ms for tick in ticks]
        done = {page.partition for page in pages} | {tick.partition for tick in ticks}
        for partition in done & self._bytes.keys():
            self._bytes[partition] = int(_REGROWS * self._bytes[partition]) + 1
            if self._bytes[partition] >= MAX_BYTES:
                del self._bytes[partition]
        for page in pages:
            batches = self._batches[page.partition]
            sizes = batches.pop(page.batch_id, self._first)
            if not page.last:
                batches[page.batch_id] = tuned(sizes, page, _factor(page.took_ms, took, budget_ms))
            if len(batches) > _BATCHES:
                del batches[next(iter(batches))]
        for tick in ticks:
            if tick.filled:
                factor = _factor(tick.took_ms, took, budget_ms)
                low = min(SMALLEST.max_due, self._most_due)
                self._due[tick.partition] = _next(tick.allowed, factor, low, self._most_due)


def tuned(sizes: PageSizes, page: Measured, factor: float) -> PageSizes:
    """The sizes that follow `sizes` for a batch of which a page might have been larger by `factor`.

    A page that filled its share of matches says what a match costs; one that filled only its share of looks says what
    a look costs. One that filled neither was ended by its rate or its bytes, or was the last of its slice; if it took
    too long all the same, it looked at many more rows than it could take. A page is measured against what it was
    allowed itself: `sizes`, given to pages since, have not been tried yet.
    """
    allowed = page.allowed
    if page.matched >= allowed.max_matched:
        return sizes._replace(max_matched=_next(allowed.max_matched, factor, SMALLEST[1], LARGEST[1]))
    if page.scanned >= allowed.max_scanned:
        return sizes._replace(max_scanned=_next(allowed.max_scanned, factor, SMALLEST[0], LARGEST[0]))
    if factor < 1 and page.matched:
        return sizes._replace(max_matched=_next(page.matched, factor, SMALLEST[1], LARGEST[1]))
    return sizes


def _factor(took_ms: float, all_took_ms: Sequence[float], budget_ms: float) -> float:
    """By how much a page's size may change; of a turn too long, those beyond their part shrink."""
    total = sum(all_took_ms)
    if total <= budget_ms:
        return min(_STEP, budget_ms / max(total, 0.01))
    return min(1, budget_ms / len(all_took_ms) / max(took_ms, 0.01))


def _next(allowed: int, factor: float, low: int, high: int) -> int:
    return int(min(high, max(low, factor * allowed)))
