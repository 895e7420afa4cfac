"""The slices that guard rows, with their compiled filters."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from streams.engine.filters import Facts, matching
from streams.model import ENDING_ACTIONS, SliceState

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.model import Slice


def guarding(slice_: Slice) -> bool:
    """True if the slice will still end every matching row that its pages have not reached."""
    return (
        slice_.state is SliceState.RUNNING
        and slice_.action in ENDING_ACTIONS
        and slice_.budget is None
        and not slice_.dry_run
        and not slice_.pages_done
    )


class Guard(NamedTuple):
    """A slice that guards starts, with its compiled filter. Ids in the filter are looked up separately."""

    slice: Slice
    matches: Callable[[Facts], bool]


def guard_of(slice_: Slice, known: Guard | None = None) -> Guard:
    """The guard of a slice; `known`: its previous guard, whose compiled filter is reused if it is the same."""
    filter_ = slice_.filter
    if known is not None and known.slice.filter is filter_ and known.slice.cutoff == slice_.cutoff:
        return Guard(slice_, known.matches)
    if filter_.invocation_ids is not None:
        filter_ = replace(filter_, invocation_ids=None)
    return Guard(slice_, matching(filter_, slice_.action, slice_.cutoff))
