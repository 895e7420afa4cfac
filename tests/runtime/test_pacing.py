"""Page sizes follow the time budget."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.engine.view import PageSizes
from streams.runtime.pacing import FIRST, LARGEST, SMALLEST, tuned


def test_a_slow_page_full_of_matches_shrinks_the_number_of_matches() -> None:
    """A page that took twice its budget is followed by one of half the matches; looks stay."""
    sizes = PageSizes(5_000, 1_000)
    assert tuned(sizes, scanned=1_000, matched=1_000, took_ms=10, budget_ms=5) == PageSizes(5_000, 500)


def test_a_fast_page_without_matches_grows_the_number_of_looks() -> None:
    """A page that looked at all it might and found little is followed by one that looks at more."""
    assert tuned(PageSizes(5_000, 1_000), scanned=5_000, matched=3, took_ms=1, budget_ms=5) == PageSizes(7_500, 1_000)


def test_the_last_page_of_a_slice_says_nothing() -> None:
    """A page that filled neither share leaves the sizes as they are."""
    assert tuned(FIRST, scanned=10, matched=10, took_ms=0.01, budget_ms=5) == FIRST


@given(
    st.integers(SMALLEST[0], LARGEST[0]),
    st.integers(SMALLEST[1], LARGEST[1]),
    st.floats(0, 1e6),
    st.floats(0.01, 1_000),
    st.booleans(),
)
def test_sizes_never_leave_their_bounds(scanned: int, matched: int, took: float, budget: float, dense: bool) -> None:  # noqa: FBT001
    """Whatever a page took, the next one is neither empty nor boundless."""
    sizes = tuned(
        PageSizes(scanned, matched), scanned=scanned, matched=matched if dense else 0, took_ms=took, budget_ms=budget
    )
    assert SMALLEST.max_scanned <= sizes.max_scanned <= LARGEST.max_scanned
    assert SMALLEST.max_matched <= sizes.max_matched <= LARGEST.max_matched
