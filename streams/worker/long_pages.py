"""Pages whose transaction ran out of time: each is replaced by a smaller one, without which its slice would stop.

A page's sizes are in its record, so when read again it would take as long again. It becomes a dead letter,
`page_too_long`, which a replay of the log skips, and a page of the same number and a quarter of its sizes is written
in the same transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from msgspec.structs import replace

from streams.engine.awaited import is_page
from streams.engine.weights import limit_of
from streams.errors import PartitionError
from streams.model import ENGINE_VERSION, ActMembers, ContinueFlow, ContinueSlice
from streams.worker.intake import PartitionInput
from streams.worker.items import Item, RecordFault

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from streams.engine.awaited import Page
    from streams.worker.page_sizes import TunedSizes

log = structlog.get_logger("streams.worker")

_PART = 4
_WHY = RecordFault(
    "page_too_long",
    "its transaction took longer than transaction.timeout.ms: a smaller page takes its place, nothing is to be sent",
)


class LongPages:
    """The pages that ran out of time. `sizes` learns their smaller sizes, so that later pages are no larger."""

    def __init__(self, sizes: TunedSizes) -> None:
        self._sizes = sizes
        self._instead: dict[tuple[int, int], Page] = {}

    def ran_out(self, taken: Iterable[PartitionInput]) -> None:
        """Note that the transaction of a turn with these inputs took too long.

        Raises:
            PartitionError: a page of the turn cannot be made any smaller.
        """
        for input_ in taken:
            item = None if input_.page is None else input_.items[input_.page]
            if item is not None and is_page(item.command):
                self._cut(input_.task.partition, item, item.command)

    def _cut(self, partition: int, item: Item, page: Page) -> None:
        cut, offset = smaller(page), item.message.offset()
        if cut == page:
            raise PartitionError(
                f"partition {partition}, offset {offset}: even the smallest page takes longer than "
                "transaction.timeout.ms: see to the brokers, or set STREAMS_TRANSACTION_TIMEOUT_MS higher",
                partition,
            )
        log.warning("a page took too long, a smaller one takes its place", partition=partition, offset=offset)
        self._instead[partition, offset] = cut
        self._sizes.cut(cut)

    def marked(self, inputs: Sequence[PartitionInput]) -> Sequence[PartitionInput]:
        """The inputs of a turn, with pages that ran out of time marked as bad records."""
        return [self._marked(input_) for input_ in inputs] if self._instead else inputs

    def _marked(self, input_: PartitionInput) -> PartitionInput:
        partition, items, page = input_.task.partition, input_.items, input_.page
        first = items[0].message.offset()
        for place in [place for place in self._instead if place[0] == partition and place[1] < first]:
            # The partition is past it, whoever has done it.
            del self._instead[place]
        instead = None if page is None else self._instead.get((partition, items[page].message.offset()))
        if page is None or instead is None:
            return input_
        bad = Item(items[page].message, items[page].command, _WHY, instead)
        return PartitionInput(input_.task, [*items[:page], bad, *items[page + 1 :]], input_.ids, None)


def smaller(page: Page) -> Page:
    """The page with a quarter of its sizes, each at least 1; an equal page if all of them are 1."""
    rows = ("max_scanned", "max_matched") if isinstance(page, (ContinueSlice, ContinueFlow)) else ("max_rows",)
    sizes = {name: _part(getattr(page, name)) for name in rows}
    if isinstance(page, ActMembers):
        # Its members may be fewer than it allows.
        sizes = {"max_rows": _part(min(page.max_rows, len(page.seqs)))}
    return replace(page, engine_version=ENGINE_VERSION, max_bytes=_part(limit_of(page.max_bytes)), **sizes)


def _part(size: int) -> int:
    return max(1, size // _PART)
