"""A topic read to its end and on, committed records only, without joining a group."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from confluent_kafka import OFFSET_BEGINNING, KafkaException, TopicPartition

from streams.errors import StreamsError
from streams.kafka.clients import MAX_RECORD_BYTES, TIMEOUT_S, Trouble, reader_properties
from streams.kafka.errors import PARTITION_EOF, BrokerUnavailableError, is_record
from streams.kafka.topics import require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from streams.config import Settings, Topic
    from streams.kafka.clients import Clients

_WAIT = 0.1
_CHUNK = 1_000
_ENDS_AFTER_S = 0.5
"""A reader that has not met the end by then asks where it is, seconds: of a topic that is written to all the time, it
would never meet the end."""
_IN_VAIN_MS = 10
"""How long the broker waits for more records, ms: a reader knows that it is at the end once it has asked in vain."""
SILENCE_S = 30.0
"""After so long without a word, the brokers are gone, seconds."""
_ASKS_FOR_S = 2.0
"""Longest wait for the end of a partition while reading, seconds."""


class Tail:
    """A reader of partitions; `caught_up` once each has been read to the end that it had at the beginning."""

    def __init__(
        self, consumer: Any, places: list[TopicPartition], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._consumer = consumer
        self._places = places
        self._behind = {each.partition for each in places}
        self._ends: dict[int, int] | None = None
        self._clock = clock
        self._began = clock()
        consumer.assign(places)

    @property
    def caught_up(self) -> bool:
        """True if all records that were there at the beginning, or half a second later, have been read."""
        return not self._behind

    def ends(self, timeout: float = TIMEOUT_S) -> dict[int, int]:
        """The offset after the last committed record, by partition; `timeout`: of each, seconds."""
        return {each.partition: self._consumer.get_watermark_offsets(each, timeout=timeout)[1] for each in self._places}

    def poll(self) -> Iterator[Any]:
        """The messages that have arrived; waits a moment for the first."""
        if self._behind and self._ends is None and self._clock() - self._began > _ENDS_AFTER_S:
            self._ask_for_ends()
        for message in self._consumer.consume(1, _WAIT) + self._consumer.consume(_CHUNK, 0):
            error = message.error()
            if error is not None and error.code() == PARTITION_EOF:
                # The fetcher reports the end: the last offset may be a transaction's marker, which is not a record.
                self._behind.discard(message.partition() or 0)
            elif is_record(message):
                if self._behind and self._ends is not None and message.offset() + 1 >= self._ends[message.partition()]:
                    self._behind.discard(message.partition())
                yield message

    def without_end(self) -> Iterator[Iterator[Any]]:
        """What arrives, moment by moment."""
        while True:
            yield self.poll()

    def until_end(self, silence: float = SILENCE_S) -> Iterator[list[Any]]:
        """What arrives, moment by moment, until the end is reached, however long that takes.

        Raises:
            BrokerUnavailableError: nothing has come for `silence` seconds.
        """
        heard = self._clock()
        while not self.caught_up:
            behind = len(self._behind)
            found = list(self.poll())
            if found:
                yield found
            if found or len(self._behind) < behind:
                heard = self._clock()
            elif self._clock() - heard >= silence:
                name = self._places[0].topic
                raise BrokerUnavailableError(f"{name} could not be read to its end: no word of it for {silence:g} s")

    def _ask_for_ends(self) -> None:
        try:
            self._ends = self.ends(_ASKS_FOR_S)
        except KafkaException:
            # Whether the brokers answer is for the reader's own timeout to say.
            self._began = self._clock()

    def read_to_end(self, timeout: float) -> Iterator[Any]:
        """All messages until the end is reached.

        Raises:
            BrokerUnavailableError: that takes more than `timeout` seconds.
        """
        deadline = self._clock() + timeout
        while not self.caught_up:
            yield from self.poll()
            if self._clock() >= deadline:
                name = self._places[0].topic
                raise BrokerUnavailableError(f"{name} could not be read to its end within {timeout:g} s")


@contextmanager
def tail(
    settings: Settings,
    clients: Clients,
    topic: Topic,
    *,
    partition: int | None = None,
    since: Mapping[int, int] | None = None,
    last: int | None = None,
    goes_on: bool = True,
) -> Iterator[Tail]:
    """A `Tail` with a connection of its own, for the length of the context.

    Args:
        settings: the brokers and the topics' prefix.
        clients: makes the consumer.
        topic: the topic to read.
        partition: read this one only.
        since: first offset by partition; absent: the beginning.
        last: begin this many offsets before each partition's end instead.
        goes_on: it is read beyond its end; else the end is met sooner.

    Raises:
        BrokerUnavailableError, TopicMissingError: nothing to read from.
        StreamsError: the topic has no such partition.
    """
    trouble = Trouble()
    own = {
        # librdkafka wants a name, but nothing here joins a group, commits or asks for its offsets.
        "group_id": "streams-reader",
        "enable_auto_commit": False,
        "enable_partition_eof": True,
        "isolation_level": "read_committed",
        "fetch_message_max_bytes": MAX_RECORD_BYTES,
        "auto_offset_reset": "earliest",  # records that were there when the end was asked for may be deleted by now
        **({} if goes_on else {"fetch_wait_max_ms": _IN_VAIN_MS}),
    }
    consumer = clients.consumer(reader_properties(settings, trouble, **own))
    try:
        [(name, found)] = require(consumer, settings, trouble, topic).items()
        if partition is not None and partition not in found.partitions:
            raise StreamsError(f"{name} has no partition {partition}: it has 0 to {len(found.partitions) - 1}")
        chosen = sorted(found.partitions) if partition is None else [partition]
        places = [TopicPartition(name, each, (since or {}).get(each, OFFSET_BEGINNING)) for each in chosen]
        if last is not None:
            for place in places:
                first, end = consumer.get_watermark_offsets(place, timeout=TIMEOUT_S)
                place.offset = max(first, end - last)
        yield Tail(consumer, places)
    finally:
        consumer.close()
