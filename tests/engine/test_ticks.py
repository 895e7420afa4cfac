"""`Tick`: how time acts."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from streams.engine.answers import At
from streams.engine.counters import STALE_TICK
from streams.engine.effects import Append, RemoveBatch, RemoveRow, Send, SetTick, UpdateRow
from streams.model import (
    ENGINE_VERSION,
    Act,
    Action,
    BatchState,
    Cause,
    ControlSlice,
    Ending,
    Filter,
    OnTimeout,
    SignalKind,
    StartBatch,
    Status,
    Tick,
)
from streams.protocol.validation import CommandRefusedError
from support.tables.engine_rows import AT, NOW, SEQ, applied, of, row_at, table_with
from support.tables.memory_cluster import BATCH_RETENTION_MS, RETENTION_MS, MemoryCluster, invoke

TICK = Tick(ENGINE_VERSION, 0, 1, NOW, NOW - 1_000, NOW - 5_000, 15_000, 100)


@pytest.mark.parametrize(
    ("status", "attempt", "started_seq"),
    [
        (Status.SCHEDULED, 1, AT.offset),
        (Status.BACKING_OFF, 4, SEQ),
        (Status.READY, 4, SEQ),
        (Status.RUNNING, 4, SEQ),
    ],
)
def test_what_is_due_starts(status: Status, attempt: int, started_seq: int) -> None:
    """A schedule fires, a retry begins, a lost executor is replaced: READY, the next attempt, a START with payload."""
    before = row_at(status, due_at=NOW, attempt=attempt - 1, last_report_no=9, lease_ms=700)
    table = table_with(before)
    effects = applied(TICK, table)
    row = table.rows["a"]
    assert (row.status, row.attempt, row.started_seq, row.last_report_no) == (Status.READY, attempt, started_seq, -1)
    assert (row.due_at, row.modified_at) == (NOW + 700, NOW)
    assert of(Send, effects) == [Send(SignalKind.START, "a", b"encoded a", SEQ, attempt, 0, NOW, b"payload")]


def test_without_a_lease_a_started_row_is_not_due() -> None:
    """Nobody said how long it may be silent."""
    applied(TICK, table := table_with(row_at(Status.SCHEDULED, due_at=NOW)))
    assert table.rows["a"].due_at is None


@pytest.mark.parametrize("due_until", [NOW - 1, NOW + 10])
def test_nothing_acts_before_its_time(due_until: int) -> None:
    """Neither later than the tick asked for, nor than the partition clock."""
    at = At(0, 500, min(NOW, due_until + 20) if due_until < NOW else NOW - 1)
    table = table_with(row_at(Status.SCHEDULED, due_at=NOW))
    assert applied(replace(TICK, due_until=due_until), table, at) == [SetTick(1)]


@pytest.mark.parametrize("fields", [{"held": True}, {"status": Status.PAUSED, "paused_from": Status.READY}])
def test_paused_and_held_rows_are_never_due(fields: dict[str, object]) -> None:
    """They wait for an operator or a batch, not for a time."""
    table = table_with(replace(row_at(Status.READY, due_at=NOW), **fields))
    assert applied(TICK, table) == [SetTick(1)]


def test_an_unanswered_cancel_is_asked_again_and_ends_with_its_grace() -> None:
    """After 5, 15 and 35 seconds, each time with a higher repeat; at the end of its grace the row is killed."""
    cluster = MemoryCluster()
    cluster.run(invoke("a"))
    cluster.run(Act("a", Action.CANCEL, grace_ms=40_000, cause=Cause(reason="why")))
    modified = cluster.row("a").modified_at
    began = cluster.now
    asked: list[int] = []
    for second in range(1, 40):
        cluster.tick(after_ms=1_000)
        asked += [second] * len([1 for _, send in cluster.signals[len(asked) + 2 :]])
    assert asked == [5, 15, 35]
    assert cluster.row("a").modified_at == modified
    cluster.tick(after_ms=1_000)
    repeats = [(send.kind, send.repeat) for _, send in cluster.signals[1:]]
    cancel = SignalKind.CANCEL
    assert repeats == [(cancel, 0), (cancel, 1), (cancel, 2), (cancel, 3), (SignalKind.KILL, 0)]
    assert all(send.cause == Cause(reason="why") for _, send in cluster.signals[1:])
    row = cluster.row("a")
    assert (row.status, row.due_at, row.modified_at) == (Status.KILLED, None, began + 40_000)


def test_a_cancel_that_may_be_left_is_asked_no_more() -> None:
    """LEAVE: it stays CANCELLING, is due never again, and no signal follows."""
    cluster = MemoryCluster()
    cluster.run(invoke("a"), Act("a", Action.CANCEL, grace_ms=0, on_timeout=OnTimeout.LEAVE))
    cluster.tick()
    cluster.tick(after_ms=1_000_000)
    row = cluster.row("a")
    assert (row.status, row.due_at) == (Status.CANCELLING, None)
    assert [send.kind for _, send in cluster.signals] == [SignalKind.START, SignalKind.CANCEL]


@pytest.mark.parametrize("tick_no", [0, 1, 3, -1])
def test_only_the_next_tick_acts(tick_no: int) -> None:
    """Any other number is a no-op without a successor: there is one chain."""
    table = table_with(row_at(Status.SCHEDULED, due_at=NOW))
    table.meta = replace(table.meta, tick_no=1)
    assert applied(replace(TICK, tick_no=tick_no, max_rows=1), table) == [STALE_TICK]


def test_a_tick_takes_a_bounded_bite_and_appends_its_successor() -> None:
    """In order of due time; the next one goes on with the same fields until nothing is left."""
    table = table_with(*(row_at(Status.SCHEDULED, f"i{n}", seq=n, due_at=NOW - n) for n in range(5)))
    bite = replace(TICK, max_rows=2, reconcile_labels={"k": "v"})
    effects = applied(bite, table)
    assert [update.row.invocation_id for update in of(UpdateRow, effects)] == ["i4", "i3"]
    successor = replace(bite, tick_no=2)
    assert of(Append, effects) == [Append(0, "tick/0", successor)]
    applied(successor, table)
    effects = applied(replace(bite, tick_no=3), table)
    assert len(of(UpdateRow, effects)) == 1
    assert not of(Append, effects)
    assert table.meta.tick_no == 3


def test_what_ended_long_ago_is_forgotten() -> None:
    """Terminal rows from before the tick's bound, oldest first, and nothing else, however old."""
    table = table_with(
        row_at(Status.KILLED, "old", seq=1, modified_at=NOW - 1_001),
        row_at(Status.COMPLETED, "older", seq=2, modified_at=NOW - 1_002),
        row_at(Status.COMPLETED, "young", seq=3, modified_at=NOW - 1_000),
        row_at(Status.SUSPENDED, "alive", seq=4, modified_at=0),
    )
    effects = applied(TICK, table)
    assert of(RemoveRow, effects) == [RemoveRow(2, "older"), RemoveRow(1, "old")]
    assert set(table.rows) == {"young", "alive"}


