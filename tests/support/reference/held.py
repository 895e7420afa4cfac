"""No doomed work: what was held because a batch was about to end it, and is let go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.model import ReleaseHeld, Status
from support.reference import rows, slices

if TYPE_CHECKING:
    from support.reference.partition import Partition
    from support.reference.state import Row


def release_held(p: Partition, command: ReleaseHeld) -> None:
    """The next held rows behind a seq are started, where no slice guards them; a page done already is a no-op."""
    if p.release_no != command.release_no or not p.releasing:
        return
    p.releasing = False
    held = [row for row in p.in_order() if row.held and row.seq > command.after]
    for row in held[: command.max_rows]:
        if row.held and not slices.guarded(p, row):
            _let_go(p, row)


def _let_go(p: Partition, row: Row) -> None:
    row.held = False
    match row.status:
        case Status.SCHEDULED:
            rows.arrive(p, row)
        case Status.PENDING:
            p.touch(row)
        case _:
            rows.start(p, row)


def take_release(p: Partition) -> None:
    """When pages of `ReleaseHeld` follow, and of which size, is the engine's choice; one is outstanding at a time."""
    for partition, command in p.seen.appended:
        if not isinstance(command, ReleaseHeld):
            continue
        if p.releasing or command.release_no != p.release_no + 1 or partition != p.number:
            p.wrong(f"{command} follows {p.release_no}, outstanding: {p.releasing}")
        p.releasing, p.release_no = True, command.release_no
        p.append(partition, command)


def at_rest(p: Partition) -> bool:
    """Whether nothing is held for nothing."""
    return p.releasing or all(slices.guarded(p, row) for row in p.rows.values() if row.held and not row.shut)
