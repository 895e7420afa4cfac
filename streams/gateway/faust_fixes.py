"""Repairs of Faust's exactly-once.

Most of them matter only if a gateway dies, or partitions move, at the wrong moment: the table would then lose records,
and their batch would never seem to end.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import faust
import structlog
from aiokafka.client import CoordinationType
from aiokafka.errors import InvalidProducerIdMapping
from aiokafka.producer.sender import InitPIDHandler, Sender
from aiokafka.producer.transaction_manager import PidAndEpoch
from faust.tables.manager import TableManager
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Producer

_IN_VAIN_S = 0.2
"""Half of how long Faust waits for a record of a changelog before it asks whether that was the last one, seconds."""
_FETCH_WAIT_MS = 200
"""How long a request for records waits for some."""

log = structlog.get_logger("streams.gateway")


class AwaitableTable(faust.Table[bytes, bytes]):
    """A table with an explicit partition for each change; it can wait until its changelog records are at the broker.

    Faust takes the partition from the stream's current event, which says nothing about the others of a chunk. And it
    sends in its own time, so that a record's offset could be committed in a transaction before that of its change.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._partition = 0
        self._unsent: list[Any] = []

    def put(self, key: bytes, value: bytes | None, partition: int) -> None:
        """Set or remove the key, in the transaction that commits offsets of this partition of the input."""
        self._partition = partition
        if value is not None:
            self[key] = value
        elif key in self:
            del self[key]

    def partition_for_key(self, key: Any) -> int:  # noqa: ARG002 - Faust's signature
        """Called by Faust within `put`."""
        return self._partition

    def send_changelog(self, *args: Any, **options: Any) -> Any:
        """Send like Faust, and remember the future."""
        future = super().send_changelog(*args, **options)
        self._unsent.append(future)
        return future

    async def sent(self) -> None:
        """Wait until every change so far has reached the broker."""
        unsent, self._unsent = self._unsent, []
        await asyncio.gather(*unsent)


class PromptTables(TableManager):
    """Tables that are ready about a second after the last record of their changelog has been read.

    The last thing in a changelog that is written in transactions is a marker, not a record. Faust waits for a record
    there: only after two waits of five seconds without one does it ask how far its consumer has read. (What it is told
    then must be old enough: `OrderedConsumer.position`.)
    """

    @property
    def changelog_queue(self) -> Any:
        """Faust's queue, but whoever waits for a record gets a time-out sooner, which Faust takes for its own.

        After two waits: when the loop was held up for long, the first is over although there are records.
        """
        if self._changelog_queue is None:
            queue = super().changelog_queue
            take = queue.get

            async def get() -> Any:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_IN_VAIN_S):
                        return await take()
                async with asyncio.timeout(_IN_VAIN_S):
                    return await take()

            queue.get = get
        return self._changelog_queue


class AskingThread(AIOKafkaConsumerThread):
    """Asks the broker where the changelog ends.

    Faust uses the answer to the last fetch. If none has come back yet, the changelog seems empty, the table stays
    empty, and known batches are no longer merged.

    Its requests for records also end sooner when there are none: a partition that has just been assigned waits for the
    end of the request before, which with Faust is 1.5 s.
    """

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = _FETCH_WAIT_MS  # noqa: SLF001 - Faust has no setting for it
        return consumer

    async def _highwaters(self, partitions: Any) -> Any:
        # As the consumer reads committed records only, this is the last stable offset.
        return await self._ensure_consumer().end_offsets(partitions)


class OrderedConsumer(Consumer):
    """A consumer that acknowledges records in order of their offsets, each once its results are sent.

    Faust keeps intervals of offsets without a record, so that it can commit past them. It counts the record after such
    a gap as part of it. In a topic written in transactions, where a marker follows every record or two, it then takes
    all that was read for acknowledged, or stops committing. In order, the last acknowledged offset is all that is
    needed.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._positions: dict[Any, int] = {}

    async def position(self, tp: Any) -> int:
        """Where the consumer was when it was asked the last time: tables ask when they seem to be restored.

        Its own position is beyond records that it has fetched and not handed over. At that, Faust would take a table
        for restored, and pass these records over.
        """
        before = self._positions.get(tp, -1)
        now = await super().position(tp)
        self._positions[tp] = -1 if now is None else now
        return min(before, self._positions[tp])

    async def seek_wait(self, partitions: Any) -> None:
        """Where it was before says nothing of what is read from here on."""
        await super().seek_wait(partitions)
        for tp in partitions:
            self._positions.pop(tp, None)

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
        """Ignore a gap: gaps need no book-keeping."""


class RenewingSender(Sender):  # type: ignore[misc] # aiokafka has no types here
    """A sender of transactions that takes a new producer id when Kafka has forgotten its own.

    Brokers forget a transactional id that was idle for `transactional.id.expiration.ms` (7 days). aiokafka takes that
    for the end of the producer. But the transaction is still empty, or Kafka would not have forgotten the id, so the
    sender goes on under a new one.
    """

    async def _do_add_partitions_to_txn(self, tps: Any) -> Any:
        try:
            return await super()._do_add_partitions_to_txn(tps)
        except InvalidProducerIdMapping as error:
            return await self._renew(error)

    async def _do_add_offsets_to_txn(self, group_id: str) -> Any:
        try:
            return await super()._do_add_offsets_to_txn(group_id)
        except InvalidProducerIdMapping as error:
            return await self._renew(error)

    async def _renew(self, error: InvalidProducerIdMapping) -> None:
        """Ask for an id until there is one; the caller then tries again."""
        if not self._txn_manager.is_empty_transaction():
            raise error
        transactional_id = self._txn_manager.transactional_id
        log.info("Kafka has forgotten an idle transactional id: it is taken again", transactional_id=transactional_id)
        while True:
            node = await self._find_coordinator(CoordinationType.TRANSACTION, transactional_id)
            if await _Renewal(self).do(node):
                return


class _Renewal(InitPIDHandler):  # type: ignore[misc] # likewise
    """Asks for a producer id in the middle of an empty transaction."""

    def handle_response(self, response: Any) -> Any:
        if response.error_code:
            return super().handle_response(response)
        manager = self._sender._txn_manager  # noqa: SLF001 - nothing public sets it again
        manager._pid_and_epoch = PidAndEpoch(response.producer_id, response.producer_epoch)  # noqa: SLF001
        manager._sequence_numbers.clear()  # noqa: SLF001
        return None


class RenewingProducer(Producer):
    """Faust's producer with such senders."""

    def _new_producer(self, transactional_id: str | None = None) -> Any:
        producer = super()._new_producer(transactional_id)
        producer._sender.__class__ = RenewingSender  # noqa: SLF001 - it is made in there, and holds no more than this
        return producer
