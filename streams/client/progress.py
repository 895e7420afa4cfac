"""Progress of batches and flows, read from the topics `batches` and `flows`."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from streams import codec
from streams.client.errors import BatchTimeoutError, FlowTimeoutError, UnreadableProgressError
from streams.client.threads import in_a_thread
from streams.config import Topic
from streams.kafka.clients import KafkaClients
from streams.kafka.tail import tail
from streams.model import FINAL_STATES, BatchProgress, FlowProgress, FlowState

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Collection, Iterator

    from streams.config import Settings
    from streams.kafka.clients import Clients

log = logging.getLogger(__name__)

_Progress = TypeVar("_Progress", BatchProgress, FlowProgress)

CANCELLED_STATES = frozenset({FlowState.CANCELLED, FlowState.PARTIALLY_CANCELLED})
"""States of a cancelled flow with no member that is still asked to end; who joins later makes it CANCELLING again."""


class _Reader(Generic[_Progress]):
    """Reads a topic of progress from its start, committed records only, without joining a group.

    Each call opens its own connection; several readers do not disturb each other.
    """

    _topic: ClassVar[Topic]
    _kind: ClassVar[type]
    _what: ClassVar[str]

    def __init__(self, settings: Settings, clients: Clients | None = None) -> None:
        self._settings = settings
        self._clients = clients or KafkaClients()

    def latest(self, timeout: float = 30.0) -> dict[str, _Progress]:
        """The newest progress of each, by id, at the time of the call; what is forgotten is not among them.

        A record that this version cannot read is left out, with a warning in the log.

        Raises:
            BrokerUnavailableError: not read to the end within `timeout` seconds, or no broker at all.
            TopicMissingError: nothing to read from.
        """
        latest: dict[str, _Progress | None] = {}
        with tail(self._settings, self._clients, self._topic, goes_on=False) as records:
            for message in records.read_to_end(timeout):
                key = _key(message)
                try:
                    latest[key] = self._newer(latest.get(key), key, message.value())
                except UnreadableProgressError as error:
                    log.warning("%s", error)
        return {name: progress for name, progress in latest.items() if progress is not None}

    def _changes(self, name: str, deadline: float | None) -> Iterator[_Progress | None]:
        """The current record, then each new one; None every now and then, and at the deadline for the last time."""
        newest: _Progress | None = None
        shown = -1
        with tail(self._settings, self._clients, self._topic) as records:
            while True:
                for message in records.poll():
                    if _key(message) == name:
                        newest = self._newer(newest, name, message.value())
                # History is skipped: it may hold the end of an older one with this id.
                if records.caught_up and newest is not None and newest.revision != shown:
                    shown = newest.revision
                    yield newest
                yield None
                if deadline is not None and time.monotonic() >= deadline:
                    return

    def _newer(self, known: _Progress | None, name: str, value: bytes | None) -> _Progress | None:
        """The progress after this record; None after a tombstone."""
        if value is None:
            return None
        progress = self._decode(name, value)
        return known if known is not None and progress.revision <= known.revision else progress

    def _decode(self, name: str, value: bytes) -> _Progress:
        try:
            record: Any = codec.decode(value)
        except codec.BadRecordError as error:
            raise UnreadableProgressError(f"progress of {self._what} {name}: {error}; upgrade this program") from error
        if not isinstance(record, self._kind):
            raise UnreadableProgressError(
                f"progress of {self._what} {name}: a {type(record).__name__} stands in its place"
            )
        return record  # type: ignore[return-value]


class ProgressReader(_Reader[BatchProgress]):
    """Reads the progress of batches; see `latest` and `follow`.

    Each call opens its own connection; several readers do not disturb each other.
    """

    _topic, _kind, _what = Topic.BATCHES, BatchProgress, "batch"

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
        return _told(self._follow(batch_id, timeout), on_quiet)

    def follow_async(self, batch_id: str, timeout: float | None = None) -> AsyncGenerator[BatchProgress, None]:
        """Like `follow`, for `async for`; each call has one thread, which ends with it."""
        return in_a_thread(lambda: self._follow(batch_id, timeout))

    def _follow(self, batch_id: str, timeout: float | None) -> Iterator[BatchProgress | None]:
        """Like `follow`, with None whenever there was nothing new for a moment."""
        newest = None
        for progress in self._changes(batch_id, _deadline(timeout)):
            yield progress
            newest = progress or newest
            if progress is not None and progress.state in FINAL_STATES:
                return
        raise BatchTimeoutError(_not_ended(batch_id, newest, timeout))


class FlowReader(_Reader[FlowProgress]):
    """Reads the progress of named flows; see `get`, `latest` and `follow`. Children of a parent have none.

    Each call opens its own connection; several readers do not disturb each other.
    """

    _topic, _kind, _what = Topic.FLOWS, FlowProgress, "flow"

    def get(self, flow_id: str, timeout: float = 30.0) -> FlowProgress | None:
        """The newest progress of a flow at the time of the call; None if it is unknown, or forgotten.

        Raises:
            BrokerUnavailableError: not read to the end within `timeout` seconds, or no broker at all.
            TopicMissingError: nothing to read from.
        """
        return self.latest(timeout).get(flow_id)

    def follow(
        self,
        flow_id: str,
        until: Collection[FlowState] = CANCELLED_STATES,
        timeout: float | None = None,
        on_quiet: Callable[[FlowProgress | None], None] | None = None,
        *,
        since: int = 0,
    ) -> Iterator[FlowProgress]:
        """Progress of one flow: the current record, then each new one, up to and including one in a state of `until`.

        No state of a flow is its last: who joins a cancelled one makes it CANCELLING again. An empty `until` follows
        without end. Revisions rise. A flow that is unknown, or forgotten meanwhile, is waited for.

        Args:
            flow_id: the flow.
            until: states that end it.
            timeout: seconds for the whole call, None for no limit.
            on_quiet: called about ten times a second while nothing comes, with the newest progress, or None.
            since: lowest revision that counts, such as the offset of one's own `CancelFlow`: what stood there before
                is passed over.

        Raises:
            FlowTimeoutError: the flow has come to no such state within `timeout`.
            BrokerUnavailableError, TopicMissingError: nothing to read from.
            UnreadableProgressError: the flow's own record was written by a newer version.
        """
        return _told(self._follow(flow_id, until, timeout, since), on_quiet)

    def follow_async(
        self,
        flow_id: str,
        until: Collection[FlowState] = CANCELLED_STATES,
        timeout: float | None = None,
        *,
        since: int = 0,
    ) -> AsyncGenerator[FlowProgress, None]:
        """Like `follow`, for `async for`; each call has one thread, which ends with it."""
        return in_a_thread(lambda: self._follow(flow_id, until, timeout, since))

    def _follow(
        self, flow_id: str, until: Collection[FlowState], timeout: float | None, since: int
    ) -> Iterator[FlowProgress | None]:
        newest = None
        for progress in self._changes(flow_id, _deadline(timeout)):
            if progress is None or progress.revision < since:
                yield None
                continue
            yield progress
            newest = progress
            if progress.state in until:
                return
        raise FlowTimeoutError(_not_there(flow_id, newest, until, timeout))


def _told(
    items: Iterator[_Progress | None], on_quiet: Callable[[_Progress | None], None] | None
) -> Iterator[_Progress]:
    """The progress among the items; `on_quiet` hears of each None, with what came before it."""
    newest: _Progress | None = None
    for progress in items:
        if progress is not None:
            newest = progress
            yield progress
        elif on_quiet is not None:
            on_quiet(newest)


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _key(message: Any) -> str:
    return (message.key() or b"").decode(errors="replace")


def _not_ended(batch_id: str, progress: BatchProgress | None, timeout: float | None) -> str:
    if progress is None:
        return (
            f"batch {batch_id}: no progress within {timeout:g} s; are a worker and a gateway running?"
            f" `streams batch show {batch_id}` shows it later"
        )
    return f"batch {batch_id} has not ended within {timeout:g} s; it goes on: `streams batch show {batch_id}`"


def _not_there(flow_id: str, progress: FlowProgress | None, until: Collection[FlowState], timeout: float | None) -> str:
    wanted = f" and not {' or '.join(sorted(until))}" if until else ""
    if progress is None:
        return (
            f"flow {flow_id}: nothing new within {timeout:g} s; has anybody joined it, and is a worker running?"
            f" `streams flow show {flow_id}` shows it later"
        )
    return f"flow {flow_id} is {progress.state}{wanted} after {timeout:g} s; it goes on: `streams flow show {flow_id}`"
