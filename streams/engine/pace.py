"""A slice's rate and budget: a token bucket filled by the partition clock, and a limit on its rows."""

from __future__ import annotations

from math import ceil, floor
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from streams.model import SliceState

if TYPE_CHECKING:
    from streams.model import Slice

PAGE_MS: Final = 100
"""A slice waits until its rate allows this many ms of rows, or one row if that takes longer."""

BURST_MS: Final = 800
"""A late page may catch up on this many ms of its rate; the rest is lost.

So the rate holds where turns are slow, and a stall never ends in a burst of a tenth of ten seconds' rows.
"""

SLOWEST: Final = 1e-6
"""Lowest rate of a slice, rows per second: one row in 11 days. Below it, a due time could overflow a timestamp."""

FASTEST: Final = 1e9
"""Highest rate of a slice, rows per second; no slice comes near it. Above it, a number of rows could overflow."""

_ROUNDING: Final = 1e-6


def refilled(slice_: Slice, now: int) -> Slice:
    """The slice with its tokens as of `now`. Only a RUNNING slice earns tokens."""
    rate = slice_.max_rate
    if rate is None:
        return slice_
    tokens = slice_.tokens
    if slice_.state is SliceState.RUNNING:
        tokens += (now - slice_.tokens_at) * rate / 1000
    return replace(slice_, tokens=min(tokens, max(1.0, rate * BURST_MS / 1000)), tokens_at=now)


def at_rate(slice_: Slice, max_rate: float, first: float, now: int) -> Slice:
    """The slice at another rate; `first`: its initial tokens, in rows, if it had no rate before."""
    tokens = first if slice_.max_rate is None else slice_.tokens
    return refilled(replace(slice_, max_rate=max_rate, tokens=tokens, tokens_at=now), now)


def first_tokens(partition: int, partitions: int) -> float:
    """The initial tokens, in rows. They differ per slice: those of a slow batch take turns."""
    return partition / partitions


def paced(slice_: Slice, now: int) -> Slice:
    """The slice with the time of its next page in `due_at`, if its rate makes it wait."""
    rate = slice_.max_rate
    due_at = None
    if rate is not None and slice_.state is SliceState.RUNNING:
        missing = _page_rows(rate) - slice_.tokens
        if missing > _ROUNDING:
            due_at = now + ceil(missing * 1000 / rate)
    return replace(slice_, due_at=due_at)


def room(slice_: Slice, most: int) -> int:
    """Rows that the next page may act on: the least of `most`, what the rate allows, and the rest of the budget."""
    if slice_.max_rate is not None:
        most = min(most, floor(slice_.tokens + _ROUNDING))
    return most if slice_.budget is None else min(most, slice_.budget - slice_.acted)


def used_up(slice_: Slice) -> bool:
    """True if nothing is left of the slice's budget."""
    return slice_.budget is not None and slice_.acted >= slice_.budget


def _page_rows(rate: float) -> float:
    return max(1.0, rate * PAGE_MS / 1000)
