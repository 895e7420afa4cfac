"""A topic read from its start, committed records only, without joining a group."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from confluent_kafka import OFFSET_BEGINNING, KafkaError, TopicPartition

from streams.client.connection import MAX_RECORD_BYTES, Trouble, is_record, properties, require_topics

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from streams.client.connection import Clients
    from streams.config import Settings, Topic

_WAIT = 0.1
_CHUNK = 500

_Item = TypeVar("_Item")


class Tail:
    """A reader of a topic from its start; `caught_up` once each partition has been read to its end at the beginning."""

    def __init__(self, consumer: Any, topic: str, partitions: set[int]) -> None:
        self.topic = topic
        self._consumer = consumer
        self._behind = partitions
        consumer.assign([TopicPartition(topic, each, OFFSET_BEGINNING) for each in partitions])

    @property
    def caught_up(self) -> bool:
        """Whether all records that were there at the beginning have been read."""
        return not self._behind

    def poll(self) -> Iterator[Any]:
        """The messages that have arrived; waits a moment for the first."""
        for message in self._consumer.consume(1, _WAIT) + self._consumer.consume(_CHUNK, 0):
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the only name it has
                # The fetcher reports the end: the last offset may be a transaction's marker, which is no record.
                self._behind.discard(message.partition() or 0)
            elif is_record(message):
                yield message


@contextmanager
def tail(settings: Settings, clients: Clients, topic: Topic) -> Iterator[Tail]:
    """A `Tail` with a connection of its own, for the length of the context.

    Raises:
        BrokerUnavailableError, TopicMissingError: nothing to read from.
    """
    trouble = Trouble()
    own = {
        # librdkafka wants a name, but nothing here joins a group, commits or asks for its offsets.
        "group_id": "streams-reader",
        "enable_auto_commit": False,
        "enable_partition_eof": True,
        "isolation_level": "read_committed",
        "fetch_message_max_bytes": MAX_RECORD_BYTES,
        **({} if "fetch.wait.max.ms" in settings.kafka_properties() else {"fetch_wait_max_ms": 100}),
    }
    consumer = clients.consumer(properties(settings, trouble, **own))
    try:
        [(name, found)] = require_topics(consumer, settings, trouble, topic).items()
        yield Tail(consumer, name, set(found.partitions))
    finally:
        consumer.close()


async def in_a_thread(make: Callable[[], Iterator[_Item | None]]) -> AsyncGenerator[_Item, None]:
    """The items of a waiting iterator, which runs in a thread of its own; None is skipped.

    The iterator must yield something, at least None, every now and then: it can only be ended there.
    """
    end = object()
    loop = asyncio.get_running_loop()
    thread = ThreadPoolExecutor(1, thread_name_prefix="streams-reader")
    try:
        items: Any = await loop.run_in_executor(thread, make)
        try:
            item: Any
            while (item := await loop.run_in_executor(thread, next, items, end)) is not end:
                if item is not None:
                    yield item
        finally:
            thread.submit(items.close)
    finally:
        thread.shutdown(wait=False)
