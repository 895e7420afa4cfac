"""`limit`: exactly that number of rows is acted on, over all partitions."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.codec import encode
from streams.engine.answers import PageSizes
from streams.model import (
    ENGINE_VERSION,
    Act,
    Action,
    BatchState,
    ContinueSlice,
    ControlBatch,
    ControlOperation,
    ControlSlice,
    Filter,
    ReportTransition,
    SliceOperation,
    SlicePhase,
    SliceReport,
    SliceState,
    StartBatch,
    Status,
)
from streams.protocol.validation import MAX_LONG
from support.effort import examples
from support.tables.engine_rows import applied
from support.tables.memory_cluster import MemoryCluster, invoke
from support.tables.memory_table import MemoryTable

ALL = Filter(match_all=True)
SIZES = PageSizes(100, 7)


def with_rows(partitions: int, rows: int, sizes: PageSizes = SIZES) -> MemoryCluster:
    """A cluster with that number of started rows."""
    cluster = MemoryCluster(partitions, sizes)
    cluster.run(*(invoke(f"i{number}") for number in range(rows)))
    return cluster


def statuses(cluster: MemoryCluster) -> Counter[Status]:
    """How many rows stand where."""
    return Counter(row.status for table in cluster.tables for row in table.rows.values())


@pytest.mark.parametrize("limit", [1, 12, 100, 123, 199, 200, 201, 10_000])
@pytest.mark.parametrize("action", [Action.KILL, Action.CANCEL])
def test_a_batch_ends_exactly_its_limit(limit: int, action: Action) -> None:
    """Over five partitions, whatever the pages; fewer only when there are fewer."""
    cluster = with_rows(5, 200)
    cluster.run(StartBatch("b", action, ALL, limit=limit))
    acted = min(limit, 200)
    assert statuses(cluster)[Status.READY] == 200 - acted
    assert sum(slice_.acted for slice_ in cluster.slices("b")) == acted
    cluster.tick(after_ms=30_000)
    assert cluster.total("b") == {"matched": acted, "done": acted, "pending": 0, "skipped": 0, "failed": 0}
    assert cluster.batch("b").state is BatchState.COMPLETED


def test_all_slices_take_their_cut_off_at_once() -> None:
    """They wait for their share, but what is invoked meanwhile is behind the cut-off of each."""
    cluster = with_rows(3, 30, PageSizes(10, 1))
    cluster.send(StartBatch("b", Action.KILL, ALL, limit=25))
    while len(cluster.slices("b")) < 3:
        for partition in cluster.waiting():
            cluster.step(partition)
    states = sorted(slice_.state for slice_ in cluster.slices("b"))
    assert states == [SliceState.RUNNING, SliceState.WAITING, SliceState.WAITING]
    cluster.run(*(invoke(f"late{number}") for number in range(30)))
    assert statuses(cluster) == {Status.KILLED: 25, Status.READY: 35}
    assert all(cluster.row(f"late{number}").status is Status.READY for number in range(30))


def test_slices_act_one_after_the_other() -> None:
    """No page of a slice comes before the slice that held the budget has done its last."""
    cluster = with_rows(4, 80)
    cluster.run(StartBatch("b", Action.KILL, ALL, limit=75))
    grants = [
        (command.partition, command.budget)
        for log in cluster.logs
        for _, command in log
        if isinstance(command, ControlSlice) and command.operation is SliceOperation.GRANT
    ]
    budgets = [slice_.budget or 0 for slice_ in cluster.slices("b")]
    left = 75 - cluster.slices("b")[0].acted
    for partition, budget in sorted(grants):
        assert budget == left == budgets[partition]
        left -= cluster.slices("b")[partition].acted
    assert len(grants) == 3


def test_a_used_up_limit_ends_the_other_slices_without_pages() -> None:
    """They are told so once, and are over."""
    cluster = with_rows(6, 120)
    cluster.run(StartBatch("b", Action.KILL, ALL, limit=3))
    pages = [command for log in cluster.logs for _, command in log if isinstance(command, ContinueSlice)]
    assert {page.partition for page in pages} == {0}
    told = [command for log in cluster.logs for _, command in log if isinstance(command, ControlSlice)]
    assert sorted((command.partition, command.budget) for command in told) == [(each, 0) for each in range(1, 6)]
    assert {slice_.state for slice_ in cluster.slices("b")} == {SliceState.COMPLETED}
    assert cluster.batch("b").state is BatchState.COMPLETED


def test_skipped_rows_do_not_use_the_limit() -> None:
    """What was being cancelled already is no row acted on, and neither is one that is skipped later."""
    cluster = with_rows(2, 40)
    cluster.run(*(Act(f"i{number}", Action.CANCEL) for number in range(0, 40, 2)))
    cluster.run(StartBatch("b", Action.CANCEL, ALL, limit=15))
    total = cluster.total("b")
    assert (total["pending"], sum(slice_.acted for slice_ in cluster.slices("b"))) == (15, 15)
    assert total["skipped"] > 0
    own = [f"i{n}" for n in range(1, 40, 2) if cluster.row(f"i{n}").status is Status.CANCELLING]
    cluster.run(*(ReportTransition(name, 1, to=Status.COMPLETED) for name in own))
    assert cluster.total("b")["skipped"] == total["skipped"] + 15
    assert cluster.batch("b").state is BatchState.COMPLETED


def test_a_dry_run_counts_up_to_the_limit() -> None:
    """It stops where the batch would, and touches nothing."""
    cluster = with_rows(3, 60)
    cluster.run(StartBatch("b", Action.CANCEL, ALL, dry_run=True, limit=33))
    assert cluster.total("b") == {"matched": 33, "done": 33, "pending": 0, "skipped": 0, "failed": 0}
    assert statuses(cluster) == {Status.READY: 60}


@pytest.mark.parametrize("limit", [1, 4, 9])
def test_a_limit_holds_over_a_filter_by_ids(limit: int) -> None:
    """Also where one of many ids matches, and without a page for each id."""
    cluster = with_rows(2, 30, PageSizes(100, 100))
    ids = (*(f"nobody{number}" for number in range(400)), *(f"i{number}" for number in range(30)))
    cluster.run(StartBatch("b", Action.KILL, Filter(invocation_ids=ids), limit=limit))
    assert statuses(cluster)[Status.KILLED] == limit
    pages = [command for log in cluster.logs for _, command in log if isinstance(command, ContinueSlice)]
    assert len(pages) < 20


@settings(max_examples=examples(80), deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 4),
    st.builds(PageSizes, st.integers(1, 9), st.integers(1, 9), st.just(0), st.sampled_from([0, 1, 300])),
    st.lists(st.sampled_from([ControlOperation.PAUSE, ControlOperation.RESUME]) | st.integers(0, 9), max_size=30),
    st.none() | st.sampled_from([5.0, 200.0]),
)
def test_a_limit_is_always_exact(
    limit: int, partitions: int, sizes: PageSizes, moves: list[ControlOperation | int], max_rate: float | None
) -> None:
    """However partitions are interleaved, and however often the batch is paused, at whatever rate."""
    cluster = with_rows(partitions, 30, sizes)
    cluster.send(StartBatch("b", Action.KILL, ALL, limit=limit, max_rate=max_rate))
    for move in moves:
        if isinstance(move, int):
            cluster.now += 100
            waiting = cluster.waiting()
            for _ in range(move if waiting else 0):
                cluster.step(waiting[move % len(waiting)])
                if not (waiting := cluster.waiting()):
                    break
        else:
            cluster.send(ControlBatch("b", move))
    cluster.run(ControlBatch("b", ControlOperation.RESUME))
    while any(slice_.due_at is not None for slice_ in cluster.slices("b")):
        cluster.tick(after_ms=500)
    assert statuses(cluster)[Status.KILLED] == min(limit, 30)
    assert cluster.batch("b").state is BatchState.COMPLETED


def test_numbers_beyond_all_bounds_add_up_to_one_that_a_record_can_say() -> None:
    """Forged reports and grants, and what is left of the highest limit."""
    table = MemoryTable(2)
    applied(StartBatch("b", Action.KILL, ALL, limit=MAX_LONG), table)
    for partition in (0, 1):
        applied(SliceReport(ENGINE_VERSION, 0, "b", partition, SlicePhase.DRAINED, 5, MAX_LONG), table)
    assert encode(table.batches["b"])
    assert table.batches["b"].acted == MAX_LONG
    cluster = with_rows(1, 5, PageSizes(10, 2))
    cluster.send(StartBatch("b", Action.KILL, ALL, limit=3))
    while not (slices := cluster.slices("b")) or slices[0].acted < 2:
        cluster.step(0)
    applied(ControlSlice(ENGINE_VERSION, 0, "b", SliceOperation.GRANT, budget=MAX_LONG), cluster.tables[0])
    assert encode(cluster.slices("b")[0])
    assert cluster.slices("b")[0].budget == MAX_LONG
