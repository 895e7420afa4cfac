"""Page sizes tuned so that a turn's pages together take their time budget."""

from __future__ import annotations

import time
from collections import defaultdict
from math import inf
from typing import TYPE_CHECKING, Literal, NamedTuple, assert_never

from streams.engine.answers import MAX_BYTES, PageSizes
from streams.model import Act, ActMembers, ContinueFlow, ContinueSlice, Invoke, ReleaseHeld, ReportTransition, Tick

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streams.engine.awaited import Page

SMALLEST = PageSizes(max_scanned=400, max_matched=100, max_due=50, max_asked=100, max_members=100)
"""Smallest page sizes. A turn costs several ms besides its pages: smaller pages would only make a batch slow."""
LARGEST = PageSizes(max_scanned=100_000, max_matched=20_000, max_asked=8_000, max_members=20_000)
"""Largest page sizes; for what is due, `STREAMS_TICK_MAX_ROWS` is the limit."""
FIRST = PageSizes(max_scanned=8_000, max_matched=250, max_due=100, max_asked=500, max_members=250)
SIGNAL_COST = 1.5
"""Cost of a page with a signal for each row, as a multiple of its time: signals are produced after it."""
ANSWER_COST = 5.0
"""Likewise if the signals ask executors to cancel: each answer is a command."""
_PAGE_ITSELF_MS = 0.8
"""Time of a page whatever is in it, which nothing follows: charged too, it would make small pages yet smaller."""
_LEAST_SHARE_MS = 2 * _PAGE_ITSELF_MS
"""Least part of the budget that a page has where clients wait, however many partitions do one in a turn."""
TURN_S = 0.25
"""Time limit for a turn's commands, s. The rest waits for the next turn, with the pages and ticks of all partitions."""
_FEWEST = 100
"""Smallest limit on the commands of a turn; turns with fewer are not measured."""
_STEP = 3
"""Factor by which a size may grow per turn. If a page takes too long, its size shrinks at once by as much."""
_REGROWS = 1.05
"""Growth, per page, of the byte limit after a cut: if the broker stays slow, one page in thirty is cut again."""
_BATCHES = 100
"""Most batches per partition whose sizes are kept. The batch idle for longest is dropped first."""
_WAITED = 0.25
_WEIGHT = 0.1
"""Weight of the newest commit in the running average."""
_AT_MOST = 2.0
"""Most that the budget may grow, as a multiple of the setting: a halted broker must not make pages endless."""
_CALM_MS = 2.5
"""Budget where clients wait. A turn costs more than that by itself: smaller pages would not help them."""
_PART = 0.1
"""What such a budget may be of the time of a turn's commands."""
_WAITED_FOR = frozenset({Invoke, ReportTransition, Act})
"""Commands of clients that begin no pages: whoever sent one waits for what it does."""
_ASKED_S = 1.0
"""After the last command of a client, for how long the next one is expected."""


class Measured(NamedTuple):
    """A measured page of a batch: its limits, what it took, its time, and whether it was the slice's last one."""

    allowed: PageSizes
    looks: int
    matched: int
    took_ms: float
    partition: int = 0
    batch_id: str = ""
    last: bool = False
    cost: float = 1.0
    """What it counts, as a multiple of its time: its signals and the answers to them take time after it."""


Pieces = Literal["max_due", "max_asked", "max_members"]
"""The size of pages that belong to no batch: of ticks, of pages that ask a flow's members, and of those that act on
them."""


class MeasuredPieces(NamedTuple):
    """A measured page that belongs to no batch: its limit on pieces of work, whether it reached that, and its time."""

    allowed: int
    filled: bool
    took_ms: float
    partition: int = 0
    size: Pieces = "max_due"


class Stopwatch:
    """Milliseconds since the watch was made, as far as the page is to blame for them.

    Time in which the thread did not run counts only a quarter: on a busy machine, it waits for the processor whatever
    the page's size; but it may also have waited for the disk.
    """

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.thread_time()

    def ms(self) -> float:
        """Milliseconds of work since the start: processor time, or a share of the time passed if that is more."""
        ran, passed = time.thread_time() - self._cpu, time.perf_counter() - self._wall
        return 1_000 * max(ran, _WAITED * passed)


