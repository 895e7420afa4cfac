"""A filter is made ready once for its slice: rows, however many, do not go through its lists."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from streams.engine.answers import At, PageSizes
from streams.engine.effects import PutSlice, RemoveSlice
from streams.engine.guards import Guards
from streams.model import Exclusion, Filter, Invocation, Status
from streams.state.store import Store
from streams.state.table import Table
from support.tables.engine_rows import row_at
from support.tables.guards import slice_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.model import Row

LISTS = ("services", "handlers", "object_keys", "deployment_ids", "flow_ids", "parent_ids")


class Counted(tuple[str, ...]):
    """Counts how often it is gone through."""

    __slots__ = ()

    times = 0

    def __iter__(self) -> Iterator[str]:
        Counted.times += 1
        return super().__iter__()

    def __contains__(self, value: object) -> bool:
        Counted.times += 1
        return super().__contains__(value)


@pytest.fixture
def table() -> Iterator[Table]:
    """An empty one, in memory."""
    Counted.times = 0
    store = Store.open(Path(":memory:"), 0)
    yield Table(store, 0, 1, PageSizes(9, 9))
    store.close()


def filters() -> list[Filter]:
    """One that matches through every list, and one that leaves nothing out by any."""
    has, lacks = Counted(("a", "b")), Counted(("c", "d"))
    wanted: dict[str, Any] = {**dict.fromkeys(LISTS, has), "labels_in": {"k": has}}
    unwanted: dict[str, Any] = {**dict.fromkeys(LISTS, lacks), "labels_in": {"k": lacks}}
    return [Filter(**wanted), Filter(match_all=True, exclude=Exclusion(**unwanted))]


INVOCATION = Invocation("i", "a", "a", "a", "a", "a", "a", labels={"k": "a"})


class _View:
    """Guards of a table, whose every row is `INVOCATION`'s."""

    def __init__(self, table: Table) -> None:
        self.guarding = table.guarding

    def invocation(self, row: Row) -> Invocation:
        del row
        return INVOCATION


@pytest.mark.parametrize("filter_", filters(), ids=["wanted", "left out"])
def test_a_guard_goes_through_its_lists_once(table: Table, filter_: Filter) -> None:
    """Neither a start nor a page, nor whatever else moves the slice's counters, costs what the lists are long."""
    slice_ = slice_of(filter_)
    for number in range(20):
        table.absorb([PutSlice(replace(slice_, cursor=number, matched=number))], At(0, number, 0))
        guards = Guards(_View(table))  # type: ignore[arg-type]
        assert guards.against(row_at(Status.SCHEDULED, seq=number + 1))
        assert not guards.against(row_at(Status.SCHEDULED, seq=number))
    assert Counted.times == len(LISTS) + 1


@pytest.mark.parametrize("filter_", filters(), ids=["wanted", "left out"])
def test_a_door_goes_through_its_lists_once(table: Table, filter_: Filter) -> None:
    """Likewise what arrives."""
    slice_ = slice_of(filter_, standing_until=100, pages_done=True)
    for number in range(20):
        table.absorb([PutSlice(replace(slice_, matched=number))], At(0, number, 0))
        assert table.at_the_door(INVOCATION, number) is not None
    assert Counted.times == len(LISTS) + 1


def test_a_later_slice_of_the_same_batch_id_has_a_guard_of_its_own(table: Table) -> None:
    """With the same filter even: what it was made ready for is its cut-off, too."""
    slice_ = slice_of(Filter(match_all=True))
    for cutoff in (50, 70):
        table.absorb([PutSlice(replace(slice_, cutoff=cutoff))], At(0, cutoff, 0))
        guards = Guards(_View(table))  # type: ignore[arg-type]
        assert guards.against(row_at(Status.SCHEDULED, seq=cutoff - 1))
        assert not guards.against(row_at(Status.SCHEDULED, seq=cutoff))
    table.absorb([RemoveSlice("b")], At(0, 80, 0))
    assert not table.guarding()
