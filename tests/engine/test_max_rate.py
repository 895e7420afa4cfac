"""`max_rate`: how many rows a batch acts on a second, over all partitions, by the log's clock alone."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from streams.engine.answers import PageSizes
from streams.engine.effects import SetPage
from streams.engine.pace import BURST_MS, FASTEST, SLOWEST, at_rate, paced, refilled, room
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
    Slice,
    SliceOperation,
    SliceState,
    StartBatch,
    StartSlice,
    Status,
    Tick,
)
from support.tables.engine_rows import NOW, applied
from support.tables.memory_cluster import MemoryCluster, invoke
from support.tables.memory_table import MemoryTable

pytestmark = pytest.mark.long

ALL = Filter(match_all=True)
TURN_MS = 10
TICK_GAP_MS = 50
"""A worker writes a partition no two ticks closer than this."""


class Paced(MemoryCluster):
    """A cluster whose partitions apply one command a turn, and get their ticks as a worker writes them."""

    def __init__(self, partitions: int = 4) -> None:
        super().__init__(partitions, PageSizes(2_000, 500))
        self.ticked = [0] * partitions

    def turns(self, seconds: float) -> list[int]:
        """Let time pass; how many rows `b` had acted on after each second, and at the start."""
        acted = [self.acted()]
        for turn in range(1, round(seconds * 1_000 / TURN_MS) + 1):
            self.now += TURN_MS
            for partition in self.waiting():
                self.step(partition)
            for partition in range(self.partitions):
                self._write_tick(partition)
            if turn * TURN_MS % 1_000 == 0:
                acted.append(self.acted())
        return acted

    def acted(self) -> int:
        """Rows that `b` has acted on."""
        return sum(slice_.acted for slice_ in self.slices("b"))

    def _write_tick(self, partition: int) -> None:
        table, log = self.tables[partition], self.logs[partition]
        outstanding = any(isinstance(command, Tick) for _, command in log[self.applied[partition] :])
        due = table.due_slices(self.now, 1)
        if due and not outstanding and self.now - self.ticked[partition] >= TICK_GAP_MS:
            self.ticked[partition] = self.now
            self.send(self.next_tick(partition, table))


def started(max_rate: float, rows: int, **fields: Any) -> Paced:
    """A kill of that number of rows that has just begun."""
    cluster = Paced()
    cluster.run(*(invoke(f"i{number}") for number in range(rows)))
    cluster.send(StartBatch("b", Action.KILL, ALL, max_rate=max_rate, **fields))
    return cluster


@pytest.mark.parametrize("max_rate", [2.0, 30.0, 400.0])
def test_the_rate_is_kept_over_any_ten_seconds(max_rate: float) -> None:
    """Within a tenth, from the first second to the last, though a page waits for its tick and its turn."""
    seconds = 20
    cluster = started(max_rate, round(max_rate * (seconds + 2)))
    acted = cluster.turns(seconds)
    for begin in range(seconds - 10 + 1):
        assert acted[begin + 10] - acted[begin] == pytest.approx(10 * max_rate, rel=0.1), f"from second {begin}"


def test_the_rate_goes_to_the_slices_that_have_work() -> None:
    """Where three partitions out of four find nothing, the fourth gets what they would have had."""
    cluster = Paced()
    cluster.run(*(invoke(f"hot~{number}") for number in range(1_300)))
    cluster.send(StartBatch("b", Action.KILL, ALL, max_rate=100.0))
    assert cluster.turns(12)[-1] == pytest.approx(1_200, rel=0.1)
    cluster.turns(2)
    assert cluster.batch("b").state is BatchState.COMPLETED
    assert cluster.acted() == 1_300


@pytest.mark.parametrize(("before", "after"), [(20.0, 400.0), (400.0, 20.0), (None, 20.0)])
def test_a_new_rate_holds_within_a_second(before: float | None, after: float) -> None:
    """Faster, slower, or of a batch that had none."""
    cluster = Paced()
    cluster.run(*(invoke(f"i{number}") for number in range(3_000)))
    for table in cluster.tables:
        table.page_sizes = PageSizes(100, 5)
    cluster.send(StartBatch("b", Action.KILL, ALL, max_rate=before))
    cluster.turns(1)
    cluster.send(ControlBatch("b", ControlOperation.SET_RATE, max_rate=after))
    acted = cluster.turns(5)
    assert [later - earlier for earlier, later in pairwise(acted[1:])] == pytest.approx([after] * 4, rel=0.2)
    assert cluster.batch("b").max_rate == after


def test_a_slow_batch_does_not_hold_up_another() -> None:
    """While it waits for its time, the turn is the other's."""
    cluster = started(1.0, 400)
    cluster.turns(1)
    cluster.send(StartBatch("fast", Action.KILL, Filter(services=("mail",))))
    cluster.turns(0.5)
    assert cluster.batch("fast").state is BatchState.COMPLETED


