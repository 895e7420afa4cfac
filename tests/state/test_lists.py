"""Long lists of filters, as SQLite is told of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from streams.state import lists
from streams.state.store import Store

if TYPE_CHECKING:
    import sqlite3


def test_a_list_is_known_until_there_are_too_many() -> None:
    """Lists make room for others, never for one that was asked for with them; what each holds stays its own."""
    store = Store.open(Path(":memory:"), 0)
    last: tuple[str, ...] = ()
    for number in range(12):
        one, other = (tuple(f"{name} {number} {each}" for each in range(50_000)) for name in ("one", "other"))
        lists.know([one, other])
        assert _has(store.db, one, one[-1])
        assert _has(store.db, other, other[0])
        assert not _has(store.db, one, other[0])
        assert not _has(store.db, one, None)
        assert sum(map(len, lists._known.lists.values())) <= 400_000
        if last:
            lists.know([last, one])
            assert _has(store.db, last, last[0])
        last = other
    store.close()


def test_one_that_is_longer_than_all_may_be_is_known_too() -> None:
    """A filter's lists must all be known at once, however long they are."""
    store = Store.open(Path(":memory:"), 0)
    long = [tuple(f"{name} {each}" for each in range(250_000)) for name in ("first", "second")]
    lists.know(long)
    assert all(_has(store.db, texts, texts[-1]) for texts in long)
    store.close()


def _has(db: sqlite3.Connection, texts: tuple[str, ...], value: str | None) -> bool:
    sql = f"SELECT 1 WHERE {lists.AMONG}(?, ?)"
    return db.execute(sql, (value, lists.number_of(texts))).fetchone() is not None
