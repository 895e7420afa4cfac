"""Records that a broker with a wrong clock stamped too far ahead: applied, but no partition clock follows them.

The worker's clock decides whether a record is one of them, but in a replay the log alone must decide. So their places
are in `dead-letters`, with the clock at which they were applied, written in the transaction that applied them.
"""

from __future__ import annotations

from bisect import bisect_right
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from streams.worker.items import Item

CLOCK_AHEAD: Final = "clock_ahead"
LAST_OFFSET: Final = "source-last-offset"
RECORDS: Final = "source-records"
MOST_AHEAD: Final = "most-ahead-ms"
CLOCK: Final = "partition-clock"
SOURCE: Final = "source-topic-id"
"""Header with the topic id of the log: a topic that was deleted and created again has other records at these places."""
CHANGELOG: Final = "changelog-topic-id"
"""Header with the changelog's topic id: a table rebuilt from the log with a new one gets its own dead letters."""
_BEFORE = "too far ahead when it was applied before"
_first = itemgetter(0)


class ClockAheadRun(NamedTuple):
    """A run of consecutive records of a partition that are all stamped too far ahead.

    `first`: the first message. `last`: offset of the last one. `ahead_ms`: the most that one of them is ahead of the
    worker's clock; 0 if they were ahead only when the log was applied before. `clock`: the partition clock at which
    they were applied.
    """

    first: Any
    last: int
    records: int
    ahead_ms: int
    clock: int

    @property
    def text(self) -> str:
        """The message of the dead letter."""
        by = f"up to {self.ahead_ms} ms ahead of the worker's clock" if self.ahead_ms else _BEFORE
        return (
            f"stamped {by}: applied at the partition's clock, {self.clock}, which did not follow; there is nothing to "
            "send again, set the broker's clock right"
        )


def runs_of(items: Iterable[Item], clocks: Mapping[int, int], now: int) -> list[ClockAheadRun]:
    """The runs of records stamped too far ahead among an input's items.

    Args:
        items: the records, in their order.
        clocks: offset of each record stamped too far ahead -> partition clock at which it was applied, ms.
        now: the worker's clock, ms.
    """
    runs: list[ClockAheadRun] = []
    follows = False
    for item in items:
        message = item.message
        offset = message.offset()
        clock = clocks.get(offset)
        if clock is not None:
            ahead_ms = max(0, message.timestamp()[1] - now)
            if follows:
                run = runs[-1]
                runs[-1] = run._replace(last=offset, records=run.records + 1, ahead_ms=max(run.ahead_ms, ahead_ms))
            else:
                runs.append(ClockAheadRun(message, offset, 1, ahead_ms, clock))
        follows = clock is not None
    return runs


class Places:
    """Places in one partition of `commands` named by dead letters, with the clock at which each record was applied."""

    def __init__(self) -> None:
        self._named: list[tuple[int, int, int]] = []
        self._apart = True

    def add(self, headers: Mapping[str, bytes]) -> None:
        """Add the places that a dead letter with these headers names."""
        self._named.append((int(headers["source-offset"]), int(headers[LAST_OFFSET]), int(headers[CLOCK])))
        self._apart = False

    def clock_at(self, offset: int) -> int | None:
        """The clock at which the record there was applied, ms; None if its own timestamp counted."""
        if not self._apart:
            self._take_apart()
        place = bisect_right(self._named, offset, key=_first) - 1
        if place < 0:
            return None
        _, last, clock = self._named[place]
        return clock if offset <= last else None

    def _take_apart(self) -> None:
        """Make the ranges disjoint and sorted: a log that was applied to two tables has its places named twice."""
        apart: list[tuple[int, int, int]] = []
        for first, last, clock in sorted(self._named):
            begin = max(first, apart[-1][1] + 1) if apart else first
            if begin <= last:
                apart.append((begin, last, clock))
        self._named, self._apart = apart, True
