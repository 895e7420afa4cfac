"""The model finds mistakes: each of these, made in the engine or its table, is noticed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from streams.engine import (
    acts,
    dispatch,
    filters,
    guarding,
    guards,
    invocations,
    lead_control,
    ledger,
    lifecycle,
    pace,
    pages,
    restarts,
    slice_control,
    slices,
    standing,
    starts,
    ticks,
)
from streams.engine import rows as engine_rows
from streams.engine.effects import UpdateRow
from streams.model import ContinueSlice, Status
from streams.state import batches, conditions, door, restore, select, zones
from support.reference.beside.check import Difference
from support.reference.beside.machine import PlainMachine, live_in_rounds

if TYPE_CHECKING:
    from collections.abc import Callable

    Mistake = Callable[[pytest.MonkeyPatch], None]


def a_late_cutoff(patch: pytest.MonkeyPatch) -> None:
    """A page matches what was invoked after the batch had started."""
    select = pages._select
    patch.setattr(pages, "_select", lambda slice_, command, view: select(replace(slice_, cutoff=10**9), command, view))


def skipped_is_done(patch: pytest.MonkeyPatch) -> None:
    """What has ended by itself counts as ended by the batch."""
    settle = ledger.Ledger.settle

    def wrong(self: Any, batch_id: str, outcome: Any, rows: int = 1, failure: str | None = None) -> None:
        settle(self, batch_id, "done" if outcome == "skipped" else outcome, rows, failure)

    patch.setattr(ledger.Ledger, "settle", wrong)


def grace_ends_twice(patch: pytest.MonkeyPatch) -> None:
    """What was left alone when its grace was over is still counted by its batch."""
    unanswered = ticks._unanswered

    def wrong(row: Any, *rest: Any) -> Any:
        counted_by = row.ending.counted_by
        for effect in unanswered(row, *rest):
            if isinstance(effect, UpdateRow) and (row := effect.row).status is Status.CANCELLING and row.ending:
                yield UpdateRow(replace(row, ending=replace(row.ending, counted_by=counted_by)))
            else:
                yield effect

    patch.setattr(ticks, "_unanswered", wrong)


def the_same_attempt_again(patch: pytest.MonkeyPatch) -> None:
    """RESUME starts the attempt that was paused."""
    start = starts.start

    def wrong(row: Any, *rest: Any) -> Any:
        return start(replace(row, attempt=row.attempt - 1) if row.paused_from and row.attempt else row, *rest)

    patch.setattr(starts, "start", wrong)


def an_overtaken_control(patch: pytest.MonkeyPatch) -> None:
    """A control with a lower number than an earlier one is obeyed."""
    patch.setattr(lead_control, "_outdated", lambda *_: False)


def a_page_done_twice(patch: pytest.MonkeyPatch) -> None:
    """A page that is in the log twice is done twice."""
    once = dispatch.HANDLERS[ContinueSlice]

    def wrong(command: Any, at: Any, view: Any) -> Any:
        return once(replace(command, page=view.meta.page), at, view)

    patch.setitem(dispatch.HANDLERS, ContinueSlice, wrong)


def an_old_attempt(patch: pytest.MonkeyPatch) -> None:
    """The report of an attempt that is over is applied."""
    stale = invocations._stale
    patch.setattr(invocations, "_stale", lambda command, row: stale(replace(command, attempt=row.attempt), row))


def one_beyond_the_limit(patch: pytest.MonkeyPatch) -> None:
    """A slice with a share of a limit acts on a row more."""
    room = pace.room
    patch.setattr(pages, "room", lambda slice_, most: room(slice_, most) + (slice_.budget is not None))


def taken_from_nobody(patch: pytest.MonkeyPatch) -> None:
    """A single KILL takes a row from a batch, which goes on waiting for it."""
    stop = acts._stop
    patch.setattr(acts, "_stop", lambda row, *rest: stop(row, *rest)[:2])


def started_too_early(patch: pytest.MonkeyPatch) -> None:
    """RESUME starts what is scheduled for later."""
    patch.setattr(acts, "resume", starts.start)


def an_abort_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A slice that was aborted before its last page says that it is complete."""
    whole = slices.without_pages
    patch.setattr(slice_control, "without_pages", lambda slice_: whole(replace(slice_, aborted=False)))


def asked_beyond_the_grace(patch: pytest.MonkeyPatch) -> None:
    """A cancel's next repeat may lie behind the end of its grace."""
    patch.setattr(ticks, "next_repeat", lambda now, repeat, _: now + (lifecycle.FIRST_REPEAT_MS << repeat))


def two_of_an_object(patch: pytest.MonkeyPatch) -> None:
    """What arrives is started though another of its object is."""
    patch.setattr(invocations, "_waiting", lambda *_: None)


def doomed_work(patch: pytest.MonkeyPatch) -> None:
    """What a running batch is about to end is started first."""
    patch.setattr(guards.Guards, "against", lambda *_: False)


def held_for_ever(patch: pytest.MonkeyPatch) -> None:
    """A slice that is over, paused or aborted does not let go of what it held."""
    patch.setattr(slice_control, "let_go", lambda *_: [])
    patch.setattr(pages, "let_go", lambda *_: [])


def a_limit_that_guards(patch: pytest.MonkeyPatch) -> None:
    """A slice with a limit holds what it may never come to."""
    right = guarding.guarding
    patch.setattr(batches, "guarding", lambda slice_: right(replace(slice_, budget=None)))


def a_door_that_is_never_open(patch: pytest.MonkeyPatch) -> None:
    """A rule goes on at the door while its batch is paused."""
    patch.setattr(door, "stands", lambda slice_: slice_.standing_until is not None)


