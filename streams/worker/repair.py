"""Replacement of a table's file that turns out to be damaged in use; the table is rebuilt from the changelog."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.state.store import is_damage
from streams.worker.state_folder import replaced_store
from streams.worker.task import PartitionTask

if TYPE_CHECKING:
    import sqlite3


class Repair:
    """Replaces damaged files, once per partition: a second damage means that the disk cannot be trusted."""

    def __init__(self) -> None:
        self._repaired: set[int] = set()

    def replace(self, tasks: dict[int, PartitionTask], error: sqlite3.DatabaseError) -> list[int]:
        """Rename damaged files; returns their partitions, which are to be restored into empty tables.

        Raises:
            sqlite3.DatabaseError: `error`, if it is not about damage, or no file is found that can be replaced.
            StreamsError: the file cannot be replaced.
        """
        if not is_damage(error):
            raise error
        damaged = [task for task in tasks.values() if task.store.damaged()]
        if not damaged or any(task.partition in self._repaired for task in damaged):
            raise error
        for task in damaged:
            self._repaired.add(task.partition)
            task.close_store()
            fresh = replaced_store(task.file, task.partition, error)
            tasks[task.partition] = PartitionTask(task.partition, fresh, task.file, task.leave)
        return [task.partition for task in damaged]
