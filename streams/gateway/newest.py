"""An order, newest first, of what comes and goes."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import NamedTuple


class ListPlace(NamedTuple):
    """The place of an item in a list that is newest first."""

    created_at: int
    name: str


class NewestFirst:
    """The places of items. Most come in the order of their creation, so that adding one costs little."""

    def __init__(self) -> None:
        self._order: list[ListPlace] = []
        self._of: dict[str, ListPlace] = {}

    def __len__(self) -> int:
        return len(self._of)

    def add(self, created_at: int, name: str) -> None:
        """Add an item, or move it."""
        place = ListPlace(created_at, name)
        if self._of.get(name) == place:
            return
        self.discard(name)
        self._of[name] = place
        if not self._order or place > self._order[-1]:
            self._order.append(place)
        else:
            insort(self._order, place)

    def discard(self, name: str) -> None:
        """Take an item out, if it is there."""
        place = self._of.pop(name, None)
        if place is not None:
            del self._order[bisect_left(self._order, place)]

    def behind(self, place: ListPlace | None, count: int) -> list[ListPlace]:
        """At most `count` places, newest first, that come behind this one; None: from the newest."""
        end = len(self._order) if place is None else bisect_left(self._order, place)
        return self._order[max(0, end - count) : end][::-1]