class Budget:
    """Time budget for a turn's pages, ms.

    Where nobody waits: the setting, or Kafka's usual time to commit a turn if that is longer. Pages are done while the
    previous turn commits: with shorter pages, the loop would only wait.

    Where clients' commands come beside the pages: `_CALM_MS`, or a tenth of the time that the turn's commands take if
    that is longer. Each of them waits for the rest of a turn and for one more: a batch takes its time, not theirs.
    """

    def __init__(self, set_ms: float) -> None:
        self._least_ms = self._usual_ms = set_ms
        self._most_ms = _AT_MOST * set_ms
        self._commands_ms = 0.0
        self._asked_at = -inf
        self.waited_for = False
        """True if clients wait for the turns that follow."""

    def committed(self, took_s: float) -> None:
        """Learn from a turn whose Kafka transaction took this many seconds."""
        self._usual_ms += _WEIGHT * (min(1_000 * took_s, self._most_ms) - self._usual_ms)

    def came(self, records: Mapping[type, int], commands_ms: float, now_s: float, answers: int = 0) -> None:
        """Learn from a turn of these commands, by type, which took `commands_ms` without its pages.

        `now_s`: seconds of any clock that only rises. `answers`: reports among them that a batch had asked for.
        """
        self._commands_ms = commands_ms
        if sum(map(records.__getitem__, _WAITED_FOR & records.keys())) > answers:
            self._asked_at = now_s
        self.waited_for = now_s - self._asked_at < _ASKED_S

    @property
    def ms(self) -> float:
        """The budget of the turns that follow."""
        if self.waited_for:
            return min(self._least_ms, max(_CALM_MS, _PART * self._commands_ms))
        return max(self._least_ms, self._usual_ms)


def first_sizes(most_due: int) -> PageSizes:
    """The initial sizes; `most_due`: most pieces of work of a tick."""
    return FIRST._replace(max_due=min(FIRST.max_due, most_due))


