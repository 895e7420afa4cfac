"""One turn of the table: what it shows, writes, publishes and takes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.codec import decode, encode_invocation
from streams.engine.answers import At, PageQuery, PageSizes
from streams.engine.effects import InsertRow, PutDelta, RemoveRow, SetPage, SetTick, UpdateRow
from streams.model import (
    ENGINE_VERSION,
    Action,
    Cause,
    Change,
    Ending,
    Filter,
    Invocation,
    Meta,
    PageDelta,
    Payload,
    Row,
    Status,
)
from streams.state.store import Store
from streams.state.table import Table

QUERY = PageQuery(Filter(match_all=True), Action.KILL, -1, 1_000, 10, 10)


def new(seq: int, name: str = "", payload: bytes | None = None, ending: Ending | None = None) -> InsertRow:
    """A running row."""
    invocation = Invocation(name or f"i-{seq}", "mail", "send")
    encoded = encode_invocation(invocation)
    row = Row(invocation.invocation_id, encoded, seq, 0, Status.RUNNING, 1, -1, 0, 0, ending=ending)
    return InsertRow(row, invocation, payload)


def page(batch_id: str, *seqs: int, status: Status = Status.CANCELLING, was: Status = Status.RUNNING) -> PutDelta:
    """A page over these rows; `seqs` as in a change."""
    ending = Ending(Cause(batch_id), counted_by=batch_id)
    return PutDelta(PageDelta(5, ending, (Change(status, seqs=seqs),)), {was: len(seqs)})


def opened(path: Path = Path(":memory:")) -> Table:
    """A table within its first turn."""
    table = Table(Store.open(path, 0), 0, 4, PageSizes(9, 9), commands_topic_id="c", changelog_topic_id="l")
    table.begin()
    return table


def keys(table: Table) -> list[str]:
    """Keys of the turn's changelog, those of tombstones with a minus before them."""
    return [key if value is not None else "-" + key for key, value in table.flush()]


def test_the_changelog_of_a_turn_is_in_the_order_that_replays() -> None:
    """Rows, their payloads, tombstones, then what a page did, then rows written after it; the meta record last."""
    table = opened()
    table.absorb([new(1, payload=b"x"), new(2), new(3, payload=b"y")], At(0, 1, 0))
    assert keys(table) == ["i/i-1", "i/i-2", "i/i-3", "p/i-1", "p/i-3", "m/"]
    table.absorb([RemoveRow(3, "i-3"), new(4)], At(0, 4, 0))
    table.absorb([page("b", 1, 1)], At(0, 5, 0))
    row = table.row("i-2")
    assert row is not None
    assert row.ending == Ending(Cause("b"), counted_by="b")
    table.absorb([UpdateRow(row)], At(0, 6, 0))
    assert keys(table) == ["i/i-4", "-i/i-3", "-p/i-3", "d/5", "i/i-2", "m/"]


def test_a_row_that_changes_often_in_a_turn_is_written_once() -> None:
    """Only where it ends up matters."""
    table = opened()
    first = new(1)
    table.absorb([first, UpdateRow(first.row), UpdateRow(first.row)], At(0, 1, 0))
    assert keys(table) == ["i/i-1", "m/"]
    table.absorb([UpdateRow(first.row), UpdateRow(first.row)], At(0, 2, 0))
    assert keys(table) == ["i/i-1", "m/"]


def test_an_id_that_comes_back_replaces_its_former_row() -> None:
    """No tombstone stands behind the new record; the former payload is removed only where no new one replaces it."""
    table = opened()
    table.absorb([new(1, "x", b"1"), new(2, "y", b"1")], At(0, 2, 0))
    table.flush()
    table.absorb([RemoveRow(1, "x"), new(3, "x"), RemoveRow(2, "y"), new(4, "y", b"2")], At(0, 4, 0))
    written = table.flush()
    assert [(key, value is None) for key, value in written] == [
        ("i/x", False),
        ("i/y", False),
        ("p/y", False),
        ("p/x", True),
        ("m/", False),
    ]
    value = written[2][1]
    assert decode(value) == Payload(b"2")
    assert table.row_total() == 2