def test_a_worker_whose_clock_is_ahead_forgets_nothing_early() -> None:
    """Ids are remembered by the partition clock: the same start or batch, sent again, is still the same."""
    cluster = MemoryCluster()
    start = StartBatch("b", Action.KILL, Filter(match_all=True))
    cluster.run(invoke("a"), start)
    ahead = 8 * BATCH_RETENTION_MS
    early = cluster.next_tick(0, cluster.tables[0])
    cluster.run(
        replace(
            early,
            due_until=early.due_until + ahead,
            ended_before=early.ended_before + ahead,
            batches_ended_before=early.batches_ended_before + ahead,
        )
    )
    assert cluster.row("a").status is Status.KILLED
    cluster.run(invoke("later"), start)
    assert cluster.row("later").status is Status.READY
    cluster.tick(after_ms=BATCH_RETENTION_MS + RETENTION_MS + 1)
    assert "a" not in cluster.tables[0].rows
    assert not cluster.tables[0].batches


@pytest.mark.parametrize("field", ["ended_before", "batches_ended_before"])
def test_a_tick_that_would_forget_the_future_is_refused(field: str) -> None:
    """No worker writes one, and it would be remembered for less than no time."""
    with pytest.raises(CommandRefusedError) as refused:
        applied(replace(TICK, **{field: TICK.due_until + 1}), table_with())
    assert refused.value.code == f"invalid_{field}"


