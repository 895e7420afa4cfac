"""The search for the record that keeps a turn from being committed: Kafka refuses its writes, or the turn is too large.

The record whose writes Kafka refuses is found by halving turns, so that all others are applied.

Such a turn would be refused every time, as when a topic's size limit is below what the workers write. Kafka does not
say which command caused it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from streams.errors import PartitionError, StreamsError
from streams.kafka.errors import RecordRefusedError
from streams.model import Internal
from streams.worker.intake import PartitionInput
from streams.worker.items import Item, RecordFault
from streams.worker.long_pages import LongPages
from streams.worker.task import Phase

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from streams.worker.page_sizes import TunedSizes
    from streams.worker.task import PartitionTask

log = structlog.get_logger("streams.worker")


class Culprit:
    """Halves turns after a refused one and doubles them after a committed one, up to the end of the first refused one.

    A refused turn of one record has found it. When read again, it becomes a dead letter, `not_writable`.
    """

    def __init__(self, sizes: TunedSizes) -> None:
        self._pages = LongPages(sizes)
        self.most: int | None = None
        """Most records that the next turn may take; None: no limit."""
        self._until: dict[int, int] = {}
        self._found: dict[tuple[int, int], RecordFault] = {}

    def failed(self, taken: Sequence[PartitionInput], why: Exception, *, overdue: bool) -> None:
        """Note that a turn with these inputs was not committed; `overdue`: its transaction took too long.

        Raises:
            PartitionError: the turn cannot be split any further, and no dead letter helps.
            StreamsError: Kafka refuses a record that no command caused.
        """
        if isinstance(why, RecordRefusedError):
            self._refused(taken, why)
        elif overdue:
            # The other commands of the turn may have taken the time, so the turn is halved, too.
            self._pages.ran_out(taken)
            self._halve(taken)

    def _halve(self, taken: Iterable[PartitionInput]) -> list[tuple[int, Item]]:
        """Halve the turn size until all these records are applied; returns them."""
        items = [(input_.task.partition, item) for input_ in taken for item in input_.items]
        if len(items) > 1:
            self.most = len(items) // 2
        if self.most is not None:
            for partition, item in items:
                self._until[partition] = max(self._until.get(partition, -1), item.message.offset())
        return items

    def _refused(self, taken: Iterable[PartitionInput], why: RecordRefusedError) -> None:
        items = self._halve(taken)
        if len(items) > 1:
            return
        if not items:
            raise StreamsError(f"Kafka refuses a record of the worker's own: {why}") from why
        self._find(*items[0], why)

    def _find(self, partition: int, item: Item, why: RecordRefusedError) -> None:
        offset = item.message.offset()
        if item.bad is not None:
            raise PartitionError(
                f"partition {partition}, offset {offset}: Kafka refuses even the dead letter of this record: {why}",
                partition,
            ) from why
        if isinstance(item.command, Internal):
            raise PartitionError(
                f"partition {partition}, offset {offset}: Kafka refuses what this record of the workers writes: {why}",
                partition,
            ) from why
        log.warning("a command cannot be applied, it becomes a dead letter", partition=partition, offset=offset)
        self._until[partition] = max(self._until.get(partition, -1), offset)
        self._found[partition, offset] = RecordFault("not_writable", f"Kafka refuses what it writes: {why}")
        self.most = 1

    def committed(self) -> None:
        """Note that a turn was committed."""
        if self.most is not None:
            self.most *= 2

    def suspects(self, tasks: Mapping[int, PartitionTask]) -> list[PartitionTask]:
        """The partitions that may take part in the next turn: all that run, or in a search those not past it yet."""
        if self.most is not None:
            self._until = {p: last for p, last in self._until.items() if p in tasks and _before(tasks[p], last)}
            if not self._until:
                self.most = None
                self._found.clear()
        running = [task for task in tasks.values() if task.phase is Phase.RUNNING]
        return running if self.most is None else [task for task in running if task.partition in self._until]

    def marked(self, inputs: Sequence[PartitionInput]) -> Sequence[PartitionInput]:
        """The inputs of a turn, with the culprits found marked as bad records."""
        inputs = self._pages.marked(inputs)
        return [self._marked(input_) for input_ in inputs] if self._found else inputs

    def _marked(self, input_: PartitionInput) -> PartitionInput:
        """Mark a culprit. It is alone in its input_: it was found in a turn of one record and is read again in one."""
        (item,) = input_.items if len(input_.items) == 1 else (None,)
        bad = item and self._found.get((input_.task.partition, item.message.offset()))
        return (
            PartitionInput(input_.task, [Item(item.message, item.command, bad)], [], None) if item and bad else input_
        )


def _before(task: PartitionTask, last: int) -> bool:
    """True if the partition still goes on and has not applied the record at this offset yet."""
    return task.phase is not Phase.GIVEN_UP and (task.table is None or task.table.meta.next_offset <= last)