class TunedSizes:
    """A worker's page sizes, kept per batch and partition, and per partition for ticks and for pages of flows.

    The cost of a row differs a hundredfold between batches, so a page says nothing about those of another batch.
    """

    def __init__(self, most_due: int) -> None:
        self._most_due = most_due
        self._first = first_sizes(most_due)
        self._batches: defaultdict[int, dict[str, PageSizes]] = defaultdict(dict)
        self._pieces: defaultdict[int, dict[Pieces, int]] = defaultdict(dict)
        self._bytes: dict[int, int] = {}
        self._in_time: float | None = None

    def room(self, most: int) -> int:
        """Number of commands for a turn: `most`, or fewer if only fewer fit into its time."""
        return most if self._in_time is None else min(most, max(_FEWEST, int(self._in_time)))

    def learn_commands(self, count: int, took_ms: float) -> None:
        """Learn from a turn that applied `count` commands, without pages and ticks, in `took_ms`."""
        if count >= _FEWEST:
            fits = count * 1_000 * TURN_S / max(took_ms, 0.01)
            self._in_time = fits if self._in_time is None else min(fits, _STEP * max(self._in_time, _FEWEST))

    def batches(self, partition: int) -> Mapping[str, PageSizes]:
        """A live view of the sizes of those batches on a partition that have had a page."""
        return self._batches[partition]

    def others(self, partition: int) -> PageSizes:
        """The sizes for any other batch, and for the partition's ticks and pages of flows."""
        return self._first._replace(max_bytes=self._bytes.get(partition, 0), **self._pieces[partition])

    def cut(self, page: Page) -> None:
        """Limit the sizes to those of the smaller page that replaces one that took too long for its transaction."""
        self._bytes[page.partition] = page.max_bytes
        pieces = self._pieces[page.partition]
        match page:
            case Tick():
                pieces["max_due"] = page.max_rows
            case ContinueFlow():
                pieces["max_asked"] = page.max_matched
            case ActMembers():
                pieces["max_members"] = page.max_rows
            case ContinueSlice():
                self._batches[page.partition][page.batch_id] = PageSizes(page.max_scanned, page.max_matched)
            case ReleaseHeld():
                pass
            case _:
                assert_never(page)

    def smallest(self) -> PageSizes:
        """The smallest of the known sizes; the initial ones if none are known."""
        known = [sizes for batches in self._batches.values() for sizes in batches.values()] or [self._first]
        return PageSizes(min(sizes.max_scanned for sizes in known), min(sizes.max_matched for sizes in known))

    def learn(
        self, pages: Sequence[Measured], others: Sequence[MeasuredPieces], budget_ms: float, usual: int | None = None
    ) -> None:
        """Tune the sizes by the pages of one turn, those of no batch included, which had `budget_ms` together.

        `usual`: where clients wait, the usual number of pages in a turn; they have the budget. Pages besides, which
        held up clients, do not make the next ones smaller. What follows from a page counts then, too.
        """
        if usual is not None:
            pages = [page._replace(took_ms=_charged_ms(page)) for page in pages]
        took = [page.took_ms for page in pages] + [page.took_ms for page in others]

        def factor_of(took_ms: float) -> float:
            if usual is None:
                return _factor(took_ms, took, budget_ms)
            share_ms = max(budget_ms / min(len(took), usual), min(budget_ms, _LEAST_SHARE_MS))
            return min(_STEP, share_ms / max(took_ms, 0.01))

        self._regrow({page.partition for page in pages} | {page.partition for page in others})
        for page in pages:
            batches = self._batches[page.partition]
            sizes = batches.pop(page.batch_id, self._first)
            if not page.last:
                batches[page.batch_id] = tuned(sizes, page, factor_of(page.took_ms))
            if len(batches) > _BATCHES:
                del batches[next(iter(batches))]
        largest = LARGEST._replace(max_due=self._most_due)
        for other in others:
            if other.filled:
                factor = factor_of(other.took_ms)
                high = getattr(largest, other.size)
                low = min(getattr(SMALLEST, other.size), high)
                self._pieces[other.partition][other.size] = _next(other.allowed, factor, low, high)

    def _regrow(self, done: set[int]) -> None:
        """Let the byte limits of partitions that have done a page grow again after a cut."""
        for partition in done & self._bytes.keys():
            self._bytes[partition] = int(_REGROWS * self._bytes[partition]) + 1
            if self._bytes[partition] >= MAX_BYTES:
                del self._bytes[partition]


def tuned(sizes: PageSizes, page: Measured, factor: float) -> PageSizes:
    """The next `sizes` of a batch, one of whose pages could have been larger by `factor`.

    A page that reached its limit of matches shows the cost of a match. One that reached only its limit of looked-at
    rows shows the cost of a look. One that reached neither was ended by its rate or its bytes, or was the last of its
    slice; if it still took too long, its number of matches shrinks. The limits of the page itself are the measure:
    `sizes`, given to later pages, have not been tried yet.
    """
    allowed = page.allowed
    if page.matched >= allowed.max_matched:
        return sizes._replace(max_matched=_next(allowed.max_matched, factor, SMALLEST[1], LARGEST[1]))
    if page.looks >= allowed.max_scanned:
        return sizes._replace(max_scanned=_next(allowed.max_scanned, factor, SMALLEST[0], LARGEST[0]))
    if factor < 1 and page.matched:
        return sizes._replace(max_matched=_next(page.matched, factor, SMALLEST[1], LARGEST[1]))
    return sizes


def _charged_ms(page: Measured) -> float:
    """Its time, with that of what follows from its rows."""
    itself = min(page.took_ms, _PAGE_ITSELF_MS)
    return itself + page.cost * (page.took_ms - itself)


def _factor(took_ms: float, all_took_ms: Sequence[float], budget_ms: float) -> float:
    """The factor for a page's size. If the turn took too long, only pages that exceeded their part of it shrink."""
    total = sum(all_took_ms)
    if total <= budget_ms:
        return min(_STEP, budget_ms / max(total, 0.01))
    return min(1, budget_ms / len(all_took_ms) / max(took_ms, 0.01))


def _next(allowed: int, factor: float, low: int, high: int) -> int:
    return int(min(high, max(low, factor * allowed)))
