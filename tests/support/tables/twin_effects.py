"""Pages and records of the two tables of `state_twin`, in plain Python."""

from __future__ import annotations

from collections import Counter
from operator import sub
from typing import TYPE_CHECKING

from streams.codec import encode
from streams.engine.effects import PutBatch, PutSlice, RemoveBatch, RemoveSlice
from streams.engine.lead import header_of
from streams.engine.slices import progress_of
from streams.model import Action, Cause, Change, Ending, OnTimeout, PageDelta, Status

if TYPE_CHECKING:
    from streams.engine.answers import Page
    from streams.engine.effects import Effect


ACTIONS = (Action.KILL, Action.CANCEL, Action.PAUSE, Action.RESUME, Action.PURGE, Action.RESTART)
ENDINGS = (
    None,
    Ending(Cause(batch_id="b-0"), OnTimeout.LEAVE, 50, 2, "b-1"),
    Ending(Cause(actor="ann", reason="why"), error="broken"),
)


def delta_of(action: Action, page: Page, now: int) -> tuple[PageDelta, dict[Status, int]]:
    """The delta of a page of the action, and how many rows it takes from each status."""
    left: Counter[Status] = Counter(row.status for row in page.started)
    places: dict[tuple[Status, Status | None, int | None], list[int]] = {}
    for row in page.started:
        place: tuple[Status, Status | None, int | None] = Status.KILLED, None, None
        if action is Action.CANCEL:
            place = Status.CANCELLING, None, now + 3
        elif action is Action.PAUSE:
            place = Status.PAUSED, Status.RUNNING, 4
        places.setdefault(place, []).append(row.seq)
    for status, seqs in page.unstarted.items():
        left[status] += len(seqs)
        ended = Status.KILLED if action is Action.KILL else Status.CANCELLED
        place = (Status.PAUSED, Status.SCHEDULED, None) if action is Action.PAUSE else (ended, None, None)
        places.setdefault(place, []).extend(seqs)
    changes = tuple(
        Change(*place, seqs=(min(seqs), *map(sub, sorted(seqs)[1:], sorted(seqs)))) for place, seqs in places.items()
    )
    return PageDelta(now, ENDINGS[ACTIONS.index(action)], changes), dict(left)


def progress_after(effect: Effect) -> dict[str, bytes | None]:
    """Records published for the effect, by key."""
    match effect:
        case PutSlice(slice_):
            return {f"{slice_.batch_id}/0": encode(progress_of(slice_, 0))}
        case RemoveSlice(batch_id):
            return {f"{batch_id}/0": None}
        case PutBatch(batch):
            return {f"{batch.start.batch_id}/lead": encode(header_of(batch))}
        case RemoveBatch(batch_id):
            return {f"{batch_id}/lead": None}
        case _:
            return {}
