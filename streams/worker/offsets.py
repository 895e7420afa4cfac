"""The offsets of partitions, asked of Kafka on a separate thread: the loop must not wait for them."""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FuturesTimeoutError
from typing import TYPE_CHECKING, Any, NamedTuple

from confluent_kafka import OFFSET_INVALID, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from streams.kafka.errors import TIMED_OUT, TRANSIENT_ERRORS, kafka_error
from streams.kafka.reading import load_metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Future

    from streams.worker.topics import Topics

_ADMIN_TIMEOUT_S = 10.0
_COMMITTED_TIMEOUT_S = 0.25
_METADATA_TIMEOUT_S = 1.0
_LOOK_S = 0.1
"""How often a wait checks whether it was cancelled, seconds."""


class PartitionOffsets(NamedTuple):
    """For each partition: the group's offset (None if there is none), and begin and end of its two logs."""

    committed: Mapping[int, int | None]
    changelog_begin: Mapping[int, int]
    changelog_end: Mapping[int, int]
    commands_begin: Mapping[int, int]
    commands_end: Mapping[int, int]


class Offsets:
    """Asks for the bounds of partitions, one question at a time.

    Args:
        consumer: the consumer of commands, whose group's offsets are asked for.
        admin: asks for the ends of logs; for use here only.
        reader: the reader of the changelog, which learns the topic's leaders here before it first reads.
        topics: facts about the topics.
        tell: called with the reason of a wait, while it lasts.
    """

    def __init__(self, consumer: Any, admin: Any, reader: Any, topics: Topics, tell: Callable[[str], None]) -> None:
        self._consumer = consumer
        self._admin = admin
        self._reader = reader
        self._topics = topics
        self._tell = tell
        self._has_metadata = False
        self._closing = threading.Event()
        self._thread = ThreadPoolExecutor(1, "takeover")

    def ask(self, partitions: Sequence[int]) -> Future[PartitionOffsets | None]:
        """A future of the partitions' bounds; of None if the group's offsets are not stable yet.

        Always in this order: the group's offsets, which wait while a transaction with offsets is pending, then the
        ends of the logs. The other way round would restore an old table under a new offset.
        """
        return self._thread.submit(self._ask, partitions)

    def close(self) -> None:
        """Cancel the question in progress; takes about a second at most."""
        self._closing.set()
        self._thread.shutdown(cancel_futures=True)

    def _ask(self, partitions: Sequence[int]) -> PartitionOffsets | None:
        try:
            if not self._has_metadata:
                load_metadata(self._reader, self._topics.changelog, _METADATA_TIMEOUT_S)
                self._has_metadata = True
            committed = self._committed(partitions)
            if not committed:
                return None
            changelog, commands = self._topics.changelog, self._topics.commands
            places = [TopicPartition(topic, partition) for topic in (changelog, commands) for partition in partitions]
            ends = self._offsets(places, OffsetSpec.latest())  # type: ignore[no-untyped-call]
            begins = self._offsets(places, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        except (KafkaException, FuturesTimeoutError):
            # The admin client keeps asking the leader it knows, with the epoch it knows, until it reads all metadata
            # again.
            with contextlib.suppress(KafkaException):
                self._admin.list_topics(timeout=_METADATA_TIMEOUT_S)
            raise
        return PartitionOffsets(committed, begins[changelog], ends[changelog], begins[commands], ends[commands])

    def _committed(self, partitions: Sequence[int]) -> dict[int, int | None]:
        """Committed offsets by partition; empty when they are not stable yet."""
        asked = [TopicPartition(self._topics.commands, partition) for partition in partitions]
        try:
            answer = self._consumer.committed(asked, timeout=_COMMITTED_TIMEOUT_S)
        except KafkaException as error:
            why = kafka_error(error)
            if why is None or why.code() != TIMED_OUT:
                raise
            self._tell(why.str())
            return {}
        for tp in answer:
            if tp.error is not None:
                self._tell(f"{tp.topic}, partition {tp.partition}: {tp.error.str()}")
                return {}
        return {tp.partition: None if tp.offset == OFFSET_INVALID else tp.offset for tp in answer}

    def _offsets(self, places: Sequence[TopicPartition], spec: OffsetSpec) -> dict[str, dict[int, int]]:
        """First or end offsets, uncommitted records included: an open transaction is waited for, not overlooked."""
        futures = self._admin.list_offsets(
            dict.fromkeys(places, spec),
            isolation_level=IsolationLevel.READ_UNCOMMITTED,
            request_timeout=_ADMIN_TIMEOUT_S,
        )
        found: dict[str, dict[int, int]] = {}
        until = time.monotonic() + _ADMIN_TIMEOUT_S + 1
        for tp, future in futures.items():
            found.setdefault(tp.topic, {})[tp.partition] = self._answer(future, until).offset
        return found

    def _answer(self, future: Future[Any], until: float) -> Any:
        while True:
            try:
                return future.result(_LOOK_S)
            except FuturesTimeoutError:
                if future.done() or self._closing.is_set() or time.monotonic() > until:
                    raise


def passing(error: KafkaException | FuturesTimeoutError) -> bool:
    """True if the error passes by itself, as those of a restarting or overloaded broker do."""
    if isinstance(error, FuturesTimeoutError):
        return True
    why = kafka_error(error)
    return why is not None and (why.retriable() or why.code() in TRANSIENT_ERRORS)
