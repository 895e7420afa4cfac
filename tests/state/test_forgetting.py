"""Old rows are found in order, however many pages ended it."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.codec import encode_invocation
from streams.engine.answers import At, PageSizes
from streams.engine.effects import InsertRow, PutBatch, PutDelta, RemoveRow, UpdateRow
from streams.model import (
    Action,
    Batch,
    BatchState,
    Cause,
    Change,
    Ending,
    Filter,
    Invocation,
    PageDelta,
    Row,
    StartBatch,
    Status,
)
from streams.state.store import Store
from streams.state.table import Table

ROWS = 100


def row(seq: int, status: Status = Status.RUNNING, modified_at: int = 0) -> InsertRow:
    """A new row."""
    invocation = Invocation(f"i-{seq}", "mail", "send")
    encoded = encode_invocation(invocation)
    return InsertRow(Row(invocation.invocation_id, encoded, seq, 0, status, 1, -1, 0, modified_at), invocation)


def ended(modified_at: int, *seqs: int) -> PutDelta:
    """A page that killed running rows; `seqs` as in a change."""
    change = Change(Status.KILLED, seqs=seqs)
    return PutDelta(PageDelta(modified_at, Ending(Cause("b")), (change,)), {Status.RUNNING: len(seqs)})


@pytest.fixture
def table() -> Table:
    """A table within a turn, with running rows."""
    table = Table(Store.open(Path(":memory:"), 0), 0, 1, PageSizes(9, 9))
    table.begin()
    table.absorb([row(seq) for seq in range(ROWS)], At(0, ROWS, 0))
    return table


def test_rows_of_many_pages_are_found_in_order_of_their_end(table: Table) -> None:
    """Pages and single ends mix; among those of one time the lower seq comes first."""
    for n in range(40):
        table.absorb([ended(10 + n // 20, n, 40)], At(0, 200 + n, 0))
    table.absorb([row(300, Status.FAILED, 10), row(301, Status.COMPLETED, 9)], At(0, 301, 0))
    expected = [301, *range(20), *range(40, 60), 300, *range(20, 40), *range(60, 80)]
    for limit in (1, 2, 21, 25, 41, 42, 43, 1000):
        assert [seq for seq, _ in table.ended(12, limit)] == expected[:limit]
    assert [seq for seq, _ in table.ended(11, 1000)] == expected[:42]
    assert table.ended(9, 1000) == []


def test_rows_on_old_deltas_are_found_oldest_delta_first(table: Table) -> None:
    """As many as asked for, from as many deltas as it takes."""
    for n in range(40):
        table.absorb([ended(10 + n // 20, 2 * n, 1)], At(0, 200 + n, 0))
    for limit in (1, 3, 35, 1000):
        assert [row.seq for row, _ in table.on_old_deltas(12, limit)] == list(range(80))[:limit]
    assert [row.delta for row, _ in table.on_old_deltas(11, 3)] == [200, 200, 201]
    assert table.on_old_deltas(10, 3) == []


def test_a_deserted_delta_gets_its_tombstone(table: Table) -> None:
    """With the last row written out or removed, the delta goes; not before."""
    table.absorb([ended(10, 0, 1, 1)], At(0, 200, 0))
    table.flush()
    first, second, third = (row for row, _ in table.on_old_deltas(11, 9))
    table.absorb([UpdateRow(first), RemoveRow(second.seq, second.invocation_id)], At(0, 201, 0))
    assert [key for key, _ in table.flush()] == ["i/i-0", "i/i-1", "m/"]
    table.absorb([UpdateRow(third)], At(0, 202, 0))
    assert [key for key, _ in table.flush()] == ["i/i-2", "d/200", "m/"]
    assert table.on_old_deltas(11, 9) == []
    assert table.row("i-2") == table.row("i-2")


def test_nothing_is_to_be_forgotten_before_its_time(table: Table) -> None:
    """Asked before each Tick, answered without reading a row."""
    assert not table.retention_due(11, 11)
    table.absorb([ended(10, 0)], At(0, 200, 0))
    assert not table.retention_due(10, 10)
    assert table.retention_due(11, 10)
    assert table.retention_due(10, 11)


def test_a_row_ended_by_itself_and_a_finished_batch_are_to_be_forgotten(table: Table) -> None:
    """Retention looks at both."""
    assert not table.retention_due(6, 6)
    batch = Batch(StartBatch("b", Action.KILL, Filter()), 1, None, BatchState.COMPLETED, None, (), (), 1, 5, 5)
    table.absorb([PutBatch(batch)], At(0, 200, 0))
    assert table.retention_due(0, 6)
    assert not table.retention_due(0, 5)
    table.absorb([row(300, Status.FAILED, 5)], At(0, 301, 0))
    table.flush()
    assert table.retention_due(6, 0)
    assert not table.retention_due(5, 0)


def test_only_what_waits_for_its_time_is_next(table: Table) -> None:
    """Paused and held rows are never due."""
    assert table.next_due() is None
    for seq, due_at, changes in (
        (300, 5, {"status": Status.PAUSED}),
        (301, 6, {"held": True}),
        (302, 8, {}),
        (303, 7, {}),
    ):
        inserted = row(seq)
        fields = {name: getattr(inserted.row, name) for name in inserted.row.__struct_fields__}
        new = Row(**(fields | {"due_at": due_at} | changes))
        table.absorb([InsertRow(new, inserted.invocation)], At(0, seq, 0))
    table.flush()
    assert table.next_due() == 7
    assert [row.seq for row, _ in table.due(8, 9)] == [303, 302]
    assert [row.seq for row, _ in table.due(8, 1)] == [303]
    table.rollback()
    assert table.next_due() is None


def test_a_page_is_forgotten_in_parts_and_what_a_rollback_brings_back_is_found_again(table: Table) -> None:
    """Rows that are gone are not looked at again, unless the turn in which they went was undone."""
    table.absorb([ended(10, 0, *(1,) * 59)], At(0, 200, 0))
    table.flush()
    table.commit(1, 1)
    looked_up: list[str] = []
    for last, again in ((20, True), (20, False), (40, False)):
        table.begin()
        gone = table.ended(11, 20)
        assert [seq for seq, _ in gone] == list(range(last - 20, last))
        table.absorb([RemoveRow(*each) for each in gone], At(0, 200 + last, 0))
        table.flush()
        if again:
            table.rollback()
        else:
            table.commit(last, 1)
    table.begin()
    table._db.set_trace_callback(looked_up.append)
    assert [seq for seq, _ in table.ended(11, 5)] == list(range(40, 45))
    table._db.set_trace_callback(None)
    assert not any("[0," in each or "[1," in each for each in looked_up)
    table.absorb([UpdateRow(each) for each, _ in table.on_old_deltas(11, 30)], At(0, 300, 0))
    table.flush()
    assert [seq for seq, _ in table.ended(11, 30)] == list(range(40, 60)), "on records of their own now"