def test_a_slice_that_waits_has_no_page_outstanding() -> None:
    """Nothing is written until its tick, which gives it its page; other slices' pages it leaves alone."""
    cluster = MemoryCluster(1)
    cluster.run(*(invoke(f"i{number}") for number in range(3)), StartBatch("b", Action.KILL, ALL, max_rate=1.0))
    table = cluster.tables[0]
    assert (table.slices["b"].due_at, table.meta.page_outstanding) == (cluster.now + 1_000, False)
    cluster.tick(after_ms=999)
    assert table.meta.page == 0
    cluster.tick(after_ms=1)
    assert (table.slices["b"].acted, table.slices["b"].due_at) == (1, cluster.now + 1_000)
    cluster.send(StartBatch("c", Action.KILL, ALL, dry_run=True))
    cluster.step(0)
    cluster.now += 1_000
    cluster.send(cluster.next_tick(0, table))
    cluster.run()
    pages = [command.batch_id for _, command in cluster.logs[0] if isinstance(command, ContinueSlice)]
    assert pages == ["b", "c", "b"]
    assert table.slices["b"].acted == 2
    assert cluster.counts["stale_page"] == 0


def test_ticks_wake_slices_within_their_bound() -> None:
    """A slice counts as one piece of work; the rest is its successor's."""
    cluster = MemoryCluster(1)
    cluster.run(invoke("a"), *(StartBatch(name, Action.KILL, ALL, dry_run=True, max_rate=1.0) for name in "xyz"))
    cluster.tick(after_ms=1_000, max_rows=1)
    ticks = [command for _, command in cluster.logs[0] if isinstance(command, Tick)]
    assert len(ticks) == 4
    assert {slice_.state for table in cluster.tables for slice_ in table.slices.values()} == {SliceState.COMPLETED}


def test_what_is_due_first_is_done_first() -> None:
    """Rows and slices alike, in order of their time, and no more than a tick may do."""
    cluster = MemoryCluster(1)
    cluster.run(invoke("a", scheduled_at=cluster.now + 1_500), StartBatch("b", Action.KILL, ALL, max_rate=1.0))
    cluster.now += 2_000
    cluster.send(cluster.next_tick(0, cluster.tables[0], max_rows=1))
    cluster.step(0)
    assert (cluster.slices("b")[0].due_at, cluster.row("a").status) == (None, Status.SCHEDULED)
    cluster.run()
    assert cluster.row("a").status is Status.KILLED
    assert cluster.signals == []


def test_a_page_on_its_way_when_the_rate_is_lowered_does_nothing() -> None:
    """Its slice waits for its time first; the turn is passed on."""
    table = MemoryTable(1)
    applied(
        StartSlice(ENGINE_VERSION, 0, "b", 0, Action.KILL, ALL, False, 0, OnTimeout.KILL, Cause(batch_id="b")), table
    )
    assert table.meta.page_outstanding
    applied(ControlSlice(ENGINE_VERSION, 0, "b", SliceOperation.SET_RATE, max_rate=2.0), table)
    assert table.slices["b"].due_at == NOW + 500
    assert applied(ContinueSlice(ENGINE_VERSION, 0, "b", 1, 10, 10), table) == [SetPage(1, False)]


