"""The facts about its topics that a worker needs."""

from __future__ import annotations

from typing import NamedTuple


class Topics(NamedTuple):
    """Names, ids and partition counts of the topics, and how long the changelog keeps tombstones, ms.

    An id is empty if the broker gives none.
    """

    commands: str
    changelog: str
    partitions: int
    commands_id: str
    changelog_id: str
    delete_retention_ms: int
    slice_partitions: int
    flow_partitions: int
    dead_letter_partitions: int
