"""Zones of a table and their marks: a page passes over the zones in which its filter can match nothing.

A zone is the rows of 1,024 consecutive seqs. Its marks say of which services and handlers and with which labels it has
rows. Both are counts that hold at any time: what a page looks at follows from the rows alone.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import groupby, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple
from zlib import crc32

from streams.state.labels import label_text, texts_of_labels

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

    from streams.engine.answers import PageQuery
    from streams.model import Filter

ZONE_BITS = 10
"""Number of last bits that a seq has more than the number of its zone. It is part of the table's version."""
PASSED_LOOKS = 16
"""What passing over a zone counts in a page, as a number of rows that are looked at: it takes about as long."""
MOST_VALUES: Final = 64
"""A longer list of a filter is not sought in each zone, which would take as long as looking at the rows."""
MOST_SOUGHT: Final = 8
"""Number of things that a filter says that are sought."""
_FIRST_READ: Final = 8
_MOST_READ: Final = 1_024
"""Number of zones that are read at a time: at first, and at most."""
_ADD: Final = "ON CONFLICT DO UPDATE SET rows = rows + excluded.rows"
_ADD_ROWS: Final = f"INSERT INTO zones VALUES (?, ?) {_ADD}"  # noqa: S608 - our own names
_ADD_MARKS: Final = f"INSERT INTO marks VALUES (?, ?, ?) {_ADD}"  # noqa: S608 - likewise
_HOPEFUL: Final = itemgetter(2)
_KNOWN: Final = 4_096
"""Number of kinds of row whose marks are remembered."""
_KNOWN_LENGTH: Final = 1_024
"""Most characters of labels whose marks are remembered."""

Marks = tuple[int, ...]
"""Marks of a row: a hash for its service, its handler and each label. Where two are equal, more is looked at."""


class Stretch(NamedTuple):
    """The seqs with `after < seq < below`: to look at, or else the number of rows of a zone to pass over."""

    after: int
    below: int
    passed: int = 0


def marks_of(service: str, handler: str, labels: str | None) -> Marks:
    """The marks of a row; `labels`: in the form of their column."""
    # Long labels would fill the memory, and rarely repeat.
    return (_known_marks if labels is None or len(labels) <= _KNOWN_LENGTH else _marks)(service, handler, labels)


def _marks(service: str, handler: str, labels: str | None) -> Marks:
    texts = () if labels is None else texts_of_labels(labels)
    return (_mark("s", service), _mark("h", handler), *(_mark("l", text) for text in texts))


def count_marks(db: sqlite3.Connection, kinds: Iterable[tuple[int, Marks, int]]) -> None:
    """Note, by zone and marks, how many rows have come; or gone, if negative."""
    zones: dict[int, int] = {}
    marks: dict[tuple[int, int], int] = {}
    for zone, marks_of_kind, rows in kinds:
        zones[zone] = zones.get(zone, 0) + rows
        for mark in marks_of_kind:
            marks[zone, mark] = marks.get((zone, mark), 0) + rows
    db.executemany(_ADD_ROWS, zones.items())
    db.executemany(_ADD_MARKS, [(zone, mark, rows) for (zone, mark), rows in marks.items()])
    gone = [(zone,) for zone, rows in zones.items() if rows < 0]
    if gone:
        db.executemany("DELETE FROM zones WHERE zone = ? AND rows = 0", gone)
        db.executemany("DELETE FROM marks WHERE zone = ? AND rows = 0", gone)


def stretches(db: sqlite3.Connection, query: PageQuery) -> Iterator[Stretch]:
    """What a page looks at and what it passes over, in order of seq.

    Passed over are whole zones below the cut-off without a row that has what the filter says of services, handlers and
    labels.
    """
    sought = list(islice((some for some in _sought(query.filter) if len(some) <= MOST_VALUES), MOST_SOUGHT))
    if not sought:
        yield Stretch(query.cursor, query.cutoff)
        return
    first, last, limit = (query.cursor + 1) >> ZONE_BITS, query.cutoff >> ZONE_BITS, _FIRST_READ
    sql = f"SELECT zone, rows, {_hopeful(sought)} FROM zones z WHERE zone >= ? AND zone <= ? ORDER BY zone LIMIT ?"  # noqa: S608
    while zones := db.execute(sql, (first, last, limit)).fetchall():
        known = [(zone, rows, hopeful or _cut(zone, query)) for zone, rows, hopeful in zones]
        for hopeful, some in groupby(known, _HOPEFUL):
            if hopeful:
                look = [zone for zone, _, _ in some]
                after, below = (look[0] << ZONE_BITS) - 1, (look[-1] + 1) << ZONE_BITS
                yield Stretch(max(after, query.cursor), min(below, query.cutoff))
            else:
                for zone, rows, _ in some:
                    yield Stretch((zone << ZONE_BITS) - 1, (zone + 1) << ZONE_BITS, rows)
        if len(zones) < limit:
            return
        first, limit = zones[-1][0] + 1, min(4 * limit, _MOST_READ)


def _cut(zone: int, query: PageQuery) -> bool:
    """True if the page's cursor or its cut-off lies in the zone."""
    return zone << ZONE_BITS <= query.cursor or (zone + 1) << ZONE_BITS > query.cutoff


def _sought(filter_: Filter) -> Iterator[list[int]]:
    """Marks of which a matching row has one, for each thing that the filter says."""
    if filter_.services is not None:
        yield [_mark("s", each) for each in filter_.services]
    if filter_.handlers is not None:
        yield [_mark("h", each) for each in filter_.handlers]
    for key, values in _labels(filter_):
        yield [_mark("l", label_text(key, value)) for value in values]


def _labels(filter_: Filter) -> Iterator[tuple[str, Iterable[str]]]:
    yield from ((key, (value,)) for key, value in (filter_.labels or {}).items())
    yield from (filter_.labels_in or {}).items()


def _hopeful(sought: list[list[int]]) -> str:
    """SQL for: the zone has a row with one of each list. Only our own numbers go into it."""
    some = (", ".join(map(str, marks)) for marks in sought)
    return " AND ".join(f"EXISTS (SELECT 1 FROM marks m WHERE m.zone = z.zone AND mark IN ({each}))" for each in some)  # noqa: S608


def _mark(kind: str, text: str) -> int:
    return crc32(f"{kind}{text}".encode("utf-8", "surrogatepass"))


_known_marks = lru_cache(_KNOWN)(_marks)
