"""Objects as a turn sees them: what it changed of them, over what the store says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streams.engine.objects import holds, object_of
from streams.engine.view import Inbox
from streams.model import Status

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from streams.engine.view import Object
    from streams.model import Row

_MANY: Final = 64
"""From so many changed rows of one object on, it is cheaper to write them than to leave them aside in SQL."""


class Changed:
    """Rows of objects that the turn has changed and not written yet."""

    def __init__(self) -> None:
        self._rows: dict[Object, dict[int, Row]] = {}

    def put(self, row: Row) -> None:
        """The row stands thus from now on."""
        object_ = object_of(row)
        if object_ is not None:
            self._rows.setdefault(object_, {})[row.seq] = row

    def remove(self, row: Row) -> None:
        """The row has come and gone."""
        object_ = object_of(row)
        if object_ is not None:
            self._rows.get(object_, {}).pop(row.seq, None)

    def clear(self) -> None:
        """They are written."""
        self._rows.clear()

    def too_many(self, objects: Sequence[Object]) -> bool:
        """Whether one of these objects has so many that they had better be written."""
        return any(len(self._rows.get(each, ())) > _MANY for each in objects)

    def seqs(self, objects: Sequence[Object]) -> set[int]:
        """Seqs of these objects' changed rows."""
        return {seq for each in objects for seq in self._rows.get(each, ())}

    def over(self, object_: Object, stored: Inbox, without: AbstractSet[int]) -> Inbox:
        """The object's inbox, given what the store says of its other rows."""
        rows = [row for seq, row in self._rows.get(object_, {}).items() if seq not in without]
        waiting = [row for row in rows if row.status is Status.PENDING]
        if stored.head is not None:
            waiting.append(stored.head)
        head = min(waiting, key=lambda row: row.seq, default=None)
        return Inbox(stored.started or any(map(holds, rows)), head)
