"""The agreement of log, changelog, committed offset and local table, checked before a partition runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from streams.errors import PartitionError, StreamsError

if TYPE_CHECKING:
    from streams.worker.task import PartitionTask
    from streams.worker.topics import Topics

_CLOCKS_DIFFER_MS: Final = 300_000

log = structlog.get_logger("streams.restore")


def check_store(task: PartitionTask, topics: Topics, now: int) -> None:
    """Check that the store is not ahead of the changelog. One that may have missed tombstones is emptied.

    `now`: wall clock, ms.

    Raises:
        PartitionError: the changelog ends before what the store has read, or begins after it.
    """
    store, partition, target, begin = task.store, task.partition, task.replay.target, task.replay.changelog_begin
    if store.changelog_position > target:
        raise PartitionError(
            f"partition {partition}: the local table has read the changelog up to {store.changelog_position}, but "
            f"{topics.changelog} ends at {target}: the topic is not the one this table was made from. Restore "
            "the topic, or delete the partition's file in the state folder to rebuild the table from it",
            partition,
        )
    # After a worker's own commit, only the marker of its transaction is left, which is not a record.
    behind = store.changelog_position + 1 < target
    if store.changelog_position < begin:
        if behind or store.changelog_position == 0:
            raise beginning_gone(topics.changelog, partition)
        store.begin()
        store.commit(begin, store.saved_at)
    if store.changelog_position == 0:
        return
    age = now - store.saved_at
    # A time that is still to come says nothing of the age: one of the two was read from a wrong clock.
    if behind and not -_CLOCKS_DIFFER_MS <= age <= topics.delete_retention_ms // 2:
        _rebuild(task, topics, age)


def missed_tombstones(task: PartitionTask, topics: Topics) -> bool:
    """True if what was replayed, and is not committed yet, reaches so far beyond the store that tombstones were gone.

    By the log's own time: this worker's clock may be late, and the store have seemed fresh. Then it is emptied.

    Raises:
        PartitionError: the changelog begins after the store's beginning: it stays as it was.
    """
    replay, meta = task.replay, task.store.meta
    if not (replay.begin and replay.records and meta is not None):
        return False
    age = meta.clock - replay.saved_at
    if age <= topics.delete_retention_ms // 2:
        return False
    _rebuild(task, topics, age)
    return True


def _rebuild(task: PartitionTask, topics: Topics, age_ms: int) -> None:
    if task.replay.changelog_begin > 0:  # an emptied store could not be rebuilt
        raise beginning_gone(topics.changelog, task.partition)
    log.warning("rebuilding table", partition=task.partition, why="tombstones may be gone", age_ms=age_ms)
    task.store.clear()


def beginning_gone(changelog: str, partition: int) -> PartitionError:
    """The error for a changelog whose needed beginning is deleted: a table made from the rest would lack rows."""
    return PartitionError(
        f"partition {partition}: the beginning of {changelog} has been deleted, and a table cannot be made from the "
        "rest. Restore it, or replay the log under a new STREAMS_GROUP_ID and topic prefix",
        partition,
    )


def check_table(task: PartitionTask, topics: Topics) -> None:
    """Check that committed offset, `m/` and topics agree. Without a table, the log must be whole.

    Raises:
        PartitionError: they contradict each other; the message says which, and what to do.
        StreamsError: the topics are not those of the table, or have another number of partitions.
    """
    meta, partition, committed = task.store.meta, task.partition, task.replay.committed
    if meta is None:
        if committed is not None:
            raise PartitionError(
                f"partition {partition}: offset {committed} of {topics.commands} is committed, but "
                f"{topics.changelog} has no record of the table: the changelog was deleted. Restore it, or replay "
                "the log under a new STREAMS_GROUP_ID and topic prefix",
                partition,
            )
        _check_log_start(partition, topics, task.replay.log_start)
        return
    if committed is not None and committed != meta.next_offset:
        raise PartitionError(
            f"partition {partition}: the group's committed offset is {committed}, the changelog says "
            f"{meta.next_offset}: somebody reset one of them. Set the group's offset of {topics.commands} to "
            f"{meta.next_offset}",
            partition,
        )
    if meta.partitions != topics.partitions:
        raise StreamsError(
            f"partition {partition}: the table was made with {meta.partitions} partitions, {topics.commands} has "
            f"{topics.partitions}: the count is fixed for the life of the topics",
        )
    for name, kept, actual in (
        (topics.commands, meta.commands_topic_id, topics.commands_id),
        (topics.changelog, meta.changelog_topic_id, topics.changelog_id),
    ):
        if kept and actual and kept != actual:
            raise StreamsError(
                f"partition {partition}: the table was made from {name} with topic id {kept}, "
                f"the broker has {actual}: the topic was created again. Use another "
                "STREAMS_STATE_DIR and topic prefix",
            )


def _check_log_start(partition: int, topics: Topics, start: int) -> None:
    if start > 0:
        raise PartitionError(
            f"partition {partition}: neither a committed offset nor a table, and {topics.commands} starts at "
            f"{start}: its beginning was deleted, so the table cannot be made from it. Restore the changelog",
            partition,
        )
