"""`ReportTransition`: what an executor may say when."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from streams.engine.counters import STALE_REPORT
from streams.engine.effects import UpdateRow
from streams.model import STARTED, Cause, Ending, OnTimeout, ReportTransition, Status
from support.tables.engine_rows import NOW, SEQ, applied, row_at, table_with

LIVE = {Status.READY, Status.RUNNING, Status.SUSPENDED}
ENDS = {Status.COMPLETED, Status.FAILED, Status.CANCELLED}
FOLLOWS = {
    Status.RUNNING: LIVE,
    Status.SUSPENDED: LIVE,
    Status.BACKING_OFF: LIVE,
    **dict.fromkeys(ENDS, frozenset({*LIVE, Status.BACKING_OFF, Status.CANCELLING})),
}
RETRY_AT = NOW + 77


def report(to: Status, **fields: Any) -> ReportTransition:
    """A report of attempt 1 of invocation `a`."""
    retry_at = RETRY_AT if to is Status.BACKING_OFF else None
    return replace(ReportTransition("a", 1, to=to, retry_at=retry_at), **fields)


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.PAUSED])
@pytest.mark.parametrize("to", list(Status))
def test_every_cell_of_the_table_of_reports(status: Status, to: Status) -> None:
    """A row follows a report exactly where the protocol says; every other one is ignored and counted."""
    table = table_with(before := row_at(status, attempt=1))
    effects = applied(report(to), table)
    if status in FOLLOWS.get(to, ()):
        row = table.rows["a"]
        assert (row.status, row.modified_at, len(effects)) == (to, NOW, 1)
        assert row.due_at == (RETRY_AT if to is Status.BACKING_OFF else None)
    else:
        assert effects == [STALE_REPORT]
        assert table.rows["a"] is before


@pytest.mark.parametrize("paused_from", [*sorted(STARTED - {Status.CANCELLING}), Status.SCHEDULED, Status.PENDING])
@pytest.mark.parametrize("to", list(Status))
def test_a_paused_row_can_only_end_and_only_when_started(paused_from: Status, to: Status) -> None:
    """An executor may finish what it had begun before the pause; nothing else moves a paused row."""
    table = table_with(row_at(Status.PAUSED, paused_from=paused_from, attempt=1))
    effects = applied(report(to), table)
    if to in ENDS and paused_from in STARTED:
        assert table.rows["a"].status is to
        assert table.rows["a"].paused_from is None
    else:
        assert effects == [STALE_REPORT]


@pytest.mark.parametrize(
    "late",
    [
        {"attempt": 0},
        {"attempt": 2},
        {"seq": SEQ + 1},
        {"report_no": 5},
        {"report_no": 4},
        {"report_no": -9},
        {"invocation_id": "unknown"},
    ],
)
def test_a_late_or_misdirected_report_is_ignored(late: dict[str, object]) -> None:
    """Another attempt, another life of the id, an overtaken number or an unknown id change nothing."""
    table = table_with(row_at(Status.RUNNING, last_report_no=5))
    assert applied(report(Status.COMPLETED, **late), table) == [STALE_REPORT]


def test_report_numbers_rise() -> None:
    """A number higher than the last is taken and remembered; a report without one leaves it."""
    table = table_with(row_at(Status.READY))
    applied(report(Status.RUNNING, report_no=5, seq=SEQ), table)
    assert table.rows["a"].last_report_no == 5
    applied(report(Status.SUSPENDED), table)
    assert table.rows["a"].last_report_no == 5
    applied(report(Status.RUNNING, report_no=6), table)
    assert table.rows["a"].status is Status.RUNNING


def test_running_again_renews_the_lease() -> None:
    """Each report of RUNNING moves the end of the lease."""
    table = table_with(row_at(Status.RUNNING, lease_ms=1_000, due_at=NOW - 5))
    applied(report(Status.RUNNING), table)
    assert table.rows["a"].due_at == NOW + 1_000


@pytest.mark.parametrize("to", [Status.SUSPENDED, *sorted(ENDS)])
def test_the_lease_ends_with_running(to: Status) -> None:
    """What is suspended or over is not due."""
    table = table_with(row_at(Status.RUNNING, lease_ms=1_000, due_at=NOW + 5))
    applied(report(to), table)
    assert table.rows["a"].due_at is None


def test_a_report_pins_the_deployment() -> None:
    """The deployment an executor names stays until another one is named."""
    table = table_with(row_at(Status.READY))
    applied(report(Status.RUNNING, deployment_id="d2"), table)
    applied(report(Status.SUSPENDED), table)
    assert table.rows["a"].deployment_id == "d2"


def test_a_report_stands_on_a_record_of_its_own() -> None:
    """A row that rested on a page's delta no longer does, and a mark of being held is cleared."""
    table = table_with(row_at(Status.RUNNING, delta=3, held=True))
    (update,) = applied(report(Status.SUSPENDED), table)
    assert isinstance(update, UpdateRow)
    assert (update.row.delta, update.row.held) == (None, False)


def test_a_cancelled_row_keeps_why_it_was_cancelled() -> None:
    """The executor's answer leaves the cause, no batch waits for it any longer, and its error is noted."""
    ending = Ending(Cause(batch_id="b", reason="why"), OnTimeout.LEAVE, NOW + 9, 2, "b")
    table = table_with(row_at(Status.CANCELLING, ending=ending))
    applied(report(Status.CANCELLED, error="stopped"), table)
    assert table.rows["a"].ending == Ending(ending.cause, OnTimeout.LEAVE, NOW + 9, 2, None, "stopped")


@pytest.mark.parametrize("to", [Status.COMPLETED, Status.FAILED])
@pytest.mark.parametrize(("error", "ending"), [(None, None), ("boom", Ending(error="boom"))])
def test_a_row_that_ends_by_itself_forgets_the_cancel(to: Status, error: str | None, ending: Ending | None) -> None:
    """It was not the cancel that ended it."""
    table = table_with(row_at(Status.CANCELLING))
    applied(report(to, error=error), table)
    assert table.rows["a"].ending == ending


@pytest.mark.parametrize(("error", "ending"), [(None, None), ("gone", Ending(error="gone"))])
def test_an_executor_may_cancel_unasked(error: str | None, ending: Ending | None) -> None:
    """CANCELLED without a cancel is an end like any other."""
    table = table_with(row_at(Status.RUNNING))
    applied(report(Status.CANCELLED, error=error), table)
    assert (table.rows["a"].status, table.rows["a"].ending) == (Status.CANCELLED, ending)
