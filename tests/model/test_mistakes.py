"""The machine finds mistakes: each of these, made in the engine, is noticed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from msgspec.structs import replace

from streams.engine import acts, control, dispatch, invocations, ledger, lifecycle, pages, slice_control, slices, starts, ticks
from streams.engine.effects import Append, UpdateRow
from streams.model import ContinueSlice, Status
from support.model_check import Difference
from support.model_machine import Machine

if TYPE_CHECKING:
    from collections.abc import Callable

Mistake = Callable = Any
PATIENCE = 60


def cutoff_of_the_page(patch: pytest.MonkeyPatch) -> None:
    """What is invoked while a batch runs is matched too."""
    select = pages._select
    patch.setattr(pages, "continue_slice", pages.continue_slice)

    def wrong(slice_: Any, command: Any, view: Any) -> Any:
        return select(replace(slice_, cutoff=view.meta.next_offset + 1_000), command, view)

    patch.setattr(pages, "_select", wrong)


def skipped_is_done(patch: pytest.MonkeyPatch) -> None:
    """What has ended by itself counts as ended by the batch."""
    settle = ledger.Ledger.settle

    def wrong(self: Any, batch_id: str, outcome: str, rows: int = 1, failure: str | None = None) -> None:
        settle(self, batch_id, "done" if outcome == "skipped" else outcome, rows, failure)  # type: ignore[arg-type]

    patch.setattr(ledger.Ledger, "settle", wrong)


def grace_ends_twice(patch: pytest.MonkeyPatch) -> None:
    """What was left alone when its grace was over is still counted by its batch."""
    unanswered = ticks._unanswered

    def wrong(row: Any, *rest: Any) -> Any:
        def kept(effect: Any) -> Any:
            if isinstance(effect, UpdateRow) and effect.row.status is Status.CANCELLING:
                return UpdateRow(replace(effect.row, ending=replace(effect.row.ending, counted_by=row.ending.counted_by)))
            return effect

        return [kept(effect) for effect in unanswered(row, *rest)]

    patch.setattr(ticks, "_unanswered", wrong)


def same_attempt_again(patch: pytest.MonkeyPatch) -> None:
    """RESUME starts what it finds by the attempt that was paused."""
    start = starts.start

    def wrong(row: Any, *rest: Any) -> Any:
        return start(replace(row, attempt=row.attempt - 1) if row.paused_from and row.attempt else row, *rest)

    patch.setattr(starts, "start", wrong)


def any_control_number(patch: pytest.MonkeyPatch) -> None:
    """A control that was overtaken by a later one is obeyed."""
    patch.setattr(control, "_outdated", lambda *_: False)


def page_done_twice(patch: pytest.MonkeyPatch) -> None:
    """A page that stands in the log twice is done twice."""
    once = dispatch.HANDLERS[ContinueSlice]

    def wrong(command: Any, at: Any, view: Any) -> Any:
        return once(replace(command, page=view.meta.page), at, view)

    patch.setitem(dispatch.HANDLERS, ContinueSlice, wrong)


def old_attempt(patch: pytest.MonkeyPatch) -> None:
    """The report of an attempt that is over is applied."""
    stale = invocations._stale
    patch.setattr(invocations, "_stale", lambda command, row: stale(replace(command, attempt=row.attempt), row))


def one_beyond_the_limit(patch: pytest.MonkeyPatch) -> None:
    """A slice with a share of a limit acts on one row more."""
    room = pages.room
    patch.setattr(pages, "room", lambda slice_, most: room(slice_, most) + (slice_.budget is not None))


def grant_forgets_what_was_acted_on(patch: pytest.MonkeyPatch) -> None:
    """A share of a limit is used up by what the slice did before."""
    granted = slice_control._granted

    def wrong(slice_: Any, budget: int) -> Any:
        return replace(granted(slice_, budget), budget=budget) if budget else granted(slice_, budget)

    patch.setattr(slice_control, "_granted", wrong)


def taken_from_nobody(patch: pytest.MonkeyPatch) -> None:
    """A single KILL takes a row from a batch, which goes on waiting for it."""
    stop = acts._stop
    patch.setattr(acts, "_stop", lambda row, *rest: [each for each in stop(row, *rest)][:2])


def starts_in_the_future(patch: pytest.MonkeyPatch) -> None:
    """RESUME starts what is scheduled for later."""
    patch.setattr(acts, "resume", starts.start)


def late_abort(patch: pytest.MonkeyPatch) -> None:
    """What was aborted before its last page says that it is complete."""
    patch.setattr(slice_control, "without_pages", lambda slice_: replace(ledger.without_pages(replace(slice_, aborted=False))))


def repeats_without_end(patch: pytest.MonkeyPatch) -> None:
    """A cancel is asked again when its grace is over."""
    patch.setattr(lifecycle, "next_repeat", lifecycle.next_repeat)
    patch.setattr(ticks, "next_repeat", lambda now, repeat, _: now + (lifecycle.FIRST_REPEAT_MS << repeat))


MISTAKES = [
    cutoff_of_the_page,
    skipped_is_done,
    grace_ends_twice,
    same_attempt_again,
    any_control_number,
    page_done_twice,
    old_attempt,
    one_beyond_the_limit,
    taken_from_nobody,
    starts_in_the_future,
    late_abort,
    repeats_without_end,
]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(mistake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within so many lives the engine and the model differ."""
    mistake(monkeypatch)
    quick = settings(
        max_examples=PATIENCE,
        stateful_step_count=12,
        phases=[Phase.generate],
        database=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    with pytest.raises(Difference):
        run_state_machine_as_test(seed(1)(Machine), settings=quick)
