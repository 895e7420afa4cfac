"""Counts of the invocations that a turn ends, by status and service."""

from __future__ import annotations

from collections import Counter
from itertools import accumulate, chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from streams.codec.wire import read_long
from streams.model import ENDING_ACTIONS, TERMINAL, Action
from streams.state.columns import AMONG_SEQS, json_list

if TYPE_CHECKING:
    import sqlite3

    from streams.engine.answers import PageQuery
    from streams.model import Change, PageDelta, Row, Status

_SERVICE: Final = itemgetter(3)
_LONG: Final = 128


class Ended:
    """The rows that end in a turn. Each costs it an entry in a list; the rest is done once, by `take`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._rows: list[Row] = []
        self._counts: Counter[tuple[Status, str]] = Counter()

    def row(self, row: Row) -> None:
        """Note a row that has just ended."""
        self._rows.append(row)

    def delta(self, delta: PageDelta, known: Counter[str] | None) -> None:
        """Note the rows that a delta ends, once they are written; `known`: their number by service, if it is known."""
        for change in delta.changes:
            if change.status not in TERMINAL:
                continue
            services = known
            if services is None or services.total() != len(change.seqs):
                services = self._services_of(change)
            for service, count in services.items():
                self._counts[change.status, service] += count

    def take(self) -> Counter[tuple[Status, str]]:
        """The number of rows that have ended since the last call, by status and service."""
        counts, self._counts = self._counts, Counter()
        for (status, service), count in Counter([(row.status, _service(row.encoded)) for row in self._rows]).items():
            counts[status, service.decode("utf-8", "replace")] += count
        self._rows.clear()
        return counts

    def forget(self) -> None:
        """Forget what was not taken."""
        self._rows.clear()
        self._counts.clear()

    def _services_of(self, change: Change) -> Counter[str]:
        sql = f"SELECT service FROM rows r WHERE {AMONG_SEQS}"  # noqa: S608 - our own names
        found = self._db.execute(sql, (json_list(list(accumulate(change.seqs))),)).fetchall()
        return Counter(chain.from_iterable(found))


def service_column(query: PageQuery) -> str:
    """The column of a matched row for `ended_at_once`: its service, or nothing where that is known or no row ends."""
    known = query.filter.services is not None and len(query.filter.services) == 1
    return "NULL" if known or query.action not in ENDING_ACTIONS else "r.service"


def ended_at_once(query: PageQuery, found: list[Any]) -> Counter[str]:
    """Number of the matched rows that the page's action ends at once, by service.

    `found`: seq, status (None if an executor may know the row), weight and `service_column` of each matched row.
    """
    if query.action not in ENDING_ACTIONS:
        return Counter()
    ended = found if query.action is Action.KILL else [each for each in found if each[1] is not None]
    services = query.filter.services
    if services is not None and len(services) == 1:
        return Counter({services[0]: len(ended)})
    return Counter(map(_SERVICE, ended))


def _service(encoded: bytes) -> bytes:
    """The service of an encoded `Invocation`, its second field."""
    # Nearly every id and service is shorter than 64 bytes, so that its length takes one.
    if encoded[0] < _LONG and encoded[begin := (encoded[0] >> 1) + 1] < _LONG:
        return encoded[begin + 1 : begin + 1 + (encoded[begin] >> 1)]
    size, begin = read_long(encoded, 0)
    size, begin = read_long(encoded, begin + size)
    return encoded[begin : begin + size]
