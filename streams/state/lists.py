"""Long lists of texts that filters hold: SQLite asks Python whether a value is among one.

A list that is a parameter in JSON is read anew by each of a page's statements, which takes milliseconds for ten
thousand texts. A list that is known costs nothing but the look-up.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from streams.state.mapping import json_list

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

AMONG: Final = "among"
"""SQL function of a value and a list's number: whether the list has it; not of NULL."""
_MOST: Final = 400_000
"""Texts of all lists that are known together: beyond that they make room for those that are asked for."""
_MANY: Final = 64


class _Known(threading.local):
    """Lists by their numbers. A connection is used by one thread only."""

    def __init__(self) -> None:
        self.lists: dict[int, frozenset[str]] = {}


_known = _Known()


def add_function(db: sqlite3.Connection) -> None:
    """Give a connection its `AMONG`, of lists that `know` was told since."""
    db.create_function(AMONG, 2, lambda text, number: text in _known.lists[number], deterministic=True)


@lru_cache(_MANY)
def number_of(texts: tuple[str, ...]) -> int:
    """The list's number: a digest of what it holds."""
    return int.from_bytes(sha256(json_list(list(texts)).encode()).digest()[:8], signed=True)


def know(lists: Iterable[tuple[str, ...]]) -> None:
    """Of these lists `AMONG` can tell what they hold until it is told of others."""
    wanted = {number_of(texts): texts for texts in lists}
    known = _known.lists
    missing = {number: frozenset(texts) for number, texts in wanted.items() if number not in known}
    if not missing:
        return
    if known and sum(map(len, known.values())) + sum(map(len, missing.values())) > _MOST:
        _known.lists = known = {number: known[number] for number in wanted if number in known}
    known |= missing
