"""Page sizes tuned so that a turn's pages together take their time budget."""

from __future__ import annotations

from streams.engine.view import PageSizes

SMALLEST = PageSizes(max_scanned=200, max_matched=50)
LARGEST = PageSizes(max_scanned=100_000, max_matched=20_000)
FIRST = PageSizes(max_scanned=2_000, max_matched=500)
_STEP_DOWN, _STEP_UP = 0.5, 1.5
"""One measurement moves a size by at most this much: a single slow turn says little."""


def tuned(sizes: PageSizes, *, scanned: int, matched: int, took_ms: float, budget_ms: float) -> PageSizes:
    """The sizes for the next page, given what one of these sizes took.

    A page that filled its share of matches says what a match costs; one that filled only its share of looks says what
    a look costs. A page that filled neither was the last of its slice and says nothing.
    """
    factor = min(_STEP_UP, max(_STEP_DOWN, budget_ms / max(took_ms, 0.01)))
    if matched >= sizes.max_matched:
        return PageSizes(sizes.max_scanned, _clamp(sizes.max_matched * factor, SMALLEST[1], LARGEST[1]))
    if scanned >= sizes.max_scanned:
        return PageSizes(_clamp(sizes.max_scanned * factor, SMALLEST[0], LARGEST[0]), sizes.max_matched)
    return sizes


def _clamp(value: float, low: int, high: int) -> int:
    return int(min(high, max(low, value)))
