"""`Act`: one action on one invocation."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from streams.engine.counters import SKIPPED_ACT
from streams.engine.effects import RemoveRow, Send, UpdateRow
from streams.model import ON_ENDED, TERMINAL, UNSTARTED, Act, Action, Cause, Ending, OnTimeout, Row, SignalKind, Status
from support.tables.engine_rows import AT, NOW, SEQ, applied, of, row_at, table_with

CAUSE = Cause(actor="ann", reason="wrong order")
CASES = [(status, None) for status in Status if status is not Status.PAUSED] + [
    (Status.PAUSED, Status.SCHEDULED),
    (Status.PAUSED, Status.PENDING),
    (Status.PAUSED, Status.READY),
    (Status.PAUSED, Status.SUSPENDED),
]


@pytest.mark.parametrize(("status", "paused_from"), CASES)
@pytest.mark.parametrize("only_unstarted", [False, True])
def test_every_cell_of_kill(status: Status, paused_from: Status | None, only_unstarted: bool) -> None:  # noqa: FBT001
    """What was never started ends without a signal, what was with one, what has ended is left alone."""
    table = table_with(before := row_at(status, paused_from=paused_from, delta=4))
    effects = applied(Act("a", Action.KILL, only_unstarted=only_unstarted, cause=CAUSE), table)
    row, standing = table.rows["a"], paused_from or status
    if standing in TERMINAL or (only_unstarted and standing not in UNSTARTED):
        assert effects == [SKIPPED_ACT]
        assert row is before
        return
    assert (row.status, row.modified_at, row.due_at, row.paused_from) == (Status.KILLED, NOW, None, None)
    assert (row.ending, row.delta) == (Ending(CAUSE), None)
    signals = of(Send, effects)
    expected = Send(SignalKind.KILL, "a", b"encoded a", SEQ, 1, 0, NOW, None, CAUSE)
    assert signals == ([] if standing in UNSTARTED else [expected])


@pytest.mark.parametrize(("status", "paused_from"), CASES)
@pytest.mark.parametrize("only_unstarted", [False, True])
def test_every_cell_of_cancel(status: Status, paused_from: Status | None, only_unstarted: bool) -> None:  # noqa: FBT001
    """What was never started is over at once, what was is asked once, what is being cancelled or over is left alone."""
    table = table_with(before := row_at(status, paused_from=paused_from))
    effects = applied(Act("a", Action.CANCEL, only_unstarted=only_unstarted, cause=CAUSE), table)
    row, standing = table.rows["a"], paused_from or status
    if standing in UNSTARTED:
        assert (row.status, row.due_at, row.ending) == (Status.CANCELLED, None, Ending(CAUSE))
        assert [type(effect) for effect in effects] == [UpdateRow]
    elif standing in TERMINAL or standing is Status.CANCELLING or only_unstarted:
        assert effects == [SKIPPED_ACT]
        assert row is before
    else:
        assert (row.status, row.modified_at, row.paused_from) == (Status.CANCELLING, NOW, None)
        assert row.ending == Ending(CAUSE, OnTimeout.KILL, NOW + 30_000)
        assert of(Send, effects) == [Send(SignalKind.CANCEL, "a", b"encoded a", SEQ, 1, 0, NOW, None, CAUSE)]


@pytest.mark.parametrize(
    ("grace_ms", "due_at"),
    [(None, NOW + 5_000), (30_000, NOW + 5_000), (5_000, NOW + 5_000), (4_999, NOW + 4_999), (0, NOW)],
)
def test_a_cancel_is_due_for_repetition_or_at_the_end_of_its_grace(grace_ms: int | None, due_at: int) -> None:
    """Whichever comes first; a grace of nothing is over at once."""
    table = table_with(row_at(Status.RUNNING))
    applied(Act("a", Action.CANCEL, grace_ms=grace_ms, on_timeout=OnTimeout.LEAVE), table)
    row = table.rows["a"]
    assert row.due_at == due_at
    assert row.ending == Ending(Cause(), OnTimeout.LEAVE, NOW + (30_000 if grace_ms is None else grace_ms))


@pytest.mark.parametrize("action", list(Action))
def test_an_unknown_invocation_is_skipped(action: Action) -> None:
    """An act on nothing does nothing."""
    assert applied(Act("nobody", action), table_with()) == [SKIPPED_ACT]


@pytest.mark.parametrize(("status", "paused_from"), CASES)
@pytest.mark.parametrize("only_unstarted", [False, True])
def test_every_cell_of_pause(status: Status, paused_from: Status | None, only_unstarted: bool) -> None:  # noqa: FBT001
    """It keeps where it stood; its executor is told; paused, being cancelled or over, it is left alone."""
    held = status is not Status.PAUSED
    table = table_with(before := row_at(status, paused_from=paused_from, held=held, delta=4))
    command = Act("a", Action.PAUSE, grace_ms=5, on_timeout=OnTimeout.LEAVE, only_unstarted=only_unstarted, cause=CAUSE)
    effects = applied(command, table)
    row, kept = table.rows["a"], {Status.PAUSED, Status.CANCELLING, *TERMINAL}
    if status in kept or (only_unstarted and status not in UNSTARTED):
        assert effects == [SKIPPED_ACT]
        assert row is before
        return
    paused = replace(before, status=Status.PAUSED, paused_from=status, modified_at=NOW, due_at=None)
    assert row == replace(paused, held=False, delta=None)
    signals = of(Send, effects)
    expected = Send(SignalKind.PAUSE, "a", b"encoded a", SEQ, 1, 0, NOW, None, CAUSE)
    assert signals == ([] if status in UNSTARTED else [expected])


@pytest.mark.parametrize(("status", "paused_from"), CASES)
@pytest.mark.parametrize("only_unstarted", [False, True])
def test_every_cell_of_resume(status: Status, paused_from: Status | None, only_unstarted: bool) -> None:  # noqa: FBT001
    """What is paused starts, by its next attempt and with its payload; everything else is left alone."""
    table = table_with(before := row_at(status, paused_from=paused_from, last_report_no=8, delta=4))
    effects = applied(Act("a", Action.RESUME, only_unstarted=only_unstarted, cause=CAUSE), table)
    row, attempt = table.rows["a"], before.attempt + 1
    if paused_from is None or (only_unstarted and paused_from not in UNSTARTED):
        assert effects == [SKIPPED_ACT]
        assert row is before
        return
    assert (row.status, row.attempt, row.last_report_no, row.modified_at) == (Status.READY, attempt, -1, NOW)
    assert (row.paused_from, row.due_at, row.delta) == (None, None, None)
    assert row.started_seq == (AT.offset if paused_from in UNSTARTED else SEQ)
    assert of(Send, effects) == [Send(SignalKind.START, "a", b"encoded a", SEQ, attempt, 0, NOW, b"payload")]


@pytest.mark.parametrize(("status", "paused_from"), CASES)
@pytest.mark.parametrize("only_unstarted", [False, True])
def test_every_cell_of_purge(status: Status, paused_from: Status | None, only_unstarted: bool) -> None:  # noqa: FBT001
    """What has ended is removed with its payload; what has not is left alone."""
    table = table_with(row_at(status, paused_from=paused_from))
    effects = applied(Act("a", Action.PURGE, only_unstarted=only_unstarted, cause=CAUSE), table)
    if status in TERMINAL and not only_unstarted:
        assert effects == [RemoveRow(SEQ, "a")]
        assert (table.rows, table.payloads) == ({}, {})
    else:
        assert effects == [SKIPPED_ACT]
        assert "a" in table.rows


def test_what_ended_before_it_was_started_is_purged_as_unstarted() -> None:
    """`only_unstarted` asks whether it was ever started, ended or not."""
    table = table_with(row_at(Status.CANCELLED, started_seq=None, attempt=0))
    assert applied(Act("a", Action.PURGE, only_unstarted=True), table) == [RemoveRow(SEQ, "a")]


@pytest.mark.parametrize("lease_ms", [None, 700])
def test_a_resumed_invocation_has_its_lease_again(lease_ms: int | None) -> None:
    """Whatever starts an attempt gives it the time that its executor may be silent."""
    applied(Act("a", Action.RESUME), table := table_with(paused(Status.RUNNING, lease_ms=lease_ms)))
    assert table.rows["a"].due_at == (None if lease_ms is None else NOW + lease_ms)


@pytest.mark.parametrize("scheduled_at", [NOW - 9, NOW])
def test_a_schedule_that_ran_out_during_a_pause_fires_at_its_end(scheduled_at: int) -> None:
    """It is overdue."""
    applied(Act("a", Action.RESUME), table := table_with(paused(Status.SCHEDULED, scheduled_at=scheduled_at)))
    row = table.rows["a"]
    assert (row.status, row.attempt, row.seq, row.started_seq) == (Status.READY, 1, SEQ, AT.offset)


def test_a_schedule_still_to_come_waits_again() -> None:
    """At its old seq, for its old time, without a signal."""
    table = table_with(before := paused(Status.SCHEDULED, scheduled_at=NOW + 1))
    (effect,) = applied(Act("a", Action.RESUME), table)
    scheduled = replace(before, status=Status.SCHEDULED, modified_at=NOW, due_at=NOW + 1, paused_from=None)
    assert effect == UpdateRow(scheduled)


def test_a_retry_that_was_scheduled_does_not_wait_for_a_time_long_gone() -> None:
    """The time of its `Invoke` says nothing about an invocation that was started."""
    table = table_with(paused(Status.BACKING_OFF, scheduled_at=NOW + 1))
    applied(Act("a", Action.RESUME), table)
    assert table.rows["a"].status is Status.READY


@pytest.mark.parametrize("action", [Action.PAUSE, Action.RESUME, Action.PURGE])
@pytest.mark.parametrize("start", [Status.SCHEDULED, Status.RUNNING, Status.PAUSED, Status.COMPLETED])
def test_an_act_repeated_changes_nothing(action: Action, start: Status) -> None:
    """At-least-once producers may say everything twice."""
    paused_from = Status.RUNNING if start is Status.PAUSED else None
    applied(Act("a", action), table := table_with(row_at(start, paused_from=paused_from)))
    before = dict(table.rows)
    assert applied(Act("a", action), table) == [SKIPPED_ACT]
    assert table.rows == before


def paused(paused_from: Status, **fields: Any) -> Row:
    """A row paused from there."""
    return row_at(Status.PAUSED, paused_from=paused_from, **fields)


@pytest.mark.parametrize("action", list(Action))
def test_an_act_on_an_earlier_life_of_the_id_is_skipped(action: Action) -> None:
    """The id was forgotten and used again; with the seq of the row it does what it does without."""
    row = row_at(Status.RUNNING)
    if action is Action.RESUME:
        row = row_at(Status.PAUSED, paused_from=Status.RUNNING)
    if action in ON_ENDED:
        row = row_at(Status.KILLED)
    assert applied(Act("a", action, seq=SEQ + 1), table_with(row)) == [SKIPPED_ACT]
    assert applied(Act("a", action, seq=SEQ), table_with(row)) == applied(Act("a", action), table_with(row))
