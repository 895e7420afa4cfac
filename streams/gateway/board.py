"""Batches, flows and workers as the api knows them: their topics, read from the beginning by a thread each.

No group is joined and nothing is committed: whoever starts reads all of it, and a gateway more or less changes nothing.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import structlog
from confluent_kafka import KafkaException

from streams.config import Topic
from streams.errors import StreamsError
from streams.gateway.hub import Hub, Key, WrittenEvents
from streams.gateway.stores import (
    BatchStore,
    BoardStore,
    ConflictStore,
    FlowStore,
    TopicRead,
    WorkerStore,
    conflict_of,
    read_of,
)
from streams.kafka.tail import tail

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from streams.config import Settings
    from streams.kafka.clients import Clients
    from streams.model import WorkerAddress

GATHER_S: Final = 0.2
"""A key that changes again within this time is told once, at its end, seconds."""
AGAIN_S: Final = 1.0
"""Pause before a topic is opened again, seconds."""

_IDLE_S: Final = 0.005
_AHEAD: Final = 4
_MOST_TOLD: Final = 1_000
_ENDS_WITHIN_S: Final = 2.0

log = structlog.get_logger("streams.gateway")


class BoardSource(NamedTuple):
    """A topic of the board: its store, and how its messages are read."""

    topic: Topic
    store: Callable[[], BoardStore]
    read: Callable[[Any], TopicRead]


SOURCES: Final = (
    BoardSource(Topic.BATCH_SLICES, BatchStore, read_of),
    BoardSource(Topic.FLOWS, FlowStore, read_of),
    BoardSource(Topic.WORKERS, WorkerStore, read_of),
    BoardSource(Topic.DEAD_LETTERS, ConflictStore, conflict_of),
)


class Accepted:
    """Ids of batches that this gateway has sent and not seen yet; the newest 10,000 of them."""

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._ids: dict[str, None] = {}

    def add(self, batch_id: str) -> None:
        """Remember one."""
        self._ids[batch_id] = None
        if len(self._ids) > self._most:
            del self._ids[next(iter(self._ids))]

    def seen(self, batch_id: str) -> None:
        """Forget one: from now on, what is not on the board is not there."""
        self._ids.pop(batch_id, None)

    def __contains__(self, batch_id: str) -> bool:
        return batch_id in self._ids


class Board:
    """The stores, and the hub that tells of their changes; for one event loop, but for the threads that read.

    Use it as an async context manager: it reads while the context lasts.
    """

    def __init__(self, settings: Settings, clients: Clients) -> None:
        self.hub = Hub()
        self.written = WrittenEvents()
        self.accepted = Accepted()
        self.ready = asyncio.Event()
        """Set once all topics have been read to their ends."""
        self._settings, self._clients = settings, clients
        self._stores: dict[Topic, BoardStore] = {each.topic: each.store() for each in SOURCES}
        self._loading: dict[Topic, BoardStore] = {}
        self._trouble: dict[Topic, str] = dict.fromkeys((each.topic for each in SOURCES), "is not read yet")
        self._told: dict[Key, float] = {}
        self._due: set[Key] = set()
        self._threads: list[_Reader] = []
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._threads = [_Reader(each, self, loop, self._settings, self._clients) for each in SOURCES]
        for thread in self._threads:
            thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.hub.stop()
        for thread in self._threads:
            thread.stopping.set()
        await asyncio.gather(*(asyncio.to_thread(thread.join, _ENDS_WITHIN_S) for thread in self._threads))

    @property
    def batches(self) -> BatchStore:
        """All batches."""
        return self._stores[Topic.BATCH_SLICES]  # type: ignore[return-value]

    @property
    def flows(self) -> FlowStore:
        """All named flows."""
        return self._stores[Topic.FLOWS]  # type: ignore[return-value]

    @property
    def workers(self) -> Mapping[int, WorkerAddress]:
        """The worker of each partition that has one."""
        found: WorkerStore = self._stores[Topic.WORKERS]  # type: ignore[assignment]
        return found.workers

    @property
    def conflicts(self) -> ConflictStore:
        """Batches refused since their id is taken."""
        return self._stores[Topic.DEAD_LETTERS]  # type: ignore[return-value]

    @property
    def hindered_by(self) -> str | None:
        """Why the board is not complete, or may be out of date; None if it is as it should be."""
        return "; ".join(f"{self._settings.topic(topic)} {why}" for topic, why in self._trouble.items()) or None

    async def changed(self, timeout_s: float) -> None:
        """Wait for the next change of anything, at most so long."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            pass

    # --- called in the loop, for the threads ---

    def begin(self, topic: Topic) -> None:
        """A topic is about to be read from its beginning."""
        self._loading[topic] = next(each.store() for each in SOURCES if each.topic is topic)

    def take(self, topic: Topic, reads: list[TopicRead], *, caught_up: bool) -> None:
        """Take what was read; `caught_up`: the topic is read up to the end that it had at the beginning."""
        store = self._loading.get(topic, self._stores[topic])
        keys = dict.fromkeys(key for each in reads if (key := store.put(each)) is not None)
        if topic not in self._loading:
            self._tell(keys)
        elif caught_up:
            before, self._stores[topic] = self._stores[topic], self._loading.pop(topic)
            self._trouble.pop(topic, None)
            self._tell(dict.fromkeys(before.keys() | store.keys()))
            if not self._trouble:
                self.ready.set()

    def lost(self, topic: Topic, why: str) -> None:
        """A topic cannot be read at present."""
        self._loading.pop(topic, None)
        self._trouble[topic] = f"cannot be read: {why}"

    # --- telling ---

    def _tell(self, keys: dict[Key, None]) -> None:
        if not keys:
            return
        self._changed.set()
        self._changed = asyncio.Event()
        loop = asyncio.get_running_loop()
        now = loop.time()
        for key in keys:
            if key.kind == "batch" and key.name in self.accepted and self.batches.header(key.name) is not None:
                self.accepted.seen(key.name)
            due = self._told.get(key, 0.0) + GATHER_S
            if key in self._due:
                continue
            if now >= due:
                self._now(key)
            else:
                self._due.add(key)
                loop.call_at(due, self._now, key)

    def _now(self, key: Key) -> None:
        self._due.discard(key)
        now = asyncio.get_running_loop().time()
        if len(self._told) > _MOST_TOLD:
            self._told = {each: at for each, at in self._told.items() if now - at < GATHER_S}
        self._told[key] = now
        self.hub.tell(key)