def test_what_begins_and_ends_within_a_turn_leaves_no_trace() -> None:
    """A row the store never saw needs no tombstone."""
    table = opened()
    table.absorb([new(1, payload=b"x"), RemoveRow(1, "i-1")], At(0, 1, 0))
    assert keys(table) == ["m/"]
    assert table.row("i-1") is None
    assert table.row_total() == 0


def test_meta_carries_all_that_a_restart_needs(tmp_path: Path) -> None:
    """Place, clock, counts, page and tick, topic ids and the number of partitions are in the table's own record."""
    table = opened(tmp_path / "t.db")
    table.absorb([new(1), new(2), SetPage(3, outstanding=True), SetTick(8)], At(0, 1, 0))
    table.set_position(12, 99)
    _, record = table.flush()[-1]
    expected = Meta(ENGINE_VERSION, 4, 12, 99, "c", "l", {"RUNNING": 2}, 3, True, 8)
    assert decode(record) == table.meta == expected
    table.commit(7, 100)
    table._store.close()
    store = Store.open(tmp_path / "t.db", 0)
    assert store.meta == expected
    assert Table(store, 0, 4, PageSizes(9, 9)).meta == expected
    store.close()


def test_a_rolled_back_turn_is_forgotten_with_the_deltas_it_read() -> None:
    """The same offset may bring another page the next time; nothing of the first one is remembered."""
    table = opened()
    table.absorb([new(1)], At(0, 1, 0))
    table.flush()
    table.commit(1, 1)
    before = table.meta
    for batch_id in ("first", "second"):
        table.begin()
        table.absorb([page(batch_id, 1)], At(0, 2, 0))
        row = table.row("i-1")
        assert row is not None
        assert row.ending is not None
        assert row.ending.cause.batch_id == batch_id
        assert [started.counted_by for started in table.select(QUERY).started] == [batch_id]
        table.flush()
        table.rollback()
        assert table.meta == before
        assert table.last_page is None
        table.begin()
        restored = table.row("i-1")
        table.rollback()
        assert restored == new(1).row


def test_a_page_takes_over_from_a_rows_own_ending() -> None:
    """What the row's record said of its end no longer matters, to filters and counters alike, nor takes room."""
    table = opened()
    table.absorb([new(1, ending=Ending(Cause("old"), counted_by="old"))], At(0, 1, 0))
    assert [row.counted_by for row in table.select(QUERY).started] == ["old"]
    table.absorb([page("b", 1)], At(0, 2, 0))
    assert [row.counted_by for row in table.select(QUERY).started] == ["b"]
    assert table._store.db.execute("SELECT ending, batch_id FROM rows").fetchall() == [(None, None)]
    for batch_id, matched in (("old", 0), ("b", 1)):
        query = PageQuery(Filter(batch_ids=(batch_id,)), Action.KILL, -1, 10, 9, 9)
        assert len(table.select(query).started) == matched


@pytest.mark.parametrize(
    ("effect", "why"),
    [
        (page("b", 1, 1), "lists 2 rows, 1 are there"),
        (UpdateRow(new(9).row), "has no row"),
        (RemoveRow(9, "i-9"), "has no row"),
        (RemoveRow(9, "i-1"), "has no row"),
    ],
)
def test_an_effect_on_rows_that_are_not_there_stops_the_worker(
    effect: PutDelta | UpdateRow | RemoveRow, why: str
) -> None:
    """A table that does not hold what the engine believes is never written."""
    table = opened()
    table.absorb([new(1)], At(0, 1, 0))
    with pytest.raises(AssertionError, match=why):
        table.absorb([effect], At(0, 2, 0))


def test_two_deltas_of_one_command_stop_the_worker() -> None:
    """They would share a key, and the second would hide the first."""
    table = opened()
    table.absorb([new(1), page("b", 1)], At(0, 1, 0))
    with pytest.raises(AssertionError, match="second delta"):
        table.absorb([page("c", 1, was=Status.CANCELLING)], At(0, 1, 0))
