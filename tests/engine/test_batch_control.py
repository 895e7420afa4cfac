"""A batch under control while it runs: paused, resumed, aborted, expired."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from streams.engine import apply, header_of, progress_of
from streams.engine.answers import PageSizes
from streams.engine.counters import SKIPPED_CONTROL, UNKNOWN_SLICE
from streams.engine.effects import Append, PutSlice
from streams.engine.lead_control import abort
from streams.gateway import progress
from streams.model import (
    ENGINE_VERSION,
    Action,
    BatchState,
    Cause,
    ContinueSlice,
    ControlBatch,
    ControlOperation,
    ControlSlice,
    Filter,
    OnTimeout,
    ReportTransition,
    SliceOperation,
    SlicePhase,
    SliceReport,
    SliceState,
    StartBatch,
    StartSlice,
    Status,
)
from streams.protocol.validation import CommandRefusedError
from support.tables.engine_rows import AT, applied, of
from support.tables.memory_cluster import MemoryCluster, invoke
from support.tables.memory_table import MemoryTable

if TYPE_CHECKING:
    from collections.abc import Callable

ALL = Filter(match_all=True)
PAUSE, RESUME, ABORT = ControlOperation.PAUSE, ControlOperation.RESUME, ControlOperation.ABORT
SET_RATE = ControlOperation.SET_RATE


def control(operation: ControlOperation, control_no: int | None = None, max_rate: float | None = None) -> ControlBatch:
    """A control of `b`."""
    return ControlBatch("b", operation, control_no, max_rate)


def begun(action: Action = Action.KILL, partitions: int = 2, **fields: Any) -> MemoryCluster:
    """Batch `b` with a page of one row done somewhere, and 40 rows to go through."""
    cluster = MemoryCluster(partitions, PageSizes(10, 1))
    cluster.run(*(invoke(f"i{number}") for number in range(40)))
    cluster.send(StartBatch("b", action, ALL, **fields))
    until(cluster, lambda: sum(slice_.acted for slice_ in cluster.slices("b")) > 0)
    return cluster


def until(cluster: MemoryCluster, happened: Callable[[], bool]) -> None:
    """Apply commands in turn until it has happened."""
    while not happened():
        for partition in cluster.waiting():
            cluster.step(partition)
            if happened():
                return


def state(cluster: MemoryCluster) -> BatchState:
    """The state that is published of `b`."""
    slices = {n: progress_of(table.slices["b"], n) for n, table in enumerate(cluster.tables) if "b" in table.slices}
    merged = progress.batch_progress(progress.BatchRecords(header_of(cluster.batch("b")), slices))
    assert merged is not None
    return merged.state


def test_a_paused_batch_does_no_page_until_it_is_resumed() -> None:
    """It says PAUSED, goes on where it was, and ends what it would have ended."""
    cluster = begun()
    cluster.run(control(PAUSE))
    acted = sum(slice_.acted for slice_ in cluster.slices("b"))
    assert 0 < acted < 40
    assert {slice_.state for slice_ in cluster.slices("b")} == {SliceState.PAUSED}
    assert not any(table.meta.page_outstanding for table in cluster.tables)
    assert cluster.batch("b").state is state(cluster) is BatchState.PAUSED
    cluster.tick(after_ms=100_000)
    assert sum(slice_.acted for slice_ in cluster.slices("b")) == acted
    cluster.run(control(RESUME))
    assert cluster.total("b")["done"] == 40
    assert cluster.batch("b").state is state(cluster) is BatchState.COMPLETED


def test_a_batch_may_be_paused_before_it_has_begun() -> None:
    """PAUSED comes before STARTING: no page is done, and cut-offs stand."""
    cluster = begun(partitions=1)
    cluster.run()
    cluster.run(invoke("x"))
    cluster.run(StartBatch("c", Action.KILL, ALL), ControlBatch("c", PAUSE))
    assert (cluster.batch("c").state, cluster.slices("c")[0].acted) == (BatchState.PAUSED, 0)
    cluster.run(invoke("late"), ControlBatch("c", RESUME))
    assert (cluster.row("x").status, cluster.row("late").status) == (Status.KILLED, Status.READY)


def test_a_pause_between_a_page_and_its_successor_loses_no_turn() -> None:
    """The page that was on its way changes nothing, and another batch has its turn."""
    cluster = begun(partitions=1)
    cluster.send(StartBatch("c", Action.KILL, ALL, dry_run=True), control(PAUSE))
    cluster.run()
    assert (state(cluster), cluster.batch("c").state) == (BatchState.PAUSED, BatchState.COMPLETED)
    cluster.send(control(RESUME), control(PAUSE), control(RESUME))
    cluster.run()
    assert state(cluster) is BatchState.COMPLETED


def test_rows_that_wait_go_on_while_a_batch_is_paused() -> None:
    """A pause stops pages; what was asked to end still ends, and is counted."""
    cluster = begun(Action.CANCEL)
    cluster.run(control(PAUSE))
    pending = cluster.total("b")["pending"]
    cluster.tick(after_ms=30_000)
    assert cluster.total("b") == {"matched": pending, "done": pending, "pending": 0, "skipped": 0, "failed": 0}
    assert state(cluster) is BatchState.PAUSED


def test_an_aborted_kill_ends_at_once() -> None:
    """What is done stays done; nothing further is touched."""
    cluster = begun()
    cluster.run(control(ABORT))
    done = cluster.total("b")["done"]
    assert 0 < done < 40
    assert {slice_.state for slice_ in cluster.slices("b")} == {SliceState.ABORTED}
    assert cluster.batch("b").state is state(cluster) is BatchState.ABORTED
    assert cluster.batch("b").error is None
    cluster.run(control(RESUME), control(ABORT), control(SET_RATE, max_rate=5.0))
    assert sum(row.status is Status.KILLED for table in cluster.tables for row in table.rows.values()) == done


def test_an_aborted_cancel_waits_for_what_it_asked() -> None:
    """DRAINING, then ABORTED."""
    cluster = begun(Action.CANCEL)
    cluster.run(control(ABORT))
    pending = cluster.total("b")["pending"]
    assert 0 < pending < 40
    assert cluster.batch("b").state is state(cluster) is BatchState.DRAINING
    asked = [name for table in cluster.tables for name, row in table.rows.items() if row.status is Status.CANCELLING]
    cluster.run(*(ReportTransition(name, 1, to=Status.CANCELLED) for name in asked))
    assert cluster.batch("b").state is state(cluster) is BatchState.ABORTED
    assert cluster.total("b")["done"] == pending


@pytest.mark.parametrize("before", [PAUSE, RESUME])
def test_a_paused_batch_can_be_aborted(before: ControlOperation) -> None:
    """Whether it still is, or goes on again."""
    cluster = begun()
    cluster.send(control(PAUSE), control(before), control(ABORT))
    cluster.run()
    assert cluster.batch("b").state is state(cluster) is BatchState.ABORTED


@pytest.mark.parametrize("limit", [None, 30])
def test_an_abort_ends_slices_that_wait_for_their_share(limit: int | None) -> None:
    """And no share is granted any more; a filter that is not needed any longer is dropped."""
    ids = tuple(f"i{number}" for number in range(40))
    cluster = MemoryCluster(4, PageSizes(10, 1))
    cluster.run(*(invoke(name) for name in ids))
    cluster.send(StartBatch("b", Action.KILL, Filter(invocation_ids=ids), limit=limit))
    until(cluster, lambda: sum(slice_.acted for slice_ in cluster.slices("b")) > 0)
    cluster.run(control(ABORT))
    assert cluster.batch("b").state is state(cluster) is BatchState.ABORTED
    assert {slice_.filter.invocation_ids for slice_ in cluster.slices("b")} == {()}
    told = [command for log in cluster.logs for _, command in log if isinstance(command, ControlSlice)]
    assert {command.operation for command in told} == {SliceOperation.ABORT}


def test_an_abort_leaves_paused_at_once() -> None:
    """The header says so before any slice has heard of it."""
    cluster = begun()
    cluster.run(control(PAUSE))
    lead = next(number for number, table in enumerate(cluster.tables) if "b" in table.batches)
    cluster.send(control(ABORT))
    cluster.step(lead)
    assert cluster.batch("b").state is BatchState.RUNNING


@pytest.mark.parametrize(
    ("aborted", "end", "error"),
    [
        ((False, False), BatchState.COMPLETED, None),
        ((True, False), BatchState.ABORTED, "expired"),
        ((False, True), BatchState.ABORTED, "expired"),
    ],
)
def test_a_batch_is_aborted_if_any_slice_is(aborted: tuple[bool, bool], end: BatchState, error: str | None) -> None:
    """Where all were done before they heard of it, nothing was stopped, and nothing is said of an error."""
    table = MemoryTable(2)
    applied(StartBatch("b", Action.KILL, ALL, max_rate=5.0, expires_at=AT.now + 5), table)
    table.absorb(abort(table.batches["b"], "expired", AT), AT)
    for partition, each in enumerate(aborted):
        report = SliceReport(ENGINE_VERSION, 0, "b", partition, SlicePhase.DRAINED, 7, 3, each)
        assert not of(Append, applied(report, table)), "nothing is handed on to slices that were told to end"
    assert (table.batches["b"].state, table.batches["b"].error) == (end, error)


def test_a_share_that_is_granted_during_a_pause_waits_for_its_end() -> None:
    """The slice stays paused with it, and goes on when it is resumed."""
    table = MemoryTable(1)
    start = StartSlice(
        ENGINE_VERSION, 0, "b", 0, Action.KILL, ALL, False, 0, OnTimeout.KILL, Cause(batch_id="b"), budget=0
    )
    applied(start, table)
    for operation, after in [
        (SliceOperation.PAUSE, SliceState.PAUSED),
        (SliceOperation.RESUME, SliceState.WAITING),
        (SliceOperation.PAUSE, SliceState.PAUSED),
        (SliceOperation.GRANT, SliceState.PAUSED),
        (SliceOperation.RESUME, SliceState.RUNNING),
    ]:
        assert not table.meta.page_outstanding
        applied(ControlSlice(ENGINE_VERSION, 0, "b", operation, 5), table)
        assert table.slices["b"].state is after
    assert table.slices["b"].budget == 5
    assert table.meta.page_outstanding


def test_an_abort_that_finds_all_pages_done_stops_nothing() -> None:
    """The batch has done all that it was to do, and says COMPLETED, whether or not its lead knew already."""
    cluster = begun(Action.CANCEL)
    until(cluster, lambda: {slice_.state for slice_ in cluster.slices("b")} == {SliceState.DRAINING})
    assert cluster.batch("b").state is BatchState.RUNNING
    cluster.run(control(ABORT))
    assert cluster.batch("b").state is BatchState.DRAINING
    cluster.run(control(ABORT))
    cluster.tick(after_ms=30_000)
    assert cluster.batch("b").state is state(cluster) is BatchState.COMPLETED
    assert cluster.total("b")["done"] == 40


@pytest.mark.parametrize("operation", [PAUSE, RESUME, ABORT])
def test_a_batch_that_is_over_is_not_changed(operation: ControlOperation) -> None:
    """COMPLETED, REJECTED and DRAINING alike."""
    cluster = begun()
    cluster.run(StartBatch("rejected", Action.KILL, Filter()), StartBatch("draining", Action.CANCEL, ALL))
    for batch_id in ("b", "rejected", "draining"):
        batch = cluster.batch(batch_id)
        cluster.run(ControlBatch(batch_id, operation))
        assert cluster.batch(batch_id) is batch
    assert cluster.counts["skipped_control"] == 3


@pytest.mark.parametrize(
    ("numbers", "paused"),
    [((3, 4), False), ((3, 3), True), ((3, 2), True), ((3, None), False), ((None, 1), False), ((None, None), False)],
)
def test_a_control_numbered_no_higher_than_the_last_is_ignored(numbers: tuple[int | None, ...], paused: bool) -> None:  # noqa: FBT001
    """Late or repeated, it changes nothing; one without a number always counts."""
    cluster = begun()
    first, second = numbers
    cluster.run(control(PAUSE, first), control(RESUME, second))
    assert (cluster.batch("b").state is BatchState.PAUSED) is paused


def test_a_control_that_changes_nothing_still_counts_by_its_number() -> None:
    """A pause that was sent before a resume and arrives after it is late, though the resume found nothing to do."""
    cluster = begun()
    cluster.run(control(RESUME, 7), control(PAUSE, 6))
    assert cluster.batch("b").state is BatchState.COMPLETED


@pytest.mark.parametrize("operation", [PAUSE, RESUME, ABORT])
def test_a_control_of_an_unknown_batch_is_refused(operation: ControlOperation) -> None:
    """Whoever sent it may have mistyped the id: the dead letter names it."""
    with pytest.raises(CommandRefusedError, match="batch_id b is not a batch") as refused:
        apply(control(operation), AT, MemoryTable(2))
    assert refused.value.code == "unknown_batch"


def test_a_batch_that_expires_is_aborted() -> None:
    """By the first tick at its lead that finds its time come; the error says so."""
    cluster = begun(Action.CANCEL, expires_at=1_000_500)
    cluster.send(control(PAUSE))
    cluster.tick(after_ms=499)
    assert (cluster.batch("b").state, cluster.batch("b").error) == (BatchState.PAUSED, None)
    cluster.tick(after_ms=1)
    batch = cluster.batch("b")
    assert (batch.state, batch.error) == (BatchState.DRAINING, "expired")
    assert cluster.total("b")["pending"] < 40
    cluster.tick(after_ms=30_000)
    batch = cluster.batch("b")
    assert (batch.state, batch.error, state(cluster)) == (BatchState.ABORTED, "expired", BatchState.ABORTED)


def test_a_batch_whose_pages_are_done_never_expires() -> None:
    """It waits for what it asked to end, however long that takes."""
    cluster = begun(Action.CANCEL, expires_at=1_000_500)
    cluster.run()
    cluster.tick(after_ms=600)
    assert (cluster.batch("b").state, cluster.batch("b").error) == (BatchState.DRAINING, None)


def test_a_slice_whose_pages_are_done_is_only_forgotten() -> None:
    """Any other word of its lead came too late; a slice that is not known is counted."""
    cluster = begun(partitions=1)
    cluster.run()
    table = cluster.tables[0]
    for operation in SliceOperation:
        command = ControlSlice(ENGINE_VERSION, 0, "b", operation, 5, 5.0)
        assert applied(command, MemoryTable()) == [UNKNOWN_SLICE]
        if operation is not SliceOperation.FORGET:
            assert applied(command, table) == [SKIPPED_CONTROL]


def test_a_page_of_a_paused_slice_writes_no_progress() -> None:
    """It passes the turn on and is done."""
    cluster = begun(partitions=1)
    table = cluster.tables[0]
    table.absorb(apply(ControlSlice(ENGINE_VERSION, 0, "b", SliceOperation.PAUSE), AT, table), AT)
    effects = apply(ContinueSlice(ENGINE_VERSION, 0, "b", table.meta.page, 9, 9), AT, table)
    assert not [effect for effect in effects if isinstance(effect, PutSlice)]
