"""Progress of batches, read from the `batches` topic."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from streams import codec
from streams.client.errors import BatchTimeoutError, UnreadableProgressError
from streams.client.threads import in_a_thread
from streams.config import Topic
from streams.kafka.clients import KafkaClients
from streams.kafka.tail import tail
from streams.model import FINAL_STATES, BatchProgress

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from streams.config import Settings
    from streams.kafka.clients import Clients

log = logging.getLogger(__name__)


class ProgressReader:
    """Reads the `batches` topic from its start, committed records only, without joining a group.

    Each call opens its own connection; several readers do not disturb each other.
    """

    def __init__(self, settings: Settings, clients: Clients | None = None) -> None:
        self._settings = settings
        self._clients = clients or KafkaClients()

    def follow(
        self,
        batch_id: str,
        timeout: float | None = None,
        on_quiet: Callable[[BatchProgress | None], None] | None = None,
    ) -> Iterator[BatchProgress]:
        """Progress of one batch: the current record, then each new one, up to and including the final state.

        Revisions rise. An unknown batch is waited for. `timeout`: seconds for the whole call, None for no limit.
        `on_quiet` is called about ten times a second while nothing comes, with the newest progress, or None if there is
        none.

        Raises:
            BatchTimeoutError: the batch has not ended within `timeout`.
            BrokerUnavailableError, TopicMissingError: nothing to read from.
            UnreadableProgressError: the batch's own record was written by a newer version.
        """
        newest = None
        for progress in self._follow(batch_id, timeout):
            if progress is not None:
                newest = progress
                yield progress
            elif on_quiet is not None:
                on_quiet(newest)

    def follow_async(self, batch_id: str, timeout: float | None = None) -> AsyncGenerator[BatchProgress, None]:
        """Like `follow`, for `async for`; each call has one thread, which ends with it."""
        return in_a_thread(lambda: self._follow(batch_id, timeout))

    def _follow(self, batch_id: str, timeout: float | None) -> Iterator[BatchProgress | None]:
        """Like `follow`, with None whenever there was nothing new for a moment."""
        deadline = None if timeout is None else time.monotonic() + timeout
        newest: BatchProgress | None = None
        shown = -1
        with tail(self._settings, self._clients, Topic.BATCHES) as batches:
            while True:
                for message in batches.poll():
                    if _key(message) == batch_id:
                        newest = _newer(newest, batch_id, message.value())
                # History is skipped: it may hold the end of an older batch with this id.
                if batches.caught_up and newest is not None and newest.revision != shown:
                    shown = newest.revision
                    yield newest
                    if newest.state in FINAL_STATES:
                        return
                yield None
                if deadline is not None and time.monotonic() >= deadline:
                    raise BatchTimeoutError(_not_ended(batch_id, newest, timeout))

    def latest(self, timeout: float = 30.0) -> dict[str, BatchProgress]:
        """The newest progress of every batch, by id, at the time of the call.

        A record that this version cannot read is left out, with a warning in the log.

        Raises:
            BrokerUnavailableError: not read to the end within `timeout` seconds, or no broker at all.
            TopicMissingError: nothing to read from.
        """
        latest: dict[str, BatchProgress | None] = {}
        with tail(self._settings, self._clients, Topic.BATCHES) as batches:
            for message in batches.read_to_end(timeout):
                key = _key(message)
                try:
                    latest[key] = _newer(latest.get(key), key, message.value())
                except UnreadableProgressError as error:
                    log.warning("%s", error)
        return {batch_id: progress for batch_id, progress in latest.items() if progress is not None}


def _key(message: Any) -> str:
    return (message.key() or b"").decode(errors="replace")


def _newer(known: BatchProgress | None, batch_id: str, value: bytes | None) -> BatchProgress | None:
    """The batch's progress after this record; None after a tombstone."""
    if value is None:
        return None
    progress = _decode(batch_id, value)
    return known if known is not None and progress.revision <= known.revision else progress


def _decode(key: str, value: bytes) -> BatchProgress:
    try:
        record = codec.decode(value)
    except codec.BadRecordError as error:
        raise UnreadableProgressError(f"progress of batch {key}: {error}; upgrade this program") from error
    if not isinstance(record, BatchProgress):
        raise UnreadableProgressError(f"progress of batch {key}: a {type(record).__name__} stands in its place")
    return record


def _not_ended(batch_id: str, progress: BatchProgress | None, timeout: float | None) -> str:
    if progress is None:
        return (
            f"batch {batch_id}: no progress within {timeout:g} s; are a worker and a gateway running?"
            f" `streams batch show {batch_id}` shows it later"
        )
    return f"batch {batch_id} has not ended within {timeout:g} s; it goes on: `streams batch show {batch_id}`"
