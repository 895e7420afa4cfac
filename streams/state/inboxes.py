"""Objects as a turn sees them: its own changes on top of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streams.engine.answers import Inbox
from streams.engine.objects import holds, object_of
from streams.model import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Set as AbstractSet

    from streams.engine.answers import Object
    from streams.model import Row

_MANY: Final = 64
"""Above this number of changed rows of one object, writing them is cheaper than excluding them in SQL."""

_STARTED: Final = Inbox(started=True, head=None)


class Inboxes:
    """Rows of objects that the turn has changed but not written yet, and the inboxes that it has read."""

    def __init__(self) -> None:
        self._rows: dict[Object, dict[int, Row]] = {}
        self._known: dict[Object, Inbox] = {}

    def put(self, row: Row) -> None:
        """Note the row's new state."""
        object_ = object_of(row)
        if object_ is None:
            return
        self._rows.setdefault(object_, {})[row.seq] = row
        known = self._known.get(object_)
        if known is None:
            return
        if holds(row):
            self._known[object_] = _STARTED
        elif row.status is not Status.PENDING:
            # It may have occupied the object, or have been the first that waits.
            del self._known[object_]
        elif not known.started:
            self._known[object_] = _inbox([row, *_other(known.head, row)])

    def remove(self, row: Row) -> None:
        """Drop a row that the turn both inserted and removed."""
        object_ = object_of(row)
        if object_ is not None:
            self._rows.get(object_, {}).pop(row.seq, None)

    def forget(self) -> None:
        """Forget the changed rows: the store has them."""
        self._rows.clear()

    def reload(self) -> None:
        """Read inboxes again when asked: they may have changed."""
        self._known.clear()

    def known(self, object_: Object) -> Inbox | None:
        """The inbox, if it was read before."""
        return self._known.get(object_)

    def too_many(self, objects: Sequence[Object]) -> bool:
        """True if one of these objects has enough changed rows that writing them is cheaper."""
        return any(len(self._rows.get(each, ())) > _MANY for each in objects)

    def seqs(self, objects: Sequence[Object]) -> set[int]:
        """Seqs of these objects' changed rows."""
        return {seq for each in objects for seq in self._rows.get(each, ())}

    def over(self, object_: Object, stored: Inbox, without: AbstractSet[int]) -> Inbox:
        """The object's inbox, given what the store says about its other rows."""
        rows = [row for seq, row in self._rows.get(object_, {}).items() if seq not in without]
        if stored.started or any(map(holds, rows)):
            inbox = _STARTED
        else:
            waiting = [row for row in rows if row.status is Status.PENDING]
            inbox = _inbox(waiting if stored.head is None else [*waiting, stored.head])
        if not without:
            self._known[object_] = inbox
        return inbox


def _inbox(waiting: Iterable[Row]) -> Inbox:
    return Inbox(started=False, head=min(waiting, key=lambda row: row.seq, default=None))


def _other(head: Row | None, row: Row) -> list[Row]:
    return [] if head is None or head.seq == row.seq else [head]
