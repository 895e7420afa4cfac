"""What invocations have in common is kept once, and nothing else tells them from others."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from streams.codec import encode_invocation
from streams.engine.answers import At, PageQuery, PageSizes
from streams.engine.effects import InsertRow, RemoveRow
from streams.model import Action, Exclusion, Filter, Invocation, Row, Status
from streams.state import shared
from streams.state.listing import Listing
from streams.state.store import Store
from streams.state.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAIL = Invocation("", "mail", "send", deployment_id="d", labels={"tenant": "acme", "region": "eu"})
BILL = Invocation("", "bill", "charge", labels={"tenant": "globex"})

MANY = {f"k{n}": "" for n in range(40)}
"""More labels than are tried on each part once."""


class Rows:
    """A table, and rows of it with rising seqs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = Store.open(path, 0)
        self.table = Table(self.store, 0, 1, PageSizes(99, 99))
        self.made: dict[str, Row] = {}
        self._next = 0

    def add(self, *shapes: Invocation, adopted: bool = False, commit: bool = True) -> None:
        """One turn with a row of each shape."""
        self.table.begin()
        for shape in shapes:
            seq, self._next = self._next, self._next + 1
            invocation = Invocation(f"i-{seq}", *(getattr(shape, name) for name in shape.__struct_fields__[1:]))
            row = Row(
                invocation.invocation_id,
                encode_invocation(invocation),
                seq,
                7,
                Status.RUNNING,
                1,
                -1,
                5,
                5,
                adopted=adopted,
                lease_ms=invocation.lease_ms,
                object_key=invocation.object_key,
                flow_id=invocation.flow_id,
                parent_id=invocation.parent_id,
            )
            self.made[row.invocation_id] = row
            self.table.absorb([InsertRow(row, invocation)], At(seq, 9, 9))
        self.end(commit=commit)

    def remove(self, *ids: str) -> None:
        """One turn that removes these rows."""
        self.table.begin()
        self.table.load(ids)
        for name in ids:
            self.table.absorb([RemoveRow(self.made.pop(name).seq, name)], At(99, 9, 9))
        self.end()

    def end(self, *, commit: bool = True) -> None:
        """End the turn."""
        self.table.flush()
        if commit:
            self.table.commit(0, 0)
        else:
            self.table.rollback()

    def shared(self) -> list[int | None]:
        """The part of each row, in order of seq."""
        return [number for (number,) in self.store.db.execute("SELECT shared FROM invocations ORDER BY seq")]

    def check(self) -> None:
        """Rows read as they were written, and parts are counted as they are used."""
        for name, row in self.made.items():
            self.table.begin()
            self.table.load([name])
            assert self.table.row(name) == row
            self.table.rollback()
        used = dict(self.store.db.execute("SELECT number, used FROM shared WHERE used > 0").fetchall())
        assert used == Counter(number for number in self.shared() if number is not None)


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Rows]:
    """An empty table."""
    made = Rows(tmp_path / "0.sqlite3")
    with closing(made.store):
        yield made


def test_a_part_is_shared_from_the_second_row_on(rows: Rows) -> None:
    """Within a turn and later, also by rows that have something of their own beside it."""
    leased = Invocation("", "mail", "send", lease_ms=9)
    rows.add(MAIL, MAIL, BILL, MAIL)
    rows.add(BILL, MAIL, leased, leased)
    rows.add(MAIL, BILL, adopted=True)
    assert rows.shared() == [None, 1, None, 1, 2, 1, None, 3, 1, 2]
    rows.check()


def test_parts_of_flows_children_objects_and_long_ones_are_not_shared(rows: Rows) -> None:
    """They would hardly come again, or fill the memory."""
    for shape in (
        Invocation("", "mail", "send", "key"),
        Invocation("", "mail", "send", flow_id="f"),
        Invocation("", "mail", "send", parent_id="p"),
        Invocation("", "mail", "send", labels={"long": "x" * 600}),
    ):
        rows.add(shape, shape, shape)
    assert rows.shared() == [None] * 12
    rows.check()


