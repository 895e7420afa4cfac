"""A lead's control of one slice: pause, resume, abort, a new rate, a grant of rows, or the end of its rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from msgspec.structs import replace

from streams.engine.counters import SKIPPED_CONTROL, UNKNOWN_SLICE
from streams.engine.effects import PutSlice, RemoveSlice
from streams.engine.pace import at_rate, first_tokens, paced, refilled, used_up
from streams.engine.release import let_go
from streams.engine.rotation import next_page
from streams.engine.slices import report_of_end, takes_turns, without_pages
from streams.engine.validate import check_internal
from streams.model import PAGING_SLICES, SliceOperation, SliceState
from streams.protocol.validation import MAX_LONG

if TYPE_CHECKING:
    from streams.engine.answers import At
    from streams.engine.effects import Effect
    from streams.engine.view import View
    from streams.model import ControlSlice, Slice


def control_slice(command: ControlSlice, at: At, view: View) -> list[Effect]:
    """Change the slice as its lead says. A slice whose pages are done can only be forgotten."""
    check_internal(command, at)
    slice_ = view.slice(command.batch_id)
    if slice_ is None:
        return [UNKNOWN_SLICE]
    if command.operation is SliceOperation.FORGET:
        return [RemoveSlice(command.batch_id), *let_go(slice_, None, at, view)]
    if slice_.state not in PAGING_SLICES:
        return [SKIPPED_CONTROL]
    changed = _changed(refilled(slice_, at.now), command, at, view)
    changed = replace(paced(changed, at.now), revision=at.offset, updated_at=at.now)
    effects: list[Effect] = [PutSlice(changed), *let_go(slice_, changed, at, view)]
    if changed.state not in PAGING_SLICES:
        effects.append(report_of_end(changed, at))
    elif takes_turns(changed) and not view.meta.page_outstanding:
        effects += next_page(command.batch_id, at, view)
    return effects


def _changed(slice_: Slice, command: ControlSlice, at: At, view: View) -> Slice:
    match command.operation:
        case SliceOperation.PAUSE:
            return replace(slice_, state=SliceState.PAUSED)
        case SliceOperation.RESUME:
            return _resumed(slice_)
        case SliceOperation.ABORT:
            return without_pages(replace(slice_, aborted=True))
        case SliceOperation.SET_RATE:
            first = first_tokens(at.partition, view.partitions)
            return slice_ if command.max_rate is None else at_rate(slice_, command.max_rate, first, at.now)
        case SliceOperation.GRANT:
            return _granted(slice_, command.budget or 0)
        case SliceOperation.LIFT:
            lifted = replace(slice_, standing_until=None, pages_done=False)
            return without_pages(lifted) if slice_.pages_done else lifted
        case SliceOperation.FORGET:
            raise AssertionError("a slice that is forgotten is not changed")
        case _:
            assert_never(command.operation)


def _resumed(slice_: Slice) -> Slice:
    return replace(slice_, state=SliceState.WAITING if used_up(slice_) else SliceState.RUNNING)


def _granted(slice_: Slice, budget: int) -> Slice:
    if not budget:
        return without_pages(slice_)
    # A sum that overflows its field in the record would end the worker.
    granted = replace(slice_, budget=min(slice_.acted + budget, MAX_LONG))
    return granted if slice_.state is SliceState.PAUSED else replace(granted, state=SliceState.RUNNING)