class _Reader(threading.Thread):
    """Reads one topic for the board, opening it again whenever that fails."""

    def __init__(
        self, source: BoardSource, board: Board, loop: asyncio.AbstractEventLoop, settings: Settings, clients: Clients
    ) -> None:
        super().__init__(name=f"board-{source.topic}", daemon=True)
        self.stopping = threading.Event()
        self._source, self._board, self._loop = source, board, loop
        self._settings, self._clients = settings, clients
        self._room = threading.Semaphore(_AHEAD)

    def run(self) -> None:
        """Read until asked to stop."""
        while not self.stopping.is_set():
            try:
                self._read()
            except Exception as error:
                # Without its thread, the topic would stay as it is and look sound.
                if self._loop.is_closed():
                    return
                topic, why = self._source.topic, str(error) or repr(error)
                trace = not isinstance(error, StreamsError | KafkaException)
                log.warning("a topic cannot be read; it is tried again", topic=topic, why=why, exc_info=trace)
                self._in_loop(self._board.lost, topic, why)
                self.stopping.wait(AGAIN_S)

    def _read(self) -> None:
        topic = self._source.topic
        with tail(self._settings, self._clients, topic) as records:
            self._in_loop(self._board.begin, topic)
            known = False
            while not self.stopping.is_set():
                reads = [self._source.read(message) for message in records.poll()]
                if reads or records.caught_up is not known:
                    known = records.caught_up
                    self._hand_over(reads, caught_up=known)
                elif not reads:
                    self.stopping.wait(_IDLE_S)

    def _hand_over(self, reads: list[TopicRead], *, caught_up: bool) -> None:
        """Give it to the loop, which may be busy: at most a few lists wait there."""
        while not self._room.acquire(timeout=0.1):
            if self.stopping.is_set():
                return

        def take() -> None:
            self._room.release()
            self._board.take(self._source.topic, reads, caught_up=caught_up)

        self._in_loop(take)

    def _in_loop(self, call: Callable[..., None], *arguments: Any) -> None:
        self._loop.call_soon_threadsafe(call, *arguments)
