"""Page sizes follow the time budget."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.view import PageSizes
from streams.runtime.pacing import (
    FIRST,
    LARGEST,
    SMALLEST,
    Budget,
    Measured,
    MeasuredTick,
    Stopwatch,
    first_sizes,
    tuned,
)


def _dense(size: int, took_ms: float) -> Measured:
    """A page that filled its share of matches."""
    return Measured(PageSizes(5_000, size), size, size, took_ms)


def test_a_slow_page_full_of_matches_shrinks_the_number_of_matches() -> None:
    """A page that took longer than its budget is followed by one of fewer matches; looks stay."""
    assert tuned(PageSizes(5_000, 1_200), [_dense(1_200, 6)], 5) == PageSizes(5_000, 1_000)


def test_a_fast_page_without_matches_grows_the_number_of_looks() -> None:
    """A page that looked at all it might and found little is followed by one that looks at more."""
    sizes = PageSizes(5_000, 1_000)
    assert tuned(sizes, [Measured(sizes, 5_000, 3, 1)], 5) == PageSizes(7_500, 1_000)


def test_the_last_page_of_a_slice_says_nothing() -> None:
    """A page that filled neither share leaves the sizes as they are."""
    assert tuned(FIRST, [Measured(FIRST, 10, 10, 0.01)], 5) == FIRST


def test_a_turn_without_pages_says_nothing() -> None:
    """Where no page was handled the sizes stay."""
    assert tuned(FIRST, [], 5) == FIRST


def test_the_pages_of_a_turn_share_the_budget_and_count_once() -> None:
    """Four pages that together took their budget leave the sizes; four that took far longer take one step down."""
    sizes = PageSizes(5_000, 900)
    assert tuned(sizes, [_dense(900, 1.25)] * 4, 5) == sizes
    assert tuned(sizes, [_dense(900, 40)] * 4, 5) == PageSizes(5_000, 600)


def test_pages_may_take_as_long_as_a_commit() -> None:
    """Below what is set nothing changes; above it the budget follows what commits usually take, up to twice."""
    budget = Budget(15)
    for took_s, low, high in ((0.005, 15, 15), (0.024, 20, 24), (2.0, 29, 30), (0.001, 15, 15)):
        for _ in range(40):
            budget.committed(took_s)
        assert low <= budget.ms <= high


def test_one_slow_commit_says_little() -> None:
    """A single one moves the budget by a tenth of the difference."""
    budget = Budget(15)
    budget.committed(0.025)
    assert budget.ms == pytest.approx(16)


def test_a_page_is_measured_against_what_it_was_allowed() -> None:
    """A page written before the sizes grew says what its own size costs, so that growth does not run ahead of it."""
    assert tuned(PageSizes(5_000, 1_500), [_dense(1_000, 5)], 5) == PageSizes(5_000, 1_000)


def test_what_is_due_follows_the_budget_as_pages_do() -> None:
    """A tick that was full says what a piece of its work costs, one that was not says nothing; both are charged."""
    sizes = PageSizes(5_000, 900, 300)
    assert tuned(sizes, [], 5, [MeasuredTick(300, filled=True, took_ms=6)]) == PageSizes(5_000, 900, 250)
    assert tuned(sizes, [], 5, [MeasuredTick(300, filled=False, took_ms=6)]) == sizes
    slow = [MeasuredTick(300, filled=False, took_ms=8.75)]
    assert tuned(sizes, [_dense(900, 1.25)], 5, slow) == PageSizes(5_000, 600, 300)


@pytest.mark.parametrize(("took_ms", "most", "size"), [(0.1, 400, 400), (0.1, 7, 7), (500, 1_000, 200), (500, 30, 30)])
def test_a_tick_never_does_more_than_it_may(took_ms: float, most: int, size: int) -> None:
    """However fast it is, and one that is slow still gets on."""
    assert tuned(PageSizes(1, 1, 300), [], 5, [MeasuredTick(300, filled=True, took_ms=took_ms)], most).max_due == size
    assert first_sizes(most).max_due == min(most, FIRST.max_due)


def test_a_stopwatch_counts_work_in_full_and_waiting_by_a_quarter() -> None:
    """A thread that sleeps is charged for a part of it only."""
    watch = Stopwatch()
    time.sleep(0.2)
    assert 40 < watch.ms() < 150


@given(
    st.integers(SMALLEST[0], LARGEST[0]),
    st.integers(SMALLEST[1], LARGEST[1]),
    st.floats(0, 1e6),
    st.floats(0.01, 1_000),
    st.booleans(),
)
def test_sizes_never_leave_their_bounds(scanned: int, matched: int, took: float, budget: float, dense: bool) -> None:  # noqa: FBT001
    """Whatever a page took, the next one is neither empty nor boundless."""
    allowed = PageSizes(scanned, matched)
    sizes = tuned(allowed, [Measured(allowed, scanned, matched if dense else 0, took)], budget)
    assert SMALLEST.max_scanned <= sizes.max_scanned <= LARGEST.max_scanned
    assert SMALLEST.max_matched <= sizes.max_matched <= LARGEST.max_matched
