"""The oldest READY row of a table, found beside the worker that writes it."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from streams.model import Status
from streams.state.schema import CODES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_READY: Final = CODES[Status.READY]
_EVERY_S: Final = 10.0
_WITHIN_S: Final = 1.0
_REST: Final = 50
"""A search is followed by this many times its own duration without one."""
_STEPS: Final = 20_000
"""Steps of SQLite's machine between two looks at the clock."""


class OldestReady:
    """Finds when the oldest READY row of a file became READY; for one thread at a time.

    No index serves this: each START would have to pay for it. The table is read through now and then, by a connection
    of its own that only reads, on a thread that the worker's loop does not wait for. A row that is found stays the
    oldest for as long as it is READY, so nothing is read through meanwhile.
    """

    def __init__(self, file: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._uri = f"file:{quote(str(file.absolute()))}?mode=ro"
        self._clock = clock
        self._known: tuple[int, int] | None = None
        self._search_at = clock()

    def since(self) -> int | None:
        """The time, ms, as of at most 10 s ago; None if there is no READY row, or if a search takes too long."""
        try:
            with closing(sqlite3.connect(self._uri, uri=True, timeout=0)) as db:
                if not self._is_ready(db) and self._clock() >= self._search_at:
                    self._known = self._search(db)
        except sqlite3.Error:  # the file goes away with its partition, and a search that takes too long is broken off
            self._known = None
        return None if self._known is None else self._known[1]

    def _is_ready(self, db: sqlite3.Connection) -> bool:
        """True if the known row still is."""
        if self._known is None:
            return False
        sql = "SELECT 1 FROM rows WHERE seq = ? AND modified_at = ? AND status = ?"
        return db.execute(sql, (*self._known, _READY)).fetchone() is not None

    def _search(self, db: sqlite3.Connection) -> tuple[int, int] | None:
        began = self._clock()
        db.set_progress_handler(lambda: self._clock() - began > _WITHIN_S, _STEPS)
        try:
            sql = "SELECT seq, modified_at FROM rows WHERE status = ? ORDER BY modified_at LIMIT 1"
            found: tuple[int, int] | None = db.execute(sql, (_READY,)).fetchone()
        finally:
            now = self._clock()
            self._search_at = now + max(_EVERY_S, _REST * (now - began))
        return found
