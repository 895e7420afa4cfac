"""Progress of batches, as the `batches` topic has it."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from streams import codec
from streams.client.connection import MAX_RECORD_BYTES, Trouble, properties, require_topics
from streams.client.errors import BatchTimeoutError, BrokerUnavailableError, UnreadableProgressError
from streams.config import Topic
from streams.model import BatchProgress, BatchState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.config import Settings

FINAL_STATES = frozenset({BatchState.COMPLETED, BatchState.ABORTED, BatchState.REJECTED})
"""A batch in one of these does not change any more."""

_WAIT = 0.1
_CHUNK = 500

log = logging.getLogger(__name__)


class _Entry(NamedTuple):
    """A record of the topic; `value` is None for a tombstone."""

    key: str
    value: bytes | None


class ProgressReader:
    """Reads the `batches` topic from its start, committed records only, without joining a group.

    Each call opens its own connection; several readers do not disturb each other.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def follow(self, batch_id: str, timeout: float | None = None) -> Iterator[BatchProgress]:
        """Progress of one batch as it comes, revisions rising, up to and including its final state.

        A batch nobody has heard of yet is waited for. `timeout`: seconds for the whole, None for ever.

        Raises:
            BatchTimeoutError: not ended within `timeout`.
            BrokerUnavailableError, TopicMissingError: nothing to read from.
            UnreadableProgressError: the batch's own record was written by a newer version.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        revision = -1
        with self._records() as records:
            for entry in records:
                if entry is None or entry.key != batch_id:
                    if deadline is not None and time.monotonic() >= deadline:
                        raise BatchTimeoutError(_not_ended(batch_id, revision, timeout))
                elif entry.value is None:
                    revision = -1
                else:
                    progress = _decode(entry.key, entry.value)
                    if progress.revision > revision:
                        revision = progress.revision
                        yield progress
                        if progress.state in FINAL_STATES:
                            return

    def latest(self, timeout: float = 30.0) -> dict[str, BatchProgress]:
        """The newest progress of every batch, by id, as of the time of the call.

        A record that this version cannot read is left out, with a warning in the log.

        Raises:
            BrokerUnavailableError: not read to the end within `timeout` seconds, or no broker at all.
            TopicMissingError: nothing to read from.
        """
        deadline = time.monotonic() + timeout
        latest: dict[str, BatchProgress] = {}
        with self._records(to_end=True) as records:
            for entry in records:
                if entry is not None:
                    _keep(latest, entry)
                elif time.monotonic() >= deadline:
                    raise BrokerUnavailableError(
                        f"{self._settings.topic(Topic.BATCHES)} could not be read to its end within {timeout:g} s"
                    )
        return latest

    @contextmanager
    def _records(self, *, to_end: bool = False) -> Iterator[Iterator[_Entry | None]]:
        """The topic's records; None whenever there was none for a moment. With `to_end` they end where it ends now."""
        trouble = Trouble()
        own = {
            # librdkafka wants a name, but nothing here joins a group, commits or asks for its offsets.
            "group_id": "streams-progress-reader",
            "enable_auto_commit": False,
            "enable_partition_eof": True,
            "isolation_level": "read_committed",
            "fetch_message_max_bytes": MAX_RECORD_BYTES,
            **({} if "fetch.wait.max.ms" in self._settings.kafka_properties() else {"fetch_wait_max_ms": 100}),
        }
        consumer = Consumer(properties(self._settings, trouble, **own))
        try:
            [(topic, found)] = require_topics(consumer, self._settings, trouble, Topic.BATCHES).items()
            consumer.assign([TopicPartition(topic, each, OFFSET_BEGINNING) for each in found.partitions])
            yield _read(consumer, len(found.partitions) if to_end else None)
        finally:
            consumer.close()


def _read(consumer: Consumer, ends: int | None) -> Iterator[_Entry | None]:
    """Records of the assigned partitions; stops once `ends` partitions have been read to their end."""
    ended: set[int] = set()
    while ends is None or len(ended) < ends:
        messages = consumer.consume(_CHUNK, _WAIT)
        for message in messages:
            error = message.error()
            if error is None:
                yield _Entry((message.key() or b"").decode(errors="replace"), message.value())
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the only name it has
                # The end of a partition is told by the fetcher: the last offset may belong to a transaction's marker,
                # which no record ever reaches.
                ended.add(message.partition() or 0)
            elif error.fatal() or not error.retriable():
                raise KafkaException(error)
        yield None


def _decode(key: str, value: bytes) -> BatchProgress:
    try:
        record = codec.decode(value)
    except codec.BadRecordError as error:
        raise UnreadableProgressError(f"progress of batch {key}: {error}; upgrade this program") from error
    if not isinstance(record, BatchProgress):
        raise UnreadableProgressError(f"progress of batch {key}: a {type(record).__name__} stands in its place")
    return record


def _keep(latest: dict[str, BatchProgress], entry: _Entry) -> None:
    if entry.value is None:
        latest.pop(entry.key, None)
        return
    try:
        progress = _decode(entry.key, entry.value)
    except UnreadableProgressError as error:
        log.warning("%s", error)
        return
    known = latest.get(entry.key)
    if known is None or progress.revision > known.revision:
        latest[entry.key] = progress


def _not_ended(batch_id: str, revision: int, timeout: float | None) -> str:
    if revision < 0:
        return (
            f"batch {batch_id}: no progress within {timeout:g} s; are a worker and a gateway running?"
            f" `streams batch show {batch_id}` tells later"
        )
    return f"batch {batch_id} has not ended within {timeout:g} s; it goes on: `streams batch show {batch_id}`"