def test_what_a_turn_shared_first_is_forgotten_when_it_is_rolled_back(rows: Rows) -> None:
    """No row points to a part that is not there."""
    rows.add(MAIL, BILL)
    rows.add(MAIL, BILL, commit=False)
    for name in ("i-2", "i-3"):
        del rows.made[name]
    assert rows.store.db.execute("SELECT count(*) FROM shared").fetchone() == (0,)
    rows.add(MAIL, MAIL, BILL, BILL)
    rows.check()


def test_a_full_table_shares_no_more_until_parts_are_unused(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory and the cost of a filter are bounded; a part that no row has makes room for another."""
    monkeypatch.setattr(shared, "_MOST", 1)
    rows.add(MAIL, MAIL, BILL, BILL)
    assert rows.shared() == [None, 1, None, None]
    rows.remove("i-1")
    rows.add(BILL)
    rows.add(BILL)
    rows.add(BILL)
    assert rows.shared()[-1] == 1
    assert rows.store.db.execute("SELECT handler FROM shared").fetchall() == [("charge",)]
    rows.check()


def test_parts_are_known_again_after_a_restart(rows: Rows) -> None:
    """By a table and by a restore."""
    rows.add(MAIL, MAIL)
    dump = list(rows.store.dump())
    again = Store.open(rows.path.with_name("1.sqlite3"), 0)
    with closing(again):
        for number, (key, value) in enumerate(dump):
            again.begin()
            again.apply_changelog([(key, value, number)])
            again.commit(number, 0)
        assert again.db.execute("SELECT shared FROM invocations").fetchall() == [(None,), (1,)]
        assert list(again.dump()) == dump
        again.clear()
        again.begin()
        again.apply_changelog([(key, value, number) for number, (key, value) in enumerate(dump)])
        again.commit(2, 0)
        assert list(again.dump()) == dump


@pytest.mark.parametrize(
    ("filter_", "expected"),
    [
        (Filter(handlers=("send",)), {0, 1, 2}),
        (Filter(handlers=("send", *(f"other {n}" for n in range(40)))), {0, 1, 2}),
        (Filter(deployment_ids=("d",)), {0, 1, 2}),
        (Filter(labels={"tenant": "globex"}), {3, 4, 5}),
        (Filter(labels_in={"tenant": ("a", "b", "c", "d", "acme")}), {0, 1, 2}),
        (Filter(labels_in={"tenant": (*(f"other {n}" for n in range(40)), "acme")}), {0, 1, 2}),
        (Filter(handlers=("send", "charge"), exclude=Exclusion(labels={"region": "eu"})), {3, 4, 5}),
        (Filter(match_all=True, exclude=Exclusion(handlers=("charge",), deployment_ids=("x",))), {0, 1, 2}),
        (
            Filter(match_all=True, exclude=Exclusion(labels=MANY, handlers=("x",))),
            set(range(6)),
        ),
        (
            Filter(match_all=True, exclude=Exclusion(labels=MANY | {"region": "eu"})),
            {3, 4, 5},
        ),
    ],
)
def test_filters_and_lists_see_no_difference(rows: Rows, filter_: Filter, expected: set[int]) -> None:
    """A row that shares its part is found as the first one, which does not."""
    rows.add(MAIL, MAIL, MAIL, BILL, BILL, BILL)
    rows.table.begin()
    page = rows.table.select(PageQuery(filter_, Action.KILL, -1, 9, 99, 99, 99, None))
    rows.table.rollback()
    assert page.samples == [f"i-{seq}" for seq in sorted(expected)]
    assert [started.encoded for started in page.started] == [rows.made[name].encoded for name in page.samples]
    listing = Listing(rows.path)
    found = listing.page(filter_, None, 99, 9)
    counted = {group: listing.counts(filter_, group, 9) for group in ("handler", "deployment_id")}
    listing.close()
    assert {row.seq for row in found.rows} == expected
    assert all(row == rows.made[row.invocation_id] for row in found.rows)
    mail, bill = len(expected & {0, 1, 2}), len(expected & {3, 4, 5})
    for group, (of_mail, of_bill) in {"handler": ("send", "charge"), "deployment_id": ("d", None)}.items():
        wanted = {value: {Status.RUNNING: number} for value, number in ((of_mail, mail), (of_bill, bill)) if number}
        assert counted[group] == wanted
