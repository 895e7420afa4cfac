"""Tables made from their changelogs."""

from __future__ import annotations

import tempfile
import time
from typing import TYPE_CHECKING, Final

from confluent_kafka import IsolationLevel

from streams.kafka.reading import chunks
from streams.worker.agreement import beginning_gone

if TYPE_CHECKING:
    from streams.kafka.reading import TopicReader
    from streams.state.store import Store

_IN_A_TRANSACTION: Final = 10_000
_SOON_S: Final = 1.0
"""Kafka compacts no record that was written so short a time ago, seconds: its segment is still being written."""
_MOST_PASSES: Final = 100


def restore(
    reading: TopicReader, store: Store, topic: str, level: IsolationLevel = IsolationLevel.READ_COMMITTED
) -> None:
    """Make a table from the records of the changelog `topic`, up to its end by this level of isolation.

    While workers write, the end moves, and records before it are compacted away when there are newer ones behind it. So
    what has come meanwhile is read, too, until that takes no time in which anything could be compacted.

    Raises:
        StalledError: nothing more came for a minute.
        StreamsError: the changelog's beginning has been deleted, so the rest is not the whole table.
    """
    position = 0
    for _ in range(_MOST_PASSES):
        began = time.monotonic()
        begin, end = reading.bounds(topic, store.partition, level)
        if begin > 0 and position == 0:
            raise beginning_gone(topic, store.partition)
        if end <= position:
            return
        _apply(reading, store, topic, (position, end))
        position = end
        if time.monotonic() - began < _SOON_S:
            return


def no_room(error: Exception) -> str:
    """What is said of tables that find no room in the folder for temporary files."""
    return f"the tables cannot be kept in {tempfile.gettempdir()} meanwhile: {error}; set TMPDIR to a folder with room"


def _apply(reading: TopicReader, store: Store, topic: str, bounds: tuple[int, int]) -> None:
    messages = reading.read(topic, store.partition, bounds, "changelog")
    records = ((message.key().decode(), message.value(), message.offset()) for message in messages)
    for chunk in chunks(records, _IN_A_TRANSACTION):
        store.begin()
        store.apply_changelog(chunk)
        store.commit(chunk[-1][2] + 1, 0)
        # Nobody else does a temporary table's WAL checkpoints: its write-ahead file would grow as large as it.
        store.wal_checkpoint(truncate=True)
