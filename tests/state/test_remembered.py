"""Batches that are over: remembered, answered for, counted, and no burden to those that run."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from msgspec.structs import replace

from bench.lib.counting import counted_steps
from streams.engine.answers import At, PageSizes
from streams.engine.effects import PutBatch, PutSlice, RemoveBatch, RemoveSlice
from streams.model import Action, Batch, BatchState, Filter, Slice, SliceState, StartBatch
from streams.state.store import Store
from streams.state.table import Table
from support.tables.memory_cluster import MemoryCluster

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.long

AT = At(0, 9, 9)
MANY = 2_000
KEYS = tuple(f"key-{n}" for n in range(10_000))


class Known(NamedTuple):
    """A batch as its lead has it, and its slice."""

    batch: Batch
    slice: Slice

    def put(self, number: int) -> tuple[PutBatch, PutSlice]:
        """The effects that make it known under another id; older with a lower number."""
        start = replace(self.batch.start, batch_id=f"b-{number}")
        batch = replace(self.batch, start=start, updated_at=number)
        return PutBatch(batch), PutSlice(replace(self.slice, batch_id=f"b-{number}", updated_at=number))


def known(*, over: bool, filter_: Filter) -> Known:
    """A batch of which one page is done, or all."""
    cluster = MemoryCluster(1)
    cluster.send(StartBatch("b", Action.KILL, filter_))
    for _ in range(2):
        cluster.step(0)
    if over:
        cluster.run()
    return Known(cluster.tables[0].batches["b"], cluster.tables[0].slices["b"])


OVER = known(over=True, filter_=Filter(services=("mail",), object_keys=KEYS))
THIN = known(over=True, filter_=Filter(services=("mail",)))
RUNS = known(over=False, filter_=Filter(services=("mail",)))


def table_with(remembered: int, path: Path = Path(":memory:")) -> Table:
    """A table that remembers `remembered` batches and runs one."""
    table = Table(Store.open(path, 0), 0, 1, PageSizes(9, 9))
    table.begin()
    for number in range(remembered):
        table.absorb(OVER.put(number) if number < 20 else THIN.put(number), AT)
    table.absorb(RUNS.put(-1), AT)
    end_turn(table)
    return table


def end_turn(table: Table) -> None:
    """Write and commit it."""
    table.flush()
    table.commit(1, 1)


def page(table: Table) -> None:
    """What a turn with a page asks and changes."""
    table.begin()
    table.running_slices()
    table.guarding()
    table.absorb([PutSlice(replace(RUNS.slice, batch_id="b--1", scanned=5))], AT)
    table.running_slices()
    end_turn(table)


def tick(table: Table) -> None:
    """What time asks when there is nothing to forget."""
    table.next_due()
    table.retention_due(-1, -1)
    assert not table.finished_batches(-1, 100)
    assert not table.due_slices(5, 100)
    assert not table.expiring(5, 100)


def abort(table: Table) -> None:
    """A turn that came to nothing."""
    table.begin()
    table.rollback()


def takeover(table: Table) -> None:
    """Its file is found intact."""
    Table(table._store, 0, 1, PageSizes(9, 9))


def steps_of(table: Table, work: Callable[[Table], None]) -> int:
    """Number of instructions that SQLite runs for it."""
    with counted_steps(table._db) as steps:
        work(table)
    return steps()


@pytest.mark.parametrize("work", [page, tick, abort, takeover])
def test_what_is_over_costs_nothing(work: Callable[[Table], None]) -> None:
    """SQLite takes as many steps, and Python as many blocks, beside thousands of batches that are over."""
    few, many = table_with(3), table_with(MANY)
    for table in (few, many):
        work(table)
    assert steps_of(few, work) == pytest.approx(steps_of(many, work), rel=0.05)
    used = []
    for table in (few, many):
        gc.collect()
        before = sys.getallocatedblocks()
        work(table)
        used.append(sys.getallocatedblocks() - before)
    assert abs(used[0] - used[1]) < 300


def test_what_is_over_takes_no_memory() -> None:
    """Nothing of it is kept: neither records nor the lists of their filters."""
    table_with(MANY)
    gc.collect()
    before = sys.getallocatedblocks()
    table = table_with(MANY)
    gc.collect()
    # A batch and its slice take about 40.
    assert sys.getallocatedblocks() - before < 5 * MANY
    assert [batch.start.batch_id for batch in table.batches()] == ["b--1"]
    assert [slice_.batch_id for slice_ in table.slices()] == ["b--1"]


def test_what_is_over_is_answered_for_and_forgotten_in_order() -> None:
    """Its record is found as before, in the turn in which it ended and later, and it is forgotten oldest first."""
    table = table_with(30)
    assert table.batch("b-7") == OVER.put(7)[0].batch
    assert table.slice("b-7") == OVER.put(7)[1].slice
    assert table.batch("never") is None
    assert table.slice("never") is None
    assert list(table.finished_batches(25, 3)) == ["b-0", "b-1", "b-2"]
    table.begin()
    late = THIN.put(1)[0].batch
    table.absorb([RemoveBatch("b-0"), RemoveSlice("b-0"), PutBatch(replace(late, updated_at=24))], AT)
    assert (table.batch("b-0"), table.slice("b-0")) == (None, None)
    assert list(table.finished_batches(25, 3)) == ["b-2", "b-3", "b-4"]
    assert list(table.finished_batches(25, 30))[-2:] == ["b-1", "b-24"]
    assert table.over().batches[BatchState.COMPLETED]["number"] == 30
    end_turn(table)
    assert table.batch("b-0") is None
    assert list(table.finished_batches(25, 30))[-2:] == ["b-1", "b-24"]
    assert table.over().batches[BatchState.COMPLETED]["number"] == 29


def test_the_running_count_is_that_of_the_records(tmp_path: Path) -> None:
    """Through turns that are kept, given up and taken up again, and a restore of the same records."""
    table = table_with(9, tmp_path / "table.sqlite3")
    table.begin()
    table.absorb([PutSlice(replace(THIN.put(2)[1].slice, matched=5, done=4, skipped=1))], AT)
    changelog = [(key, value, 0) for key, value in table.flush()]
    counted = table.over()
    assert counted.slices[SliceState.COMPLETED] == Counter(number=9, matched=5, done=4, skipped=1)
    table.commit(1, 1)
    table.begin()
    table.absorb([RemoveSlice("b-2"), RemoveSlice("b-3")], AT)
    table.flush()
    assert table.over().slices[SliceState.COMPLETED]["number"] == 7
    table.rollback()
    assert table.over() == counted
    store = table._store
    store.begin()
    store.apply_changelog(changelog)
    store.apply_changelog(changelog)
    assert Table(store, 0, 1, PageSizes(9, 9)).over() == counted
    store.close()
