"""Where Faust's exactly-once falls short, put right.

Both matter only when a gateway dies at the wrong moment: an input record would then be lost to the table, and its batch
would never be seen to end.
"""

from __future__ import annotations

import asyncio
from typing import Any

import faust
from faust.transport.drivers.aiokafka import Consumer


class AwaitableTable(faust.Table[bytes, bytes]):
    """A table that tells when its changelog records have reached the broker.

    Faust sends them on its own time, so that an input record could be acknowledged, and its offset committed, in a
    transaction before the one that holds its change.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._unsent: list[Any] = []

    def send_changelog(self, *args: Any, **options: Any) -> Any:
        """As Faust does, and remembered."""
        future = super().send_changelog(*args, **options)
        self._unsent.append(future)
        return future

    async def sent(self) -> None:
        """Wait until every change so far has reached the broker."""
        unsent, self._unsent = self._unsent, []
        await asyncio.gather(*unsent)


class OrderedConsumer(Consumer):
    """A consumer whose records are acknowledged in the order of their offsets, each once what it led to is sent.

    Faust keeps intervals of offsets that hold no record, so that it can commit past them. It counts the record behind
    such a gap as part of it; in a topic written in transactions, where a marker follows every record or two, it takes
    all that was read for acknowledged, or stops committing. In order, the last offset acknowledged tells everything.
    """

    def _new_offset(self, tp: Any) -> int | None:
        acked = self._acked[tp]
        if not acked:
            return None
        next_offset: int = max(acked) + 1
        acked.clear()
        self._acked_index[tp].clear()
        return next_offset

    async def _add_gap(self, tp: Any, offset_from: int, offset_to: int) -> None:
        """Gaps need no book-keeping."""
