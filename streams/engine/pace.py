"""How fast a slice may go and how far: a token bucket that the partition clock fills, and the slice's budget."""

from __future__ import annotations

from math import ceil, floor
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from streams.model import SliceState

if TYPE_CHECKING:
    from streams.model import Slice

PAGE_MS: Final = 100
"""A slice waits until its rate has allowed a page of this time, or one row if that takes longer."""

BURST_MS: Final = 800
"""A page that is late takes what the rate has allowed meanwhile, up to this time; more is lost.

So the rate holds where turns are slow, and no stall ends in a burst of a tenth of what ten seconds allow.
"""

SLOWEST: Final = 1e-6
"""Rows a second of a slice; it means a row in 11 days. A lower rate could ask for a time that is none."""

FASTEST: Final = 1e9
"""Rows a second of a slice; no slice comes near it. A higher rate could ask for a number that is none."""

_ROUNDING: Final = 1e-6


def refilled(slice_: Slice, now: int) -> Slice:
    """The slice with its tokens as of `now`; only a RUNNING one earns any."""
    rate = slice_.max_rate
    if rate is None:
        return slice_
    tokens = slice_.tokens
    if slice_.state is SliceState.RUNNING:
        tokens += (now - slice_.tokens_at) * rate / 1000
    return replace(slice_, tokens=min(tokens, max(1.0, rate * BURST_MS / 1000)), tokens_at=now)


def at_rate(slice_: Slice, max_rate: float, first: float, now: int) -> Slice:
    """The slice at another rate; `first` is what it starts with if it had none, in rows."""
    tokens = first if slice_.max_rate is None else slice_.tokens
    return refilled(replace(slice_, max_rate=max_rate, tokens=tokens, tokens_at=now), now)


def first_tokens(partition: int, partitions: int) -> float:
    """Parts of a row that set the slices of a slow batch apart: they take turns instead of all waiting equally long."""
    return partition / partitions


def paced(slice_: Slice, now: int) -> Slice:
    """The slice with the time of its next page, if its rate makes it wait for one."""
    rate = slice_.max_rate
    due_at = None
    if rate is not None and slice_.state is SliceState.RUNNING:
        missing = _page_rows(rate) - slice_.tokens
        if missing > _ROUNDING:
            due_at = now + ceil(missing * 1000 / rate)
    return replace(slice_, due_at=due_at)


def room(slice_: Slice, most: int) -> int:
    """How many rows the next page may act on: at most `most`, what the rate allows, and what is left of the budget."""
    if slice_.max_rate is not None:
        most = min(most, floor(slice_.tokens + _ROUNDING))
    return most if slice_.budget is None else min(most, slice_.budget - slice_.acted)


def used_up(slice_: Slice) -> bool:
    """Whether nothing is left of the slice's budget."""
    return slice_.budget is not None and slice_.acted >= slice_.budget


def _page_rows(rate: float) -> float:
    return max(1.0, rate * PAGE_MS / 1000)
