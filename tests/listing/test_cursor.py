"""Cursors hold a place and belong to a filter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.listing.cursor import decode_cursor, encode_cursor
from streams.listing.query import QueryRefusedError
from streams.model import Exclusion, Filter, Status

WANTED = Filter(services=("a", "b"), labels={"k": "v", "l": "w"}, statuses=(Status.RUNNING, Status.FAILED))
places = st.dictionaries(st.integers(0, 255), st.none() | st.integers(0, 2**62))


@given(places)
def test_a_cursor_holds_its_places(given: dict[int, int | None]) -> None:
    """As text that needs no quoting in a URL."""
    cursor = encode_cursor(WANTED, given)
    assert cursor.replace("-", "").replace("_", "").isalnum()
    assert decode_cursor(cursor, WANTED) == given


def test_the_order_of_listed_values_makes_no_difference() -> None:
    """The same filter, from an address bar that was put together in another order."""
    other = Filter(services=("b", "a", "b"), labels={"l": "w", "k": "v"}, statuses=(Status.FAILED, Status.RUNNING))
    assert decode_cursor(encode_cursor(WANTED, {1: 2}), other) == {1: 2}


@pytest.mark.parametrize(
    "other",
    [
        Filter(match_all=True),
        Filter(services=("a",)),
        Filter(services=("a", "b"), labels={"k": "v", "l": "x"}, statuses=(Status.RUNNING, Status.FAILED)),
        Filter(match_all=True, exclude=Exclusion(services=("a", "b"))),
    ],
)
def test_a_cursor_of_another_filter_is_refused(other: Filter) -> None:
    """By name: going on with it would skip rows."""
    with pytest.raises(QueryRefusedError, match="cursor belongs to another filter") as refused:
        decode_cursor(encode_cursor(WANTED, {0: 7}), other)
    assert refused.value.field == "cursor"


@given(st.text() | st.binary().map(lambda data: data.hex()))
def test_garbage_is_refused(text: str) -> None:
    """Whatever stands in an address bar."""
    with pytest.raises(QueryRefusedError, match="cursor"):
        decode_cursor(text, WANTED)
