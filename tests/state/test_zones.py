"""A page passes over the zones in which it can match nothing: what they have rows of is known exactly, always."""

from __future__ import annotations

import tempfile
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings

from streams.codec import encode_invocation
from streams.engine.answers import At, PageQuery, PageSizes
from streams.engine.effects import InsertRow, RemoveRow
from streams.model import Action, Filter, Invocation, Row, Status
from streams.state import zones
from streams.state.columns import ROWS
from streams.state.shared import whichever
from streams.state.store import Store
from streams.state.table import Table
from support.effort import examples
from support.tables.state_twin import Twin
from support.tables.twin_histories import History, histories

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from streams.engine.answers import Page

ZONE = 4
NEEDLE = 137
HAYSTACK = 400
RARE = {"tenant": "acme"}
COMMON = {"tenant": "globex"}


def counted(db: sqlite3.Connection) -> bool:
    """Whether zones and marks are those of the rows that there are."""
    columns = f"r.seq >> {zones.ZONE_BITS}, r.service, {whichever('handler')}, {whichever('labels')}"
    found: Counter[int] = Counter()
    marks: Counter[tuple[int, int]] = Counter()
    for zone, *kind in db.execute(f"SELECT {columns} FROM {ROWS}"):  # noqa: S608 - our own names
        found[zone] += 1
        marks.update((zone, mark) for mark in zones.marks_of(*kind))
    kept = {(zone, mark): rows for zone, mark, rows in db.execute("SELECT zone, mark, rows FROM marks")}
    return kept == marks and dict(db.execute("SELECT zone, rows FROM zones").fetchall()) == found


@settings(max_examples=examples(40), deadline=None)
@given(history=histories)
def test_zones_are_counted_whatever_happens(history: History) -> None:
    """After turns, committed or rolled back, and in a table made from the changelog."""
    with tempfile.TemporaryDirectory() as folder:
        twin = Twin(Path(folder, "a.sqlite"))
        twin.run(history)
        assert counted(twin.store.db)
        twin.store.close()
        with closing(Store.open(Path(folder, "b.sqlite"), 0)) as store:
            store.begin()
            store.apply_changelog([(key, value, offset) for offset, (key, value) in enumerate(twin.changelog)])
            assert counted(store.db)


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Table]:
    """Many rows alike, and one that is unlike them."""
    store = Store.open(tmp_path / "a.sqlite", 0)
    table = Table(store, 0, 1, PageSizes(99, 99))
    table.begin()
    for seq in range(HAYSTACK):
        kind = ("rare", "find", RARE) if seq == NEEDLE else ("common", "do", COMMON)
        invocation = Invocation(f"i-{seq}", *kind[:2], labels=kind[2])
        row = Row(invocation.invocation_id, encode_invocation(invocation), seq, 7, Status.SCHEDULED, 0, -1, 5, 5)
        table.absorb([InsertRow(row, invocation, None)], At(0, seq, 5))
    yield table
    store.close()


def pages_of(table: Table, filter_: Filter, max_scanned: int = 40, cutoff: int = HAYSTACK) -> list[Page]:
    """A slice's pages up to the last one."""
    pages: list[Page] = []
    while not pages or not pages[-1].last:
        cursor = pages[-1].cursor if pages else -1
        pages.append(table.select(PageQuery(filter_, Action.KILL, cursor, cutoff, max_scanned, 10)))
    return pages


@pytest.mark.parametrize(
    "filter_",
    [
        Filter(services=("rare",)),
        Filter(handlers=("find", "none")),
        Filter(labels=RARE),
        Filter(labels_in={"tenant": ("none", "acme")}),
        Filter(services=("common", "rare"), labels=RARE),
    ],
    ids=["service", "handlers", "label", "label's values", "service and label"],
)
def test_one_row_is_found_by_looking_at_its_zone(table: Table, filter_: Filter) -> None:
    """All others are passed over, and count as scanned; passing over a zone counts as two looks here."""
    pages = pages_of(table, filter_)
    assert [seq for page in pages for seqs in page.unstarted.values() for seq in seqs] == [NEEDLE]
    assert sum(page.scanned for page in pages) == HAYSTACK
    assert sum(page.looks for page in pages) == 2 * (HAYSTACK // ZONE - 1) + ZONE


@pytest.mark.parametrize(
    "filter_",
    [Filter(match_all=True), Filter(statuses=(Status.RUNNING,)), Filter(services=tuple(map(str, range(65))))],
    ids=["all", "status", "many services"],
)
def test_every_row_is_looked_at_where_zones_say_nothing(table: Table, filter_: Filter) -> None:
    """Of a filter by what changes, or by a list too long to be sought in each zone."""
    pages = pages_of(table, filter_)
    assert sum(page.looks for page in pages) == sum(page.scanned for page in pages) == HAYSTACK


def test_zones_of_cursor_and_cut_off_are_looked_at(table: Table) -> None:
    """Some of their rows do not belong to the page."""
    query = PageQuery(Filter(services=("none",)), Action.KILL, 2 * ZONE, 5 * ZONE + 2, 99, 10)
    page = table.select(query)
    assert (page.scanned, page.looks, page.last) == (3 * ZONE + 1, 2 * 2 + ZONE + 1, True)


def test_a_zone_whose_last_row_of_a_kind_is_gone_is_passed_over(table: Table) -> None:
    """Nor does a zone without any row cost a look."""
    table.absorb([RemoveRow(NEEDLE, f"i-{NEEDLE}")], At(0, HAYSTACK, 5))
    [page] = pages_of(table, Filter(services=("rare",)), max_scanned=400)
    assert (page.scanned, page.looks) == (HAYSTACK - 1, 2 * HAYSTACK // ZONE)
    table.absorb([RemoveRow(seq, f"i-{seq}") for seq in range(HAYSTACK) if seq != NEEDLE], At(0, HAYSTACK, 5))
    [page] = pages_of(table, Filter(services=("rare",)))
    assert (page.scanned, page.looks) == (0, 0)
