"""Pages of PAUSE, RESUME and PURGE, and what all actions count on the same rows."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from streams.engine.answers import At, PageSizes
from streams.engine.effects import Append, PutDelta, PutSlice, RemoveRow, Send, SendAll, SetPage, UpdateRow
from streams.model import (
    ENGINE_VERSION,
    Action,
    BatchState,
    Cause,
    Change,
    ContinueSlice,
    Filter,
    OnTimeout,
    PageDelta,
    ReportTransition,
    SignalKind,
    SliceState,
    StartBatch,
    StartSlice,
    Status,
)
from support.tables.engine_rows import NOW, applied, of, one_of_four, row_at
from support.tables.memory_cluster import MemoryCluster, invoke

if TYPE_CHECKING:
    from support.tables.memory_table import MemoryTable

ALL = Filter(match_all=True)
CAUSE = Cause(batch_id="b", reason="why")
PAGE = ContinueSlice(ENGINE_VERSION, 0, "b", 1, 100, 100)


def start(action: Action, *, dry_run: bool = False) -> StartSlice:
    """A slice of everything, for partition 0."""
    return StartSlice(ENGINE_VERSION, 0, "b", 3, action, ALL, dry_run, 20_000, OnTimeout.LEAVE, CAUSE)


def mixed() -> MemoryTable:
    """Rows that a page of PAUSE, RESUME or PURGE tells apart."""
    return one_of_four(
        row_at(Status.RUNNING, "r", seq=3, attempt=4),
        row_at(Status.SCHEDULED, "s", seq=4),
        row_at(Status.PAUSED, "q", seq=5, paused_from=Status.SCHEDULED, scheduled_at=NOW + 9),
        row_at(Status.CANCELLING, "c", seq=6),
        row_at(Status.COMPLETED, "done", seq=7),
        row_at(Status.BACKING_OFF, "k", seq=8),
        row_at(Status.PAUSED, "t", seq=9, paused_from=Status.BACKING_OFF, attempt=2, lease_ms=700),
        row_at(Status.RUNNING, "u", seq=11),
        row_at(Status.KILLED, "gone", seq=12),
    )


def test_a_pause_page_keeps_where_each_row_stood_in_one_delta() -> None:
    """A change for each of these places, a PAUSE signal for what was started; the rest has nothing done to it."""
    applied(start(Action.PAUSE), table := mixed())
    untouched = {name: table.rows[name] for name in ("q", "c", "done", "t", "gone")}
    effects = applied(PAGE, table, At(0, 600, NOW + 1))
    (put,) = of(PutDelta, effects)
    assert put.delta == PageDelta(
        NOW + 1,
        None,
        (
            Change(Status.PAUSED, Status.SCHEDULED, None, (4,)),
            Change(Status.PAUSED, Status.RUNNING, None, (3, 8)),
            Change(Status.PAUSED, Status.BACKING_OFF, None, (8,)),
        ),
    )
    assert put.left == {Status.SCHEDULED: 1, Status.RUNNING: 2, Status.BACKING_OFF: 1}
    (sent,) = of(SendAll, effects)
    pause = SignalKind.PAUSE
    signals = [(send.kind, send.invocation_id, send.attempt, send.cause) for send in sent.each()]
    assert signals == [(pause, "r", 4, CAUSE), (pause, "k", 1, CAUSE), (pause, "u", 1, CAUSE)]
    assert {name: table.rows[name] for name in untouched} == untouched
    slice_ = table.slices["b"]
    assert (slice_.matched, slice_.done, slice_.pending, slice_.skipped) == (7, 4, 0, 3)
    assert slice_.state is SliceState.COMPLETED


def test_a_pause_page_of_what_never_started_signals_nobody() -> None:
    """No executor knows of it."""
    applied(start(Action.PAUSE), table := one_of_four(row_at(Status.SCHEDULED, "s")))
    effects = applied(PAGE, table, At(0, 600, NOW))
    assert [type(effect) for effect in effects] == [PutDelta, PutSlice, Append, SetPage]


def test_a_pause_page_without_anything_to_pause_writes_no_delta() -> None:
    """A delta on which no row rests would stay for ever."""
    applied(start(Action.PAUSE), table := one_of_four(row_at(Status.PAUSED, paused_from=Status.READY)))
    assert of(PutDelta, applied(PAGE, table, At(0, 600, NOW))) == []
    assert table.slices["b"].skipped == 1


def test_a_resume_page_starts_what_is_paused() -> None:
    """The next attempt of what was started, its schedule again of what was not; the rest has nothing done to it."""
    applied(start(Action.RESUME), table := mixed())
    untouched = {name: row for name, row in table.rows.items() if name not in {"q", "t"}}
    effects = applied(PAGE, table, At(0, 600, NOW))
    assert [update.row.invocation_id for update in of(UpdateRow, effects)] == ["q", "t"]
    waits, starts = table.rows["q"], table.rows["t"]
    assert (waits.status, waits.due_at, waits.attempt) == (Status.SCHEDULED, NOW + 9, 0)
    assert (starts.status, starts.due_at, starts.attempt) == (Status.READY, NOW + 700, 3)
    assert of(Send, effects) == [Send(SignalKind.START, "t", b"encoded t", 9, 3, 0, NOW, b"payload")]
    assert {name: table.rows[name] for name in untouched} == untouched
    slice_ = table.slices["b"]
    assert (slice_.matched, slice_.done, slice_.pending, slice_.skipped) == (7, 2, 0, 5)


def test_a_purge_page_removes_what_has_ended() -> None:
    """It matches nothing else."""
    applied(start(Action.PURGE), table := mixed())
    effects = applied(PAGE, table, At(0, 600, NOW))
    assert of(RemoveRow, effects) == [RemoveRow(7, "done"), RemoveRow(12, "gone")]
    assert not {"done", "gone"} & (table.rows.keys() | table.payloads.keys())
    slice_ = table.slices["b"]
    assert (slice_.scanned, slice_.matched, slice_.done, slice_.skipped) == (9, 2, 2, 0)
    assert slice_.samples == ("done", "gone")


def test_a_pause_and_its_resume_leave_every_started_invocation_at_its_next_attempt() -> None:
    """Each executor is told once to stop and once to start; sending both again changes nothing."""
    cluster = MemoryCluster(2, PageSizes(3, 2))
    cluster.run(*(invoke(f"i{number}") for number in range(9)), invoke("later", scheduled_at=cluster.now + 10_000))
    for action in (Action.PAUSE, Action.PAUSE, Action.RESUME, Action.RESUME):
        name = f"{action} {len(cluster.signals)}"
        cluster.run(StartBatch(name, action, ALL), StartBatch(name, action, ALL))
        assert cluster.batch(name).state is BatchState.COMPLETED
    kinds = [(send.kind, send.attempt) for _, send in cluster.signals]
    assert Counter(kinds) == {(SignalKind.START, 1): 9, (SignalKind.PAUSE, 1): 9, (SignalKind.START, 2): 9}
    assert cluster.row("later").status is Status.SCHEDULED
    assert [cluster.row(f"i{number}").attempt for number in range(9)] == [2] * 9
    cluster.tick(after_ms=10_000)
    assert cluster.row("later").status is Status.READY


def test_two_purges_at_once_remove_each_row_once() -> None:
    """Whichever page comes first has it; the other batch does not match what is no longer there."""
    cluster = MemoryCluster(2, PageSizes(3, 2))
    cluster.run(*(invoke(f"i{number}") for number in range(20)), StartBatch("k", Action.KILL, ALL))
    cluster.run(StartBatch("p", Action.PURGE, ALL), StartBatch("q", Action.PURGE, ALL))
    assert cluster.total("p")["done"] + cluster.total("q")["done"] == 20
    assert cluster.total("p")["matched"] + cluster.total("q")["matched"] == 20
    assert not any(table.rows or table.payloads for table in cluster.tables)


@pytest.mark.parametrize("sizes", [PageSizes(2, 2), PageSizes(100, 100)])
def test_a_cancel_takes_what_is_paused(sizes: PageSizes) -> None:
    """Asked if it was started, over at once if it was not; a pause afterwards has nothing to do."""
    cluster = MemoryCluster(1, sizes)
    cluster.run(invoke("a"), invoke("s", scheduled_at=cluster.now + 1), StartBatch("p", Action.PAUSE, ALL))
    cluster.run(StartBatch("c", Action.CANCEL, ALL), StartBatch("again", Action.PAUSE, ALL))
    assert (cluster.row("a").status, cluster.row("a").paused_from) == (Status.CANCELLING, None)
    assert cluster.row("s").status is Status.CANCELLED
    assert cluster.total("again") == {"matched": 1, "done": 0, "pending": 0, "skipped": 1, "failed": 0}
    cluster.run(ReportTransition("a", 1, to=Status.CANCELLED))
    assert cluster.total("c")["done"] == 2


@pytest.mark.parametrize(
    ("action", "matched", "done"),
    [(Action.KILL, 7, 7), (Action.CANCEL, 7, 6), (Action.PAUSE, 7, 4), (Action.RESUME, 7, 2), (Action.PURGE, 2, 2)],
)
def test_a_dry_run_of_any_action_counts_and_touches_nothing(action: Action, matched: int, done: int) -> None:
    """The same pages and counters, no record of a row, no signal, nothing pending."""
    table = mixed()
    before = dict(table.rows)
    applied(start(action, dry_run=True), table)
    effects = applied(PAGE, table, At(0, 600, NOW))
    assert {type(effect) for effect in effects} == {PutSlice, Append, SetPage}
    assert table.rows == before
    slice_ = table.slices["b"]
    counters = (slice_.matched, slice_.done, slice_.pending, slice_.skipped)
    assert counters == (matched, done, 0, matched - done)
    assert (slice_.state, len(slice_.samples)) == (SliceState.COMPLETED, matched)
