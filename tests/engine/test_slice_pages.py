"""Slices and their pages, on several partitions without a broker."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import pytest

from streams.codec import encode
from streams.engine import progress_of
from streams.engine.answers import At, PageSizes
from streams.engine.counters import REPEATED_SLICE, STALE_PAGE, UNKNOWN_SLICE
from streams.engine.effects import Append, PutDelta, PutSlice, RemoveSlice, SendAll, SetPage
from streams.model import (
    ENGINE_VERSION,
    Action,
    BatchState,
    Cause,
    ContinueSlice,
    ControlSlice,
    Ending,
    Filter,
    OnTimeout,
    ReportTransition,
    SignalKind,
    SliceOperation,
    SlicePhase,
    SliceReport,
    SliceState,
    StartBatch,
    StartSlice,
    Status,
)
from support.tables.engine_rows import AT, NOW, applied, of, one_of_four, row_at
from support.tables.memory_cluster import MemoryCluster, invoke

ALL = Filter(match_all=True)
CAUSE = Cause(batch_id="b", reason="why")


def start(batch_id: str = "b", action: Action = Action.KILL, filter_: Filter = ALL, **fields: Any) -> StartSlice:
    """A slice for partition 0, led by partition 3."""
    usual: dict[str, Any] = {"dry_run": False, "grace_ms": 20_000, "on_timeout": OnTimeout.LEAVE, "cause": CAUSE}
    return StartSlice(ENGINE_VERSION, 0, batch_id, 3, action, filter_, **(usual | fields))


def page(number: int = 1, batch_id: str = "b", scanned: int = 100, matched: int = 100) -> ContinueSlice:
    """A page of partition 0."""
    return ContinueSlice(ENGINE_VERSION, 0, batch_id, number, scanned, matched)


def test_the_offset_of_its_start_is_a_slices_cut_off() -> None:
    """It runs, tells its lead, and writes its first page."""
    table = one_of_four(row_at(Status.READY, "x"), row_at(Status.COMPLETED, "y", seq=8))
    effects = applied(start(), table)
    slice_ = table.slices["b"]
    assert (slice_.state, slice_.cutoff, slice_.cursor, slice_.scan_total) == (SliceState.RUNNING, AT.offset, -1, 2)
    assert effects[1:] == [
        Append(3, "b", SliceReport(ENGINE_VERSION, 3, "b", 0, SlicePhase.STARTED, AT.offset, 0)),
        SetPage(1, True),
        Append(0, "b", ContinueSlice(ENGINE_VERSION, 0, "b", 1, 100, 100)),
    ]


def test_a_slice_started_twice_starts_once() -> None:
    """Its cut-off stays."""
    applied(start(), table := one_of_four())
    assert applied(start(), table, At(0, 600, NOW)) == [REPEATED_SLICE]


def test_one_page_is_outstanding_however_many_slices() -> None:
    """The second slice waits for its turn in the rotation."""
    applied(start("b"), table := one_of_four())
    effects = applied(start("c"), table, At(0, 501, NOW))
    assert not of(SetPage, effects)
    assert [type(append.command) for append in of(Append, effects)] == [SliceReport]


@pytest.mark.parametrize("stale", [page(0), page(2), page(1, scanned=1)])
def test_a_page_that_is_not_outstanding_is_a_no_op(stale: ContinueSlice) -> None:
    """Neither an older nor a younger one, nor one that is done."""
    applied(start(), table := one_of_four())
    if stale.page == 1:
        applied(page(1), table, At(0, 501, NOW))
    assert applied(stale, table, At(0, 502, NOW)) == [STALE_PAGE]


def test_a_kill_page_ends_its_rows_by_one_delta() -> None:
    """Started or not, in order of seq, and only what executors may know takes a signal."""
    ending = Ending(Cause(reason="first"), grace_until=NOW + 9)
    table = one_of_four(
        row_at(Status.RUNNING, "r", seq=3, attempt=4),
        row_at(Status.SCHEDULED, "s", seq=4),
        row_at(Status.COMPLETED, "done", seq=5),
        row_at(Status.CANCELLING, "c", seq=9, ending=ending),
        row_at(Status.PENDING, "p", seq=11),
        row_at(Status.PAUSED, "q", seq=12, paused_from=Status.SCHEDULED),
        row_at(Status.PAUSED, "t", seq=13, paused_from=Status.RUNNING),
    )
    applied(start(), table)
    effects = applied(page(), table, At(0, 600, NOW + 1))
    (put,) = of(PutDelta, effects)
    assert (put.delta.modified_at, put.delta.ending) == (NOW + 1, Ending(CAUSE))
    (change,) = put.delta.changes
    assert (change.status, change.due_at, list(accumulate(change.seqs))) == (Status.KILLED, None, [3, 4, 9, 11, 12, 13])
    assert put.left == {
        Status.RUNNING: 1,
        Status.SCHEDULED: 1,
        Status.CANCELLING: 1,
        Status.PENDING: 1,
        Status.PAUSED: 2,
    }
    (sent,) = of(SendAll, effects)
    signals = [(send.kind, send.invocation_id, send.seq, send.attempt) for send in sent.each()]
    kill = SignalKind.KILL
    assert signals == [(kill, "r", 3, 4), (kill, "c", 9, 1), (kill, "t", 13, 1)]
    assert {send.cause for send in sent.each()} == {CAUSE}
    slice_ = table.slices["b"]
    assert (slice_.matched, slice_.done, slice_.pending, slice_.skipped) == (6, 6, 0, 0)
    assert (slice_.state, slice_.scanned, slice_.samples) == (
        SliceState.COMPLETED,
        7,
        ("r", "s", "c", "p", "q", "t"),
    )
    assert effects[-2:] == [
        Append(3, "b", SliceReport(ENGINE_VERSION, 3, "b", 0, SlicePhase.DRAINED, AT.offset, 6)),
        SetPage(1, False),
    ]


def test_a_cancel_page_asks_what_was_started() -> None:
    """What never started is over at once; what is being cancelled already is skipped."""
    table = one_of_four(
        row_at(Status.RUNNING, "r", seq=3),
        row_at(Status.SCHEDULED, "s", seq=4),
        row_at(Status.CANCELLING, "c", seq=9),
        row_at(Status.SUSPENDED, "u", seq=10),
    )
    applied(start(action=Action.CANCEL), table)
    effects = applied(page(), table, At(0, 600, NOW))
    (put,) = of(PutDelta, effects)
    assert put.delta.ending == Ending(CAUSE, OnTimeout.LEAVE, NOW + 20_000, 0, "b")
    assert [(change.status, change.due_at, change.seqs) for change in put.delta.changes] == [
        (Status.CANCELLED, None, (4,)),
        (Status.CANCELLING, NOW + 5_000, (3, 7)),
    ]
    assert put.left == {Status.RUNNING: 1, Status.SCHEDULED: 1, Status.SUSPENDED: 1}
    (sent,) = of(SendAll, effects)
    assert [(send.kind, send.invocation_id) for send in sent.each()] == [
        (SignalKind.CANCEL, "r"),
        (SignalKind.CANCEL, "u"),
    ]
    slice_ = table.slices["b"]
    assert (slice_.matched, slice_.done, slice_.pending, slice_.skipped) == (4, 1, 2, 1)
    assert slice_.state is SliceState.DRAINING
    assert of(Append, effects)[-1].command == SliceReport(
        ENGINE_VERSION, 3, "b", 0, SlicePhase.PAGES_DONE, AT.offset, 3
    )


def test_a_cancel_page_of_what_never_started_waits_for_nothing() -> None:
    """No grace, no batch to count it later."""
    applied(start(action=Action.CANCEL), table := one_of_four(row_at(Status.SCHEDULED, "s")))
    (put,) = of(PutDelta, applied(page(), table, At(0, 600, NOW)))
    assert put.delta.ending == Ending(CAUSE)
    assert table.slices["b"].state is SliceState.COMPLETED


@pytest.mark.parametrize(
    ("action", "done", "skipped"),
    [(Action.KILL, 3, 0), (Action.CANCEL, 2, 1)],
)
def test_a_dry_run_counts_and_touches_nothing(action: Action, done: int, skipped: int) -> None:
    """The same pages and counters, no delta, no signal, nothing pending."""
    table = one_of_four(
        row_at(Status.RUNNING, "r", seq=3),
        row_at(Status.SCHEDULED, "s", seq=4),
        row_at(Status.CANCELLING, "c", seq=9),
    )
    before = dict(table.rows)
    applied(start(action=action, dry_run=True), table)
    effects = applied(page(), table, At(0, 600, NOW))
    assert {type(effect) for effect in effects} == {PutSlice, Append, SetPage}
    assert table.rows == before
    slice_ = table.slices["b"]
    assert (slice_.matched, slice_.done, slice_.pending, slice_.skipped) == (3, done, 0, skipped)
    assert (slice_.state, slice_.samples) == (SliceState.COMPLETED, ("r", "s", "c"))


def test_zero_matches_complete() -> None:
    """A batch over an empty table is over after one page a partition."""
    cluster = MemoryCluster(3)
    cluster.run(StartBatch("b", Action.KILL, ALL))
    assert cluster.batch("b").state is BatchState.COMPLETED
    assert cluster.total("b") == {"matched": 0, "done": 0, "pending": 0, "skipped": 0, "failed": 0}


@pytest.mark.parametrize("sizes", [PageSizes(1, 1), PageSizes(7, 2), PageSizes(3, 100), PageSizes(0, 0)])
def test_pages_of_any_size_end_the_same_rows(sizes: PageSizes) -> None:
    """The size is a matter of pace; what was invoked behind the cut-off stays."""
    cluster = MemoryCluster(2, sizes)
    cluster.run(*(invoke(f"i{number}", service="mail" if number % 3 else "bill") for number in range(40)))
    cluster.run(StartBatch("b", Action.KILL, Filter(services=("mail",))), *(invoke(f"late{n}") for n in range(5)))
    killed = {row.invocation_id for table in cluster.tables for row in table.rows.values() if row.status == "KILLED"}
    assert killed >= {f"i{number}" for number in range(40) if number % 3}
    for table in cluster.tables:
        cutoff = table.slices["b"].cutoff
        assert all(
            (row.status == "KILLED") == (row.seq < cutoff and table.invocations[i].service == "mail")
            for i, row in table.rows.items()
        )
        assert all(count <= 1 for count in [table.meta.page_outstanding])
    assert cluster.batch("b").state is BatchState.COMPLETED
    assert cluster.batch("b").cutoffs == tuple(slice_.cutoff for slice_ in cluster.slices("b"))


@pytest.mark.parametrize("sizes", [PageSizes(3, 100), PageSizes(100, 3), PageSizes(100, 100)])
def test_a_filter_by_ids_pages_over_the_ids(sizes: PageSizes) -> None:
    """Unknown ones are looked at and match nothing; once done, the filter is dropped."""
    cluster = MemoryCluster(2, sizes)
    cluster.run(*(invoke(f"i{number}") for number in range(30)))
    ids = tuple(f"i{number}" for number in range(0, 60, 3))
    cluster.run(StartBatch("b", Action.KILL, Filter(invocation_ids=ids, services=("mail",))))
    slices = cluster.slices("b")
    assert cluster.total("b")["done"] == 10
    assert sum(slice_.scan_total for slice_ in slices) == len(ids)
    for slice_ in slices:
        assert (slice_.scanned, slice_.cursor) == (slice_.scan_total, slice_.scan_total)
        assert slice_.filter == Filter(invocation_ids=())
    assert all((cluster.row(f"i{n}").status == "KILLED") == (n % 3 == 0) for n in range(30))


@pytest.mark.parametrize("standing", [None, 10**15])
def test_a_slice_without_pages_keeps_no_lists(standing: int | None) -> None:
    """However long its filter, a record of a slice that waits for answers is short; one that stands keeps it."""
    cluster = MemoryCluster(1)
    cluster.run(invoke("mail/k~0", object_key="k"))
    wanted = Filter(object_keys=("k", *(f"k{number:04}" for number in range(5_000))))
    cluster.run(StartBatch("b", Action.CANCEL, wanted, grace_ms=9_000, standing_until=standing))
    (slice_,) = cluster.slices("b")
    assert (slice_.pending, slice_.filter == wanted) == (1, standing is not None)
    assert (len(encode(slice_)) < 300) is (standing is None)
    assert cluster.batch("b").start.filter == wanted


def test_slices_take_turns() -> None:
    """After each page comes the next running slice, in the order of their cut-offs, then the first again."""
    cluster = MemoryCluster(1, PageSizes(2, 2))
    cluster.run(*(invoke(f"i{number}") for number in range(6)))
    cluster.send(*(StartBatch(name, Action.KILL, ALL, dry_run=True) for name in "abc"))
    cluster.run()
    turns = [command.batch_id for _, command in cluster.logs[0] if isinstance(command, ContinueSlice)]
    assert turns == list("abcabcabc")
    assert not cluster.tables[0].meta.page_outstanding


def test_a_page_of_a_slice_that_is_gone_passes_the_turn_on() -> None:
    """A rotation never stops for one of its members."""
    applied(start("b"), table := one_of_four())
    applied(start("c"), table, At(0, 501, NOW))
    del table.slices["b"]
    effects = applied(page(1, "b"), table, At(0, 502, NOW))
    assert effects == [SetPage(2, True), Append(0, "c", ContinueSlice(ENGINE_VERSION, 0, "c", 2, 100, 100))]


def test_a_forgotten_slice_is_removed() -> None:
    """And one that is not known is counted."""
    applied(start(), table := one_of_four())
    forget = ControlSlice(ENGINE_VERSION, 0, "b", SliceOperation.FORGET)
    assert applied(forget, table) == [RemoveSlice("b")]
    assert applied(forget, table) == [UNKNOWN_SLICE]


def test_samples_stop_at_twenty() -> None:
    """The first matched rows, whatever the pages."""
    cluster = MemoryCluster(1, PageSizes(7, 7))
    cluster.run(*(invoke(f"i{number:02}") for number in range(30)))
    cluster.run(StartBatch("b", Action.KILL, ALL))
    assert cluster.slices("b")[0].samples == tuple(f"i{number:02}" for number in range(20))


def test_progress_says_what_the_slice_counts() -> None:
    """Every counter under its own name."""
    cluster = MemoryCluster(1)
    cluster.run(invoke("a"), invoke("z"))
    cluster.run(StartBatch("b", Action.CANCEL, ALL, grace_ms=20_000))
    slice_ = cluster.slices("b")[0]
    progress = progress_of(slice_, partition=0, held=7)
    assert (progress.partition, progress.held) == (0, 7)
    for field in progress.__struct_fields__:
        if field not in {"partition", "held"}:
            assert getattr(progress, field) == getattr(slice_, field)


def test_a_slice_is_not_over_while_it_has_pages() -> None:
    """An answer between two pages leaves nothing pending for a moment, but the next page is still to come."""
    cluster = MemoryCluster(1, PageSizes(1, 1))
    cluster.run(invoke("a"), invoke("z"))
    cluster.send(StartBatch("b", Action.CANCEL, ALL))
    while not isinstance(cluster.logs[0][-1][1], ContinueSlice):
        cluster.step(0)
    cluster.send(ReportTransition("a", 1, to=Status.CANCELLED))
    while cluster.row("a").status is not Status.CANCELLED:
        cluster.step(0)
    slice_ = cluster.slices("b")[0]
    assert (slice_.state, slice_.pending, slice_.done) == (SliceState.RUNNING, 0, 1)
    cluster.run()
    assert cluster.row("z").status is Status.CANCELLING
    assert cluster.slices("b")[0].state is SliceState.DRAINING
