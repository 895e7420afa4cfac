"""Parts that many invocations have in common, kept once: all that never changes but id, times and hash."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streams.state.labels import labels_text

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from streams.model import Invocation

_MOST: Final = 4_096
"""Number of shared parts: a filter looks at each of them, and all are in memory."""
_LONGEST: Final = 512
"""Bytes of the longest part that is shared."""

_INSERT: Final = "INSERT INTO shared(used, handler, deployment_id, labels, rest) VALUES (0, ?, ?, ?, ?)"
_UNUSED: Final = "DELETE FROM shared WHERE used = 0 RETURNING rest"
_ADD: Final = "UPDATE shared SET used = used + ? WHERE number = ?"

JOIN: Final = "LEFT JOIN shared s ON s.number = i.shared"
"""Needed by `whichever`. SQLite leaves it out of what reads none of its columns, except where rows are counted."""


def whichever(column: str) -> str:
    """SQL for a column of `invocations i` that may be in `shared s` instead. It has no comma."""
    return f"CASE WHEN i.shared IS NULL THEN i.{column} ELSE s.{column} END"


class Shared:
    """The numbers of shared parts, by their bytes.

    A part is shared from the second time on, if that is soon after the first: one that never comes again costs nothing.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._numbers: dict[bytes, int] | None = None
        self._once: set[int] = set()
        """Hashes of the parts that have come once. Two parts with the same hash are shared early, which is harmless."""

    def reload(self) -> None:
        """Read again before the next use: the store may have changed."""
        self._numbers = None

    def numbers(self) -> dict[bytes, int]:
        """The number of each part, before rows are written; none that has one may be unwritten, or not counted."""
        if self._numbers is None:
            self._numbers = dict(self._db.execute("SELECT rest, number FROM shared").fetchall())
        elif len(self._numbers) >= _MOST:
            for (rest,) in self._db.execute(_UNUSED).fetchall():
                del self._numbers[rest]
        return self._numbers

    def meet(self, rest: bytes, invocation: Invocation) -> int | None:
        """The number of an invocation's part that has none yet; still None if it is not to be shared."""
        numbers = self._numbers
        if numbers is None or len(rest) > _LONGEST or len(numbers) >= _MOST:
            return None
        if (hashed := hash(rest)) not in self._once:
            if len(self._once) >= _MOST:
                self._once.clear()
            self._once.add(hashed)
            return None
        self._once.discard(hashed)
        columns = (invocation.handler, invocation.deployment_id, labels_text(invocation.labels), rest)
        numbers[rest] = number = self._db.execute(_INSERT, columns).lastrowid or 0
        return number


def count_uses(db: sqlite3.Connection, uses: Mapping[int, int]) -> None:
    """Note by how many there are more rows with these parts; or fewer, if negative."""
    db.executemany(_ADD, [(more, number) for number, more in uses.items()])
