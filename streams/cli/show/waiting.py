"""The reason why a batch or a flow shows nothing new: a partition without a worker, or a missing gateway."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from streams import codec
from streams.cli.options.bounds import standing_of
from streams.cli.show.console import err
from streams.cli.show.times import iso
from streams.config import Topic
from streams.errors import StreamsError
from streams.kafka.admin import Admin
from streams.kafka.tail import tail
from streams.model import BatchState, FlowState, SliceProgress, SliceState
from streams.protocol.routing import partition_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.cli.context import Connection
    from streams.model import FlowProgress

QUIET_S: Final = 10.0
_AGAIN_S: Final = 30.0
_READ_S: Final = 5.0
_AT_WORK: Final = frozenset({BatchState.STARTING, BatchState.RUNNING})
_PAGING: Final = frozenset({SliceState.RUNNING, SliceState.WAITING})


class Waiting:
    """Called while nothing comes, it prints the reason of the wait on stderr, and again when that changes."""

    def __init__(self, connection: Connection, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._connection = connection
        self._id = name
        self._clock = clock
        self._revision: int | None = -1
        self._ask_at = 0.0
        self._said = ""

    def __call__(self, newest: Any) -> None:
        """Note that nothing new has come for a moment after `newest`; None: nothing has come at all."""
        now, revision = self._clock(), None if newest is None else newest.revision
        if revision != self._revision:
            self._revision, self._ask_at = revision, now + QUIET_S
        if now < self._ask_at or not self._waits(newest):
            return
        self._ask_at = now + _AGAIN_S
        try:
            said = self._reason(newest)
        except (StreamsError, codec.BadRecordError) as error:
            said = str(error)  # the reader of the progress waits, too
        if said and said != self._said:
            err.print(said, markup=False)
        self._said = said

    def _waits(self, newest: Any) -> bool:
        """True if silence is suspicious: one that stands, is paused or drains may well be quiet for hours."""
        return newest is None or (newest.state in _AT_WORK and standing_of(newest) is None)

    def _reason(self, newest: Any) -> str:
        topic = self._connection.settings.topic(Topic.COMMANDS)
        total = Admin(*self._connection).partition_counts()[topic]
        begun, slices = self._slices()
        if not begun:
            return _question(topic, [partition_of(self._id, total)])
        if newest is None:
            return "workers have begun the batch, and nobody publishes its progress: is a gateway running?"
        slow = _PAGING if newest.max_rate is None else frozenset()
        late = [each for each in range(total) if each not in slices or slices[each] in slow]
        return _question(topic, late) if late else ""

    def _slices(self) -> tuple[bool, dict[int, SliceState]]:
        """The batch has begun, and the state of each slice; a partition that has not begun it is absent."""
        begun, found = False, {}
        deadline = time.monotonic() + _READ_S
        with tail(*self._connection, Topic.BATCH_SLICES, goes_on=False) as records:
            while not records.caught_up and time.monotonic() < deadline:
                for message in records.poll():
                    batch_id = (message.key() or b"").decode(errors="replace").rpartition("/")[0]
                    if batch_id == self._id and message.value() is not None:
                        begun = True
                        record = codec.decode(message.value())
                        if isinstance(record, SliceProgress):
                            found[record.partition] = record.state
        return begun, found


class FlowWaiting(Waiting):
    """Like `Waiting`, for the cancel of a flow."""

    def _waits(self, newest: FlowProgress | None) -> bool:
        return newest is None or newest.state is FlowState.CANCELLING

    def _reason(self, newest: FlowProgress | None) -> str:
        topic = self._connection.settings.topic(Topic.COMMANDS)
        if newest is None:
            return _question(topic, [partition_of(self._id, Admin(*self._connection).partition_counts()[topic])])
        again = "" if newest.next_due_at is None else f" The reconciler asks again after {iso(newest.next_due_at)}"
        return (
            f"{newest.pending:,} members are asked and have not ended: do workers run for all partitions, and "
            f"executors?{again}"
        )


def _question(topic: str, partitions: list[int]) -> str:
    if len(partitions) == 1:
        return f"waiting for partition {partitions[0]} of {topic}: is a worker running that has it?"
    return f"waiting for partitions {', '.join(map(str, partitions))} of {topic}: are workers running that have them?"
