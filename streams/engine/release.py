"""The release of held rows: page by page they are started, once no slice guards them any longer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from streams.engine.counters import STALE_RELEASE
from streams.engine.effects import Append, SetRelease, UpdateRow
from streams.engine.guarding import guarding
from streams.engine.guards import Guards
from streams.engine.objects import promotions_within
from streams.engine.starts import arrive, resume, start
from streams.engine.validate import check_internal
from streams.engine.weights import limit_of
from streams.model import ENGINE_VERSION, ReleaseHeld, Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.engine.answers import At, Weighed
    from streams.engine.effects import Effect
    from streams.engine.view import View
    from streams.model import Row, Slice

_ROWS_A_PAGE: Final = 200
"""Each row may be a start of its own: this many take about as long as a page of a batch."""
_BEGINNING: Final = -1


def let_go(before: Slice, after: Slice | None, at: At, view: View) -> list[Effect]:
    """The first page of a release, if this change ends a slice's guarding; `after` is None for a forgotten slice."""
    if not guarding(before) or (after is not None and guarding(after)):
        return []
    return begin_release(at, view)


def begin_release(at: At, view: View) -> list[Effect]:
    """The first page of a release, if rows are held; one that is in progress starts over after its last page."""
    meta = view.meta
    if meta.release_outstanding:
        # The release in progress may have passed the rows that are let go.
        return [SetRelease(meta.release_no, outstanding=True, again=True)]
    if not view.held(_BEGINNING, 1):
        return []
    sizes = ReleaseHeld(ENGINE_VERSION, at.partition, 0, _BEGINNING, _ROWS_A_PAGE, view.page_sizes.max_bytes)
    return _next(sizes, meta.release_no + 1, _BEGINNING, at, again=False)


def release_held(command: ReleaseHeld, at: At, view: View) -> list[Effect]:
    """Start one page of held rows that no slice guards any longer. A page already done is a no-op."""
    check_internal(command, at)
    meta = view.meta
    if not meta.release_outstanding or command.release_no != meta.release_no:
        return [STALE_RELEASE]
    most = limit_of(command.max_bytes)
    rows = view.held(command.after, command.max_rows, most)
    filled = len(rows) == command.max_rows or sum(weight for _, weight in rows) >= most
    while (effects := _page(rows, most, at, view)) is None:
        rows, filled = rows[: len(rows) // 2], True
    number = meta.release_no + 1
    if filled:
        return effects + _next(command, number, rows[-1].row.seq, at, again=meta.release_again)
    if meta.release_again:
        return effects + _next(command, number, _BEGINNING, at, again=False)
    return [*effects, SetRelease(meta.release_no, outstanding=False, again=False)]


def _page(rows: Sequence[Weighed], most: int, at: At, view: View) -> list[Effect] | None:
    """The effects on these rows and their objects; None if there are several rows and they weigh too much."""
    guards = Guards(view)
    effects = [effect for row, _ in rows for effect in _released(row, at, view, guards)]
    left = max(0, most - sum(weight for _, weight in rows)) if len(rows) > 1 else None
    promoted = promotions_within(left, effects, at, view, guards)
    return None if promoted is None else effects + promoted


def _released(row: Row, at: At, view: View, guards: Guards) -> list[Effect]:
    """The step that the row was held back from."""
    if guards.against(row):
        return []
    match row.status:
        case Status.PENDING:
            return [UpdateRow(replace(row, held=False))]
        case Status.PAUSED:
            return resume(row, at, view, guards)
        case Status.SCHEDULED:
            return arrive(row, at, view, guards)
        case Status.READY | Status.RUNNING | Status.BACKING_OFF:
            return start(row, at, view, guards)
        case _:
            raise AssertionError(f"invocation {row.invocation_id} is {row.status} and can never be held")


def _next(before: ReleaseHeld, number: int, after: int, at: At, *, again: bool) -> list[Effect]:
    """The next page, with the sizes of the one before."""
    command = ReleaseHeld(ENGINE_VERSION, at.partition, number, after, before.max_rows, before.max_bytes)
    return [SetRelease(number, outstanding=True, again=again), Append(at.partition, f"release/{at.partition}", command)]