def uncounted_at_the_door(patch: pytest.MonkeyPatch) -> None:
    """A CANCEL at the door counts what it only asks for as done."""
    counted = standing._counted
    patch.setattr(
        standing, "_counted", lambda slice_, row, at: counted(slice_, replace(row, status=Status.CANCELLED), at)
    )


def it_ends_what_it_has_promoted(patch: pytest.MonkeyPatch) -> None:
    """A filter on statuses matches what was first started after the cut-off."""
    condition_of = conditions.condition_of

    def wrong(*args: Any) -> Any:
        right = condition_of(*args)
        return right._replace(sql=right.sql.replace("started_seq <= ?", "? IS NOT NULL"))

    patch.setattr(select, "condition_of", wrong)


def restored_without_pages(patch: pytest.MonkeyPatch) -> None:
    """What a page has done to many rows is not there after a restore."""
    patch.setattr(restore, "apply_delta", lambda *_: 0)


def nothing_left_out(patch: pytest.MonkeyPatch) -> None:
    """A page acts on what the filter leaves out."""
    condition_of = conditions.condition_of
    patch.setattr(
        select, "condition_of", lambda filter_, *others: condition_of(replace(filter_, exclude=None), *others)
    )


def left_out_and_yet_guarded(patch: pytest.MonkeyPatch) -> None:
    """A batch holds what its filter leaves out."""
    guard_of = guarding.guard_of

    def wrong(slice_: Any, known: Any = None) -> Any:
        del known
        guard = guard_of(replace(slice_, filter=replace(slice_.filter, exclude=None)))
        return guarding.Guard(slice_, guard.matches)

    patch.setattr(batches, "guard_of", wrong)


def left_out_and_yet_ended_at_the_door(patch: pytest.MonkeyPatch) -> None:
    """A rule ends what its filter leaves out."""
    saying = filters.saying
    patch.setattr(door, "saying", lambda filter_: saying(replace(filter_, exclude=None)))


def the_attempt_that_has_ended(patch: pytest.MonkeyPatch) -> None:
    """RESTART starts the attempt that has ended."""
    started = engine_rows.started
    patch.setattr(restarts, "started", lambda row, at: started(replace(row, attempt=max(row.attempt - 1, 0)), at))


def its_first_start_remembered(patch: pytest.MonkeyPatch) -> None:
    """What is restarted counts as started when it was first."""
    alive = engine_rows.alive
    patch.setattr(restarts, "alive", lambda row: replace(alive(row), started_seq=row.started_seq))


def restarted_before_its_time(patch: pytest.MonkeyPatch) -> None:
    """RESTART starts what is scheduled for later."""
    restarted = restarts._restarted

    def wrong(row: Any, at: Any) -> Any:
        return replace(restarted(replace(row, scheduled_at=None), at), scheduled_at=row.scheduled_at)

    patch.setattr(restarts, "_restarted", wrong)


def what_runs_elsewhere_restarted(patch: pytest.MonkeyPatch) -> None:
    """A page of RESTART starts what was adopted."""
    restartable = restarts.restartable
    patch.setattr(pages, "restartable", lambda row, *rest: restartable(replace(row, adopted=False), *rest))


def restarted_to_be_killed(patch: pytest.MonkeyPatch) -> None:
    """RESTART starts what a running batch is about to end."""
    for module in (acts, pages):
        patch.setattr(module, "restartable", lambda row, *_: not row.adopted)


def restarted_out_of_line(patch: pytest.MonkeyPatch) -> None:
    """A page of RESTART does not look at the inboxes."""
    patch.setattr(pages, "promotions_within", lambda *_: [])


def a_zone_passed_over_with_its_rows(patch: pytest.MonkeyPatch) -> None:
    """A page passes over every second zone, whatever rows it has."""
    patch.setattr(zones, "_hopeful", lambda _: "zone % 2")


def zones_passed_over_for_nothing(patch: pytest.MonkeyPatch) -> None:
    """However many zones a page passes over, it goes on."""
    patch.setattr(zones, "PASSED_LOOKS", 0)


QUICK = (
    a_zone_passed_over_with_its_rows,
    zones_passed_over_for_nothing,
    the_attempt_that_has_ended,
    its_first_start_remembered,
    nothing_left_out,
    a_late_cutoff,
    skipped_is_done,
    an_overtaken_control,
    an_old_attempt,
)
LONG = (
    grace_ends_twice,
    restarted_before_its_time,
    what_runs_elsewhere_restarted,
    restarted_to_be_killed,
    restarted_out_of_line,
    the_same_attempt_again,
    a_page_done_twice,
    one_beyond_the_limit,
    taken_from_nobody,
    started_too_early,
    an_abort_forgotten,
    asked_beyond_the_grace,
    two_of_an_object,
    doomed_work,
    held_for_ever,
    a_limit_that_guards,
    a_door_that_is_never_open,
    uncounted_at_the_door,
    it_ends_what_it_has_promoted,
    left_out_and_yet_guarded,
    left_out_and_yet_ended_at_the_door,
    restored_without_pages,
)
"""These take longer to meet."""


@pytest.mark.parametrize(
    "mistake",
    [*QUICK, *(pytest.param(each, marks=pytest.mark.chaos) for each in LONG)],
    ids=lambda mistake: mistake.__name__,
)
def test_a_mistake_is_found(mistake: Mistake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within these lives the engine and the model differ."""
    mistake(monkeypatch)
    with pytest.raises(Difference):
        live_in_rounds(PlainMachine)
