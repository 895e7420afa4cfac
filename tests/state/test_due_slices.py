"""Slices and batches that are due: the table says when, and wakes the worker for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from streams.codec import encode_invocation
from streams.config import Settings
from streams.engine import apply
from streams.engine.answers import At, PageSizes
from streams.engine.effects import Append
from streams.model import Action, ControlBatch, ControlOperation, Filter, Invoke, StartBatch, StartSlice
from streams.state.store import Store
from streams.state.table import Table
from streams.worker.task import MIN_TICK_GAP_MS, PartitionTask
from support.tables.engine_rows import of
from support.tables.memory_cluster import invoke

if TYPE_CHECKING:
    from streams.engine.effects import Effect
    from streams.model import Command

ALL = Filter(match_all=True)
NOW = 1_000_000
DAY_MS = 86_400_000
SETTINGS = Settings(retention_ms=DAY_MS, batch_retention_ms=DAY_MS)


class OneTable:
    """A partition's table with commands applied in turns of one."""

    def __init__(self, path: Path = Path(":memory:")) -> None:
        self.path = path
        self.offset = 0
        self.running: list[str] = []
        self.store = Store.open(path, 0)
        self.table = Table(self.store, 0, 1, PageSizes(10, 10))

    def turn(self, command: Command, *, committed: bool = True) -> list[Effect]:
        """Apply a command in a turn of its own."""
        if isinstance(command, Invoke):
            command = replace(command, encoded=encode_invocation(command.invocation))
        self.offset += 1
        at = At(0, self.offset, NOW)
        self.table.begin()
        effects = apply(command, at, self.table)
        self.table.absorb(effects, at)
        self.table.set_position(self.offset + 1, NOW)
        self.table.flush()
        self.running = list(self.table.running_slices())
        if committed:
            self.table.commit(self.offset, 0)
        else:
            self.table.rollback()
        return effects


def slice_of(effects: list[Effect]) -> StartSlice:
    """The slice that a `StartBatch` has handed out."""
    (command,) = [each for effect in effects if isinstance(each := getattr(effect, "command", None), StartSlice)]
    return command


def waiting(path: Path = Path(":memory:")) -> OneTable:
    """A table on which `b` waits a second for its first row, and expires after two."""
    one = OneTable(path)
    one.turn(invoke("a"))
    one.turn(slice_of(one.turn(StartBatch("b", Action.KILL, ALL, max_rate=1.0, expires_at=NOW + 2_000))))
    return one


def test_a_slice_that_waits_for_its_rate_is_due_and_takes_no_turn() -> None:
    """The table's next time is that of the slice, until that is gone: then the batch's end."""
    one = waiting()
    table = one.table
    assert (table.next_due(), list(table.running_slices())) == (NOW + 1_000, [])
    assert (list(table.due_slices(NOW + 999, 9)), list(table.expiring(NOW + 1_999, 9))) == ([], [])
    assert list(table.due_slices(NOW + 1_000, 9)) == [table.slice("b")]
    assert list(table.expiring(NOW + 2_000, 9)) == [table.batch("b")]
    for each in of(Append, one.turn(ControlBatch("b", ControlOperation.PAUSE))):
        one.turn(each.command)
    assert (table.next_due(), list(table.due_slices(NOW + 5_000, 9))) == (NOW + 2_000, [])
    one.turn(ControlBatch("b", ControlOperation.ABORT))
    assert (table.next_due(), list(table.expiring(NOW + 5_000, 9))) == (None, [])


def test_a_restart_and_a_rollback_keep_what_is_due(tmp_path: Path) -> None:
    """The times are in the records."""
    one = waiting(tmp_path / "t.db")
    one.turn(ControlBatch("b", ControlOperation.ABORT), committed=False)
    assert (one.table.next_due(), len(one.table.expiring(NOW + 2_000, 9))) == (NOW + 1_000, 1)
    one.store.close()
    again = OneTable(tmp_path / "t.db")
    assert (again.table.next_due(), len(again.table.expiring(NOW + 2_000, 9))) == (NOW + 1_000, 1)
    again.store.close()


def test_a_slice_that_is_due_makes_the_worker_write_a_tick() -> None:
    """No sooner than its time, and never two within the gap between ticks."""
    one = waiting()
    task = PartitionTask(0, one.store, one.path)
    task.table = one.table
    assert not task.tick_due(NOW + 999, SETTINGS)
    assert task.tick_due(NOW + 1_000, SETTINGS)
    tick = task.new_tick(NOW + 1_000, SETTINGS, PageSizes(9, 9))
    assert (tick.tick_no, tick.due_until) == (one.table.meta.tick_no + 1, NOW + 1_000)
    assert not task.tick_due(NOW + 60_000, SETTINGS), "one is outstanding"
    task.tick_outstanding = one.table.meta.tick_no
    assert not task.tick_due(NOW + 1_000 + MIN_TICK_GAP_MS - 1, SETTINGS)
    assert task.tick_due(NOW + 1_000 + MIN_TICK_GAP_MS, SETTINGS)


def test_a_rollback_takes_the_first_slice_from_its_turn() -> None:
    """No slice is left, and none has a page to do."""
    one = OneTable()
    one.turn(slice_of(one.turn(StartBatch("b", Action.KILL, ALL))), committed=False)
    assert (one.running, one.table.slices(), list(one.table.running_slices())) == (["b"], (), [])
