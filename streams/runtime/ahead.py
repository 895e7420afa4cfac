"""Records that a broker with a wrong clock has stamped too far ahead: applied, but no partition clock follows them.

Whether a record is one of them depends on the worker's clock, and the log alone must decide: so their places stand in
`dead-letters`, written in the transaction that applied them, with the clock that they were applied at.
"""

from __future__ import annotations

from bisect import bisect_right
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from streams.runtime.intake import Item

CLOCK_AHEAD: Final = "clock_ahead"
LAST_OFFSET: Final = "source-last-offset"
RECORDS: Final = "source-records"
MOST_AHEAD: Final = "most-ahead-ms"
CLOCK: Final = "partition-clock"
SOURCE: Final = "source-topic-id"
"""Of the log: a topic that was made anew has other records at these places."""
CHANGELOG: Final = "changelog-topic-id"
"""Of the table to which they were applied: one that is made anew of the log has dead letters of its own."""
_BEFORE = "too far ahead when it was applied before"
_first = itemgetter(0)


class Run(NamedTuple):
    """Records of a partition that are stamped too far ahead, and none between them that is not.

    `first`: the first message. `last`: offset of the last one. `ahead_ms`: of the worker's clock, the most of them; 0
    if they were so only when the log was applied before. `clock`: of the partition, which they were applied at.
    """

    first: Any
    last: int
    records: int
    ahead_ms: int
    clock: int

    @property
    def text(self) -> str:
        """What the dead letter says."""
        by = f"up to {self.ahead_ms} ms ahead of the worker's clock" if self.ahead_ms else _BEFORE
        return (
            f"stamped {by}: applied at the partition's clock, {self.clock}, which did not follow; there is nothing to "
            "send again, set the broker's clock right"
        )


def runs_of(items: Iterable[Item], clocks: Mapping[int, int], now: int) -> list[Run]:
    """The runs among a share's items.

    Args:
        items: the records, in their order.
        clocks: offset of each that is stamped too far ahead, and the partition clock that it was applied at, ms.
        now: the worker's clock, ms.
    """
    runs: list[Run] = []
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
                runs.append(Run(message, offset, 1, ahead_ms, clock))
        follows = clock is not None
    return runs


class Places:
    """Places in one partition of `commands` that dead letters name, with the clock that the records were applied at."""

    def __init__(self) -> None:
        self._named: list[tuple[int, int, int]] = []
        self._apart = True

    def add(self, headers: Mapping[str, bytes]) -> None:
        """Those that a dead letter with these headers names."""
        self._named.append((int(headers["source-offset"]), int(headers[LAST_OFFSET]), int(headers[CLOCK])))
        self._apart = False

    def clock_at(self, offset: int) -> int | None:
        """The clock that the record there was applied at, ms; None when its own stamp counted."""
        if not self._apart:
            self._take_apart()
        place = bisect_right(self._named, offset, key=_first) - 1
        if place < 0:
            return None
        _, last, clock = self._named[place]
        return clock if offset <= last else None

    def _take_apart(self) -> None:
        """No place in two ranges, in order: a log that was applied to two tables has been named twice."""
        apart: list[tuple[int, int, int]] = []
        for first, last, clock in sorted(self._named):
            begin = max(first, apart[-1][1] + 1) if apart else first
            if begin <= last:
                apart.append((begin, last, clock))
        self._named, self._apart = apart, True