@pytest.mark.parametrize("max_rate", [1.0, 50.0])
def test_a_pause_earns_nothing(max_rate: float) -> None:
    """What a slice had when it was paused is what it has when it goes on."""
    cluster = Paced(1)
    cluster.run(*(invoke(f"i{number}") for number in range(99)), StartBatch("b", Action.KILL, ALL, max_rate=max_rate))
    wait = (cluster.slices("b")[0].due_at or 0) - cluster.now
    cluster.run(ControlBatch("b", ControlOperation.PAUSE))
    cluster.now += 10_000
    cluster.run(ControlBatch("b", ControlOperation.RESUME))
    assert (cluster.slices("b")[0].due_at, cluster.acted()) == (cluster.now + wait, 0)


def test_a_stall_does_not_end_in_a_burst() -> None:
    """After a minute without a worker the next ten seconds still hold the rate."""
    cluster = started(50.0, 2_000)
    cluster.turns(2)
    cluster.now += 60_000
    before = cluster.acted()
    assert cluster.turns(10)[-1] - before <= 50 * 10 * 1.1


def test_rows_that_need_nothing_cost_no_rate() -> None:
    """Only rows that were acted on count."""
    cluster = MemoryCluster(1)
    cluster.run(*(invoke(f"i{number}") for number in range(50)), StartBatch("first", Action.CANCEL, ALL))
    cluster.run(StartBatch("b", Action.CANCEL, ALL, max_rate=1.0))
    cluster.tick(after_ms=1_000)
    assert cluster.total("b") == {"matched": 50, "done": 0, "pending": 0, "skipped": 50, "failed": 0}


def test_the_lead_divides_the_rate_again_when_a_slice_has_no_pages_left() -> None:
    """A quarter each, then a third, then half, then all."""
    cluster = MemoryCluster(4)
    cluster.run(StartBatch("b", Action.KILL, ALL, max_rate=12.0))
    told = []
    for _ in range(40):
        cluster.tick(after_ms=100)
        told = [
            command.max_rate
            for log in cluster.logs
            for _, command in log
            if isinstance(command, ControlSlice) and command.operation is SliceOperation.SET_RATE
        ]
    assert set(told) == {4.0, 6.0, 12.0}
    assert cluster.batch("b").state is BatchState.COMPLETED


@pytest.mark.parametrize(("max_rate", "share"), [(5e-324, SLOWEST), (1.7e308, FASTEST)])
def test_no_rate_is_too_slow_or_too_fast(max_rate: float, share: float) -> None:
    """Any number above 0 is a rate; the share of a slice has bounds, so that waiting for a row ends in a time."""
    cluster = MemoryCluster(4)
    cluster.run(*(invoke(f"i{number}") for number in range(8)), StartBatch("b", Action.KILL, ALL, max_rate=max_rate))
    assert {slice_.max_rate for slice_ in cluster.slices("b")} == {share}
    cluster.tick(after_ms=100)
    assert (cluster.batch("b").state is BatchState.COMPLETED) == (share == FASTEST)


rates = st.floats(SLOWEST, FASTEST)


@given(rates, st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 10**9)), max_size=20))
def test_a_slice_never_gets_more_than_its_rate_and_one_burst(max_rate: float, steps: list[tuple[int, int]]) -> None:
    """Whatever the rate, however late its pages; its next time lies ahead and is a time, and then there is room."""
    slice_ = at_rate(_running(), max_rate, 0.5, now=0)
    now, acted = 0, 0
    for passed, wanted in steps:
        now += passed
        slice_ = paced(refilled(slice_, now), now)
        if slice_.due_at is None:
            taken = room(slice_, wanted)
            assert taken >= min(1, wanted)
            acted += taken
            slice_ = replace(slice_, tokens=slice_.tokens - taken)
        else:
            assert now < slice_.due_at < 2**62
            ready = refilled(slice_, slice_.due_at)
            assert room(ready, 10**9) >= 1
    assert acted <= (max_rate * (now + BURST_MS) / 1_000 + 1) * (1 + 1e-9)


def _running() -> Slice:
    cluster = MemoryCluster(1)
    cluster.send(StartBatch("b", Action.KILL, ALL))
    cluster.step(0)
    cluster.step(0)
    return cluster.tables[0].slices["b"]
