"""Long lists of texts in filters: SQLite asks Python whether a value is in one.

A list passed as a JSON parameter is parsed by each statement of a page, which takes milliseconds for ten thousand
texts. A known list costs only the look-up.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from streams.state.columns import json_list

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

AMONG: Final = "among"
"""SQL function of a value and a list's number: whether the list has the value; false for NULL."""
_MOST: Final = 400_000
"""Most texts of all known lists together: above that, they make room for the requested ones."""
_MANY: Final = 64


class _Known(threading.local):
    """Lists by their numbers. A connection is used by one thread only."""

    def __init__(self) -> None:
        self.lists: dict[int, frozenset[str]] = {}


_known = _Known()


def add_function(db: sqlite3.Connection) -> None:
    """Add the function `AMONG` to a connection; it works for the lists passed to `know`."""
    db.create_function(AMONG, 2, lambda text, number: text in _known.lists[number], deterministic=True)


@lru_cache(_MANY)
def number_of(texts: tuple[str, ...]) -> int:
    """The list's number: a digest of its texts."""
    return int.from_bytes(sha256(json_list(list(texts)).encode()).digest()[:8], signed=True)


def know(lists: Iterable[tuple[str, ...]]) -> None:
    """Make these lists known to `AMONG`; they stay known at least until the next call."""
    wanted = {number_of(texts): texts for texts in lists}
    known = _known.lists
    missing = {number: frozenset(texts) for number, texts in wanted.items() if number not in known}
    if not missing:
        return
    if known and sum(map(len, known.values())) + sum(map(len, missing.values())) > _MOST:
        _known.lists = known = {number: known[number] for number in wanted if number in known}
    known |= missing
