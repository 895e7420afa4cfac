"""Records that a broker with a wrong clock has stamped too far ahead: applied, but no partition clock follows them.

Whether a record is one of them depends on the worker's clock, and the log alone must decide: so their places stand in
`dead-letters`, written in the transaction that applied them, with the clock that they were applied at.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from streams.runtime.intake import Item

CLOCK_AHEAD: Final = "clock_ahead"
LAST_OFFSET: Final = "source-last-offset"
RECORDS: Final = "source-records"
MOST_AHEAD: Final = "most-ahead-ms"
CLOCK: Final = "partition-clock"


class Run(NamedTuple):
    """Records of a partition that are stamped too far ahead, and none between them that is not.

    `first`: the first message. `last`: offset of the last one. `ahead_ms`: of the worker's clock, the most of them.
    `clock`: of the partition, which they were applied at.
    """

    first: Any
    last: int
    records: int
    ahead_ms: int
    clock: int

    @property
    def text(self) -> str:
        """What the dead letter says."""
        return (
            f"stamped up to {self.ahead_ms} ms ahead of the worker's clock: applied at the partition's clock, "
            f"{self.clock}, which did not follow; there is nothing to send again, set the broker's clock right"
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
            ahead_ms = message.timestamp()[1] - now
            if follows:
                run = runs[-1]
                runs[-1] = run._replace(last=offset, records=run.records + 1, ahead_ms=max(run.ahead_ms, ahead_ms))
            else:
                runs.append(Run(message, offset, 1, ahead_ms, clock))
        follows = clock is not None
    return runs


class Places:
    """The places in one partition of `commands` that dead letters name, with the clock that they were applied at."""

    def __init__(self) -> None:
        self._places: list[tuple[int, int, int]] = []

    def __bool__(self) -> bool:
        return bool(self._places)

    def add(self, headers: Mapping[str, bytes]) -> None:
        """Those that a dead letter with these headers names."""
        insort(self._places, (int(headers["source-offset"]), int(headers[LAST_OFFSET]), int(headers[CLOCK])))

    def clock_at(self, offset: int) -> int | None:
        """The clock that the record there was applied at, ms; None when its own stamp counted."""
        place = bisect_right(self._places, offset, key=_first) - 1
        if place < 0:
            return None
        _, last, clock = self._places[place]
        return clock if offset <= last else None

    def as_applied(self, message: Any) -> Any:
        """The message; stamped with the clock it was applied at, where its own stamp did not count."""
        clock = self.clock_at(message.offset())
        return message if clock is None else Restamped(message, clock)


def _first(place: tuple[int, int, int]) -> int:
    return place[0]


class Restamped:
    """A message with another timestamp."""

    def __init__(self, message: Any, timestamp: int) -> None:
        self._timestamp = message.timestamp()[0], timestamp
        self.topic = message.topic
        self.partition = message.partition
        self.offset = message.offset
        self.key = message.key
        self.value = message.value
        self.headers = message.headers

    def timestamp(self) -> tuple[int, int]:
        """Its kind, and milliseconds since 1970."""
        return self._timestamp
