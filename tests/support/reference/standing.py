"""Standing batches: what they match is ended at the door, before any signal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.model import Action, SliceState
from support.reference import rows, slices
from support.reference.filters import asks_for_what_moves, names, seen

if TYPE_CHECKING:
    from streams.model import StartBatch
    from support.reference.partition import Partition
    from support.reference.state import Part, Row


def refused(p: Partition, command: StartBatch) -> bool:
    """Only CANCEL and KILL stand, in time to come, and by what can be said of an invocation that arrives."""
    if command.standing_until is None:
        return False
    wanted = command.filter
    unsaid = (
        asks_for_what_moves(wanted) or None,
        wanted.invocation_ids,
        wanted.batch_ids,
        None if wanted.exclude is None else wanted.exclude.batch_ids,
    )
    return (
        command.standing_until <= p.clock
        or command.action not in {Action.CANCEL, Action.KILL}
        or any(each is not None for each in (*unsaid, command.limit, command.max_rate))
    )


def ended_at_the_door(p: Partition, row: Row) -> bool:
    """Whether a rule that stands has ended the arriving row; of several the one that began first."""
    standing = [part for part in p.parts.values() if _closes(p, part) and names(part.start.filter, seen(row))]
    if not standing:
        return False
    slices.count(p, min(standing, key=lambda part: part.cutoff), row, rows.carry_out)
    return True


def _closes(p: Partition, part: Part) -> bool:
    """PAUSE opens the door."""
    until = part.start.standing_until
    return part.standing and part.state is SliceState.RUNNING and until is not None and p.clock < until
