"""`Act`: one action on one invocation."""

from __future__ import annotations

import pytest

from streams.engine.counters import SKIPPED_ACT
from streams.engine.effects import Send, UpdateRow
from streams.engine.errors import CommandRefusedError
from streams.engine.lifecycle import TERMINAL, UNSTARTED
from streams.model import Act, Action, Cause, Ending, OnTimeout, SignalKind, Status
from support.engine_rows import NOW, SEQ, applied, of, row_at, table_with

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


@pytest.mark.parametrize("action", [Action.KILL, Action.CANCEL])
def test_an_unknown_invocation_is_skipped(action: Action) -> None:
    """An act on nothing does nothing."""
    assert applied(Act("nobody", action), table_with()) == [SKIPPED_ACT]


@pytest.mark.parametrize("action", [Action.PAUSE, Action.RESUME, Action.PURGE])
def test_what_is_not_built_is_refused_by_name(action: Action) -> None:
    """It is never ignored."""
    with pytest.raises(CommandRefusedError, match=f"Act.action {action}") as refused:
        applied(Act("a", action), table_with(row_at(Status.RUNNING)))
    assert refused.value.code == "not_supported"
