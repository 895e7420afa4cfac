"""Tables made from their changelogs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streams.kafka.reading import chunks
from streams.worker.agreement import beginning_gone

if TYPE_CHECKING:
    from streams.kafka.reading import TopicReader
    from streams.state.store import Store

_IN_A_TRANSACTION: Final = 10_000


def restore(reading: TopicReader, store: Store, topic: str, bounds: tuple[int, int]) -> None:
    """Make a table from the records of the changelog `topic` within `bounds`.

    Raises:
        StalledError: nothing more came for a minute.
        StreamsError: the changelog's beginning has been deleted, so the rest is not the whole table.
    """
    if bounds[0] > 0:
        raise beginning_gone(topic, store.partition)
    messages = reading.read(topic, store.partition, bounds, "changelog")
    records = ((message.key().decode(), message.value(), message.offset()) for message in messages)
    for chunk in chunks(records, _IN_A_TRANSACTION):
        store.begin()
        store.apply_changelog(chunk)
        store.commit(chunk[-1][2] + 1, 0)
        # Nobody else does a temporary table's WAL checkpoints: its write-ahead file would grow as large as it.
        store.wal_checkpoint(truncate=True)
