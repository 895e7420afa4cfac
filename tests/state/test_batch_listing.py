"""Lists and counts of what a batch has ended, while it goes on ending more."""

from __future__ import annotations

from contextlib import closing
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from state.test_listing import insert, turn, walked

from streams import codec
from streams.engine.answers import PageSizes
from streams.engine.effects import PutDelta
from streams.model import Cause, Change, Ending, Filter, PageDelta, Status
from streams.state import candidates, listing
from streams.state.listing import Listing
from streams.state.store import Store
from streams.state.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROWS = 200
OF_B = Filter(batch_ids=("b",))


def _end(table: Table, *seqs: int) -> None:
    """End these rows by a page of batch b."""
    steps = (seqs[0], *(after - before for before, after in pairwise(seqs)))
    delta = PageDelta(1, Ending(Cause("b")), (Change(Status.KILLED, seqs=steps),))
    turn(table, PutDelta(delta, {Status.RUNNING: len(seqs)}))


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Table]:
    """200 rows, of which a batch has ended every second one; a stretch looks at ten of them."""
    monkeypatch.setattr(listing, "_FIRST_WIDTH", 10)
    monkeypatch.setattr(listing, "_MOST_WIDTH", 10)
    with closing(Store.open(tmp_path / "p", 0)) as store:
        made = Table(store, 0, 1, PageSizes(9, 9))
        turn(made, *[insert(seq) for seq in range(ROWS)])
        _end(made, *range(0, ROWS, 2))
        yield made


def test_the_deltas_of_a_batch_are_read_once_for_a_question(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many stretches it takes, unless there are others."""
    read: list[bytes] = []
    decode = codec.decode

    def decoded(record: bytes) -> object:
        read.append(record)
        return decode(record)

    monkeypatch.setattr(candidates, "decode", decoded)
    with closing(Listing(table._store.path)) as asked:
        assert asked.counts(OF_B, None, 60) == {None: {Status.KILLED: ROWS // 2}}
        assert len(read) == 1
        assert [row.seq for row in walked(asked, OF_B, 500)] == list(range(ROWS - 2, -1, -2))


def test_what_a_batch_ends_meanwhile_is_seen_from_there_on(table: Table) -> None:
    """Rows below the place that a list has reached."""

    def rest() -> float:
        if not rests:
            _end(table, 1, 3, 5)
        rests.append(1)
        return 0.0

    rests: list[int] = []
    with closing(Listing(table._store.path, rest)) as asked:
        page = asked.page(OF_B, None, 500, 60)
    assert {1, 3, 5} <= {row.seq for row in page.rows}
    assert len(page.rows) == ROWS // 2 + 3


def test_a_batch_that_becomes_too_large_for_its_deltas_is_listed_and_counted_whole(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest is found among all rows."""

    def rest() -> float:
        monkeypatch.setattr(candidates, "_MOST_DELTA_BYTES", 0)
        return 0.0

    with closing(Listing(table._store.path, rest)) as asked:
        assert asked.counts(OF_B, None, 60) == {None: {Status.KILLED: ROWS // 2}}
    monkeypatch.setattr(candidates, "_MOST_DELTA_BYTES", 100_000)
    with closing(Listing(table._store.path, rest)) as asked:
        page = asked.page(OF_B, None, 500, 60)
    assert ([row.seq for row in page.rows], page.done) == (list(range(ROWS - 2, -1, -2)), True)
