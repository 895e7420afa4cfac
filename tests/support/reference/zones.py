"""Zones of rows that a page passes over, in the most obvious way."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from streams.model import Filter, Invocation

ZONE_BITS = 10
PASSED_LOOKS = 16
LONG = 64
"""Longer lists of a filter are not asked for."""
MOST = 8
"""Nor is what a filter says besides this number of things."""


def zone_of(seq: int) -> int:
    """The zone in which it lies."""
    return seq >> ZONE_BITS


def last_of(zone: int) -> int:
    """Its last seq, whether or not there is a row."""
    return ((zone + 1) << ZONE_BITS) - 1


def looks_of_passed() -> int:
    """What a passed zone counts as, in rows that are looked at."""
    return PASSED_LOOKS


def passed(wanted: Filter, cursor: int, cutoff: int, rows: Iterable[tuple[int, Invocation]]) -> set[int]:
    """The zones behind the cursor and below the cut-off with no row for something that the filter asks for."""
    asked = list(_asked(wanted))[:MOST]
    if not asked:
        return set()
    there: dict[int, list[Invocation]] = {}
    for seq, invocation in rows:
        there.setdefault(zone_of(seq), []).append(invocation)
    whole = {zone for zone in there if cursor < zone << ZONE_BITS and last_of(zone) < cutoff}
    return {zone for zone in whole if not all(any(map(test, there[zone])) for test in asked)}


def _asked(wanted: Filter) -> Iterator[_Test]:
    if wanted.services is not None and len(wanted.services) <= LONG:
        yield _Test("service", frozenset(wanted.services))
    if wanted.handlers is not None and len(wanted.handlers) <= LONG:
        yield _Test("handler", frozenset(wanted.handlers))
    for key, value in (wanted.labels or {}).items():
        yield _Test(key, frozenset({value}), label=True)
    for key, values in (wanted.labels_in or {}).items():
        if len(values) <= LONG:
            yield _Test(key, frozenset(values), label=True)


class _Test:
    def __init__(self, name: str, values: frozenset[str], *, label: bool = False) -> None:
        self._name, self._values, self._label = name, values, label

    def __call__(self, invocation: Invocation) -> bool:
        found = invocation.labels.get(self._name) if self._label else getattr(invocation, self._name)
        return found in self._values
