"""Standing batches: what they match is ended at the door, before any signal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from support.model.partition import Partition
    from support.model.state import Row


def ended_at_the_door(p: Partition, row: Row) -> bool:
    """Whether a rule that stands has ended the arriving row."""
    del p, row
    return False
