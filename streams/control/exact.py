"""Where Faust's exactly-once falls short, put right.

All of it matters only when a gateway dies, or partitions move, at the wrong moment: records would then be lost to the
table, and their batch would never be seen to end.
"""

from __future__ import annotations

import asyncio
from typing import Any

import faust
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer


class AwaitableTable(faust.Table[bytes, bytes]):
    """A table that is told the partition of each change, and tells when its changelog records are at the broker.

    Faust takes the partition from the stream's current event, which says nothing about the others of a chunk. And it
    sends on its own time, so that a record's offset could be committed in a transaction before that of its change.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._partition = 0
        self._unsent: list[Any] = []

    def put(self, key: bytes, value: bytes | None, partition: int) -> None:
        """Set the key, or remove it; in the transaction that commits offsets of this partition of the input."""
        self._partition = partition
        if value is not None:
            self[key] = value
        elif key in self:
            del self[key]

    def partition_for_key(self, key: Any) -> int:  # noqa: ARG002 - Faust's signature
        """Called by Faust within `put`."""
        return self._partition

    def send_changelog(self, *args: Any, **options: Any) -> Any:
        """As Faust does, and remembered."""
        future = super().send_changelog(*args, **options)
        self._unsent.append(future)
        return future

    async def sent(self) -> None:
        """Wait until every change so far has reached the broker."""
        unsent, self._unsent = self._unsent, []
        await asyncio.gather(*unsent)


class AskingThread(AIOKafkaConsumerThread):
    """Asks the broker where the changelog ends.

    Faust takes what the last fetch has told. When none has come back yet the changelog seems empty, the table stays so,
    and batches that it knew are not merged any more.
    """

    async def _highwaters(self, partitions: Any) -> Any:
        # As the consumer reads committed records only, this is the last stable offset.
        return await self._ensure_consumer().end_offsets(partitions)


class OrderedConsumer(Consumer):
    """A consumer whose records are acknowledged in the order of their offsets, each once what it led to is sent.

    Faust keeps intervals of offsets that hold no record, so that it can commit past them. It counts the record behind
    such a gap as part of it; in a topic written in transactions, where a marker follows every record or two, it takes
    all that was read for acknowledged, or stops committing. In order, the last offset acknowledged tells everything.
    """

    def _new_consumer_thread(self) -> AskingThread:
        return AskingThread(self, loop=self.loop, beacon=self.beacon)

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