def test_rows_that_rest_on_old_deltas_are_written_out() -> None:
    """Unchanged but for where they stand, and no row is written back that the same tick has changed or removed."""
    cluster = MemoryCluster()
    cluster.run(*(invoke(name) for name in ("left", "due", "ended")))
    cluster.run(StartBatch("b", Action.CANCEL, Filter(match_all=True), grace_ms=3_600_000, on_timeout=OnTimeout.LEAVE))
    table = cluster.tables[0]
    delta = table.rows["left"].delta
    assert delta is not None
    later = cluster.now + 10 * BATCH_RETENTION_MS
    table.rows["left"] = replace(table.rows["left"], due_at=None)
    table.rows["ended"] = replace(table.rows["ended"], status=Status.CANCELLED, due_at=None)
    before = table.rows["left"]
    tick = replace(TICK, due_until=later, ended_before=later, batches_ended_before=later)
    effects = applied(tick, table, At(0, 900, later))
    assert table.rows["left"] == replace(before, delta=None)
    assert [update.row.invocation_id for update in of(UpdateRow, effects)] == ["due", "left"]
    assert set(table.rows) == {"left", "due"}


def test_a_finished_batch_is_forgotten_everywhere() -> None:
    """The lead forgets it and tells every partition; its id may then be used again."""
    cluster = MemoryCluster(3)
    cluster.run(invoke("a"), StartBatch("b", Action.KILL, Filter(match_all=True)))
    assert cluster.batch("b").state is BatchState.COMPLETED
    cluster.tick(after_ms=BATCH_RETENTION_MS)
    assert len(cluster.slices("b")) == 3
    cluster.tick(after_ms=1)
    assert not cluster.slices("b")
    assert not any(table.batches for table in cluster.tables)
    assert sum(isinstance(command, ControlSlice) for log in cluster.logs for _, command in log) == 3
    cluster.run(StartBatch("b", Action.KILL, Filter(services=("other",))))
    assert cluster.batch("b").state is BatchState.COMPLETED


def test_all_kinds_of_work_share_one_bound() -> None:
    """Due rows first, then what is to be forgotten."""
    cluster = MemoryCluster()
    cluster.run(invoke("k"), StartBatch("b", Action.KILL, Filter(match_all=True)))
    cluster.run(invoke("s", scheduled_at=cluster.now + 1))
    cluster.now += BATCH_RETENTION_MS + RETENTION_MS
    cluster.run(cluster.next_tick(0, cluster.tables[0], max_rows=1))
    table = cluster.tables[0]
    assert set(table.rows) == {"s"}
    assert not table.batches
    ticks = [command for _, command in cluster.logs[0] if isinstance(command, Tick)]
    assert [tick.tick_no for tick in ticks] == [1, 2, 3, 4]


def test_a_forgotten_batch_leaves_no_row_behind_that_counts() -> None:
    """A row that ended by a cancel waits for no batch any longer."""
    table = table_with(row_at(Status.CANCELLING, due_at=NOW, ending=Ending(grace_until=NOW, counted_by="gone")))
    effects = applied(TICK, table)
    assert table.rows["a"].ending == Ending(grace_until=NOW)
    assert not of(RemoveBatch, effects)
