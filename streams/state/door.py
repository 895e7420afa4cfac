"""The rules at a partition's door: the slices that end what matches as it arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from streams.engine.filters import Facts, saying
from streams.engine.standing import stands
from streams.model import Row, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.model import Invocation, Slice


class _Rule(NamedTuple):
    """A slice that stands, with its compiled filter; `until`: when the rule ends at the latest, ms."""

    slice: Slice
    until: int
    says: Callable[[Facts], bool]


class Door:
    """The rules that stand on one partition, in order of their cut-off."""

    def __init__(self) -> None:
        self._rules: dict[str, _Rule] = {}

    def put(self, slice_: Slice) -> None:
        """Record the slice's new state: its rule is added, replaced or dropped."""
        batch_id, until = slice_.batch_id, slice_.standing_until
        if until is None or not stands(slice_):
            self._rules.pop(batch_id, None)
            return
        known = self._rules.get(batch_id)
        if known is not None and known.slice.filter is slice_.filter:
            self._rules[batch_id] = _Rule(slice_, until, known.says)
            return
        self._rules[batch_id] = _Rule(slice_, until, saying(slice_.filter))
        self._rules = dict(sorted(self._rules.items(), key=_cutoff))

    def remove(self, batch_id: str) -> None:
        """Drop the rule of a forgotten slice."""
        self._rules.pop(batch_id, None)

    def first(self, invocation: Invocation, now: int) -> Slice | None:
        """The slice whose rule ends an invocation that arrives at `now`, ms. Of several, the one that began first."""
        if not self._rules:
            return None
        # Rules cannot ask for anything that an arriving row does not have yet.
        row = Row(invocation.invocation_id, b"", 0, 0, Status.PENDING, 0, -1, now, now)
        facts = Facts(row, invocation)
        for slice_, until, says in self._rules.values():
            if now < until and says(facts):
                return slice_
        return None


def _cutoff(item: tuple[str, _Rule]) -> int:
    return item[1].slice.cutoff
