"""A replay of the command log through a fresh engine, whose table is compared with the changelog's.

The log alone decides: every number that alters the table is in a record. Records in `dead-letters` are skipped, as the
worker skipped them (an unknown schema may be known today); but those that the broker stamped too far ahead are applied,
at the clock that their dead letter names. It may run beside a live worker: each partition is compared at the offset
that its changelog has reached.
"""

from __future__ import annotations

import sqlite3
import tempfile
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streams.config import Topic
from streams.errors import StreamsError
from streams.kafka.clients import KafkaClients
from streams.kafka.headers import headers_of
from streams.kafka.reading import TopicReader, chunks
from streams.model import ENGINE_VERSION
from streams.offline.tables import no_room, restore
from streams.state.store import Store
from streams.worker.dead_letter_places import DeadLetterPlaces
from streams.worker.intake import take_input
from streams.worker.items import items_of
from streams.worker.page_sizes import FIRST, TunedSizes
from streams.worker.startup import learn_topics
from streams.worker.task import PartitionTask
from streams.worker.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streams.config import Settings
    from streams.kafka.clients import Clients
    from streams.model import Meta
    from streams.worker.topics import Topics

_SHOWN = 20


@dataclass
class Comparison:
    """The result of a comparison; `differences` has at most 20 lines per partition.

    `trimmed_to`: the log's first offset, if its beginning was deleted. `earlier_to`: the offset up to which an earlier
    engine, with other rules, applied the log. If either is set, nothing was compared.
    """

    partition: int
    commands: int = 0
    entries: int = 0
    trimmed_to: int | None = None
    earlier_to: int | None = None
    differences: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """True if log and changelog agree."""
        return self.trimmed_to is None and self.earlier_to is None and not self.differences


def verify(
    settings: Settings,
    clients: Clients | None = None,
    progress: Callable[[int, str, int, int], None] | None = None,
) -> Iterator[Comparison]:
    """One comparison per partition, in order.

    Raises:
        StreamsError: a topic is missing, the broker does not answer, or there is no room for the tables.
    """
    made = clients or KafkaClients()
    topics = learn_topics(made, settings)
    comparer = _Comparer(settings, made, topics, progress or (lambda *_: None))
    try:
        for partition in range(topics.partitions):
            yield comparer.compare(partition)
    except (sqlite3.OperationalError, OSError) as error:
        raise StreamsError(no_room(error)) from error
    finally:
        comparer.close()


class _Comparer:
    def __init__(
        self, settings: Settings, clients: Clients, topics: Topics, progress: Callable[[int, str, int, int], None]
    ) -> None:
        self._settings = settings
        self._topics = topics
        self._reading = TopicReader(settings, clients, progress)
        self._places = DeadLetterPlaces(settings, topics, self._reading)

    def close(self) -> None:
        self._reading.close()

    def compare(self, partition: int) -> Comparison:
        found = Comparison(partition)
        begin, _ = self._reading.bounds(self._topics.commands, partition)
        if begin > 0:
            found.trimmed_to = begin
            return found
        with tempfile.TemporaryDirectory(prefix="streams-verify-") as folder:
            kept = Store.open(Path(folder) / "kept.sqlite3", partition)
            file = Path(folder) / "replayed.sqlite3"
            replayed = Store.open(file, partition)
            try:
                changelog = self._settings.topic(Topic.CHANGELOG)
                restore(self._reading, kept, changelog)
                found.earlier_to = _earlier(kept.meta)
                if found.earlier_to is not None:
                    return found
                # After the changelog: a transaction that was just restored may have written dead letters as well.
                self._places.read()
                if kept.meta is not None:
                    found.commands = self._replay(replayed, file, partition, kept.meta.next_offset)
                self._diff(found, kept, replayed)
            finally:
                kept.close()
                replayed.close()
        return found

    def _replay(self, store: Store, file: Path, partition: int, end: int) -> int:
        task = PartitionTask(partition, store, file)
        task.open_table(self._topics, FIRST)
        task.known_ahead, dead = self._places.ahead[partition], self._places.skipped[partition]
        count = 0
        bounds = (0, end)
        for chunk in chunks(self._reading.read(self._topics.commands, partition, bounds, "commands"), 5_000):
            messages = (_Skipped(message) if message.offset() in dead else message for message in chunk)
            task.backlog += items_of(messages, self._topics.partitions)
            count += len(chunk)
            while task.backlog:
                Turn(self._settings, self._topics, TunedSizes(self._settings.tick_max_rows)).apply([take_input(task)])
                task.running_table.commit(0, 0)
            # Nobody else does: the write-ahead file would hold all that the whole log has ever written.
            store.wal_checkpoint(truncate=True)
        if not end:
            # A worker that takes over an empty partition writes its address, and so `m/`.
            task.running_table.begin()
            task.running_table.flush()
            task.running_table.commit(0, 0)
        return count

    @staticmethod
    def _diff(found: Comparison, kept: Store, replayed: Store) -> None:
        for mine, theirs in zip_longest(kept.dump(), replayed.dump()):
            found.entries += 1
            if mine != theirs and len(found.differences) < _SHOWN:
                found.differences.append(f"changelog: {mine} | replay of the log: {theirs}")


def _earlier(meta: Meta | None) -> int | None:
    """The offset up to which an earlier engine applied the log; None if none did."""
    if meta is None:
        return None
    return (meta.engine_since if meta.engine_version == ENGINE_VERSION else meta.next_offset) or None


class _Skipped:
    """A record that became a dead letter: it moves offset and clock, but nothing else, whatever it means today."""

    def __init__(self, message: Any) -> None:
        self.offset = message.offset
        self.partition = message.partition
        self.timestamp = message.timestamp
        self.topic = message.topic
        self.key = message.key
        self.headers = partial(headers_of, message)

    @staticmethod
    def value() -> None:
        return None
