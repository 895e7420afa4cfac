"""Numbers as Avro writes them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.codec import wire

LONGS = st.integers(-(2**63), 2**63 - 1) | st.integers(-9000, 9000)


@pytest.mark.parametrize(
    ("number", "encoded"),
    [
        (0, "00"),
        (-1, "01"),
        (1, "02"),
        (-64, "7f"),
        (64, "8001"),
        (8191, "fe7f"),
        (8192, "808001"),
        (2**63 - 1, "feffffffffffffffff01"),
        (-(2**63), "ffffffffffffffffff01"),
    ],
)
def test_a_long_is_a_zigzag_varint(number: int, encoded: str) -> None:
    """The examples of Avro's specification, and the edges of what is handled at once."""
    assert wire.write_long(number).hex() == encoded
    assert wire.read_long(bytes.fromhex(encoded), 0) == (number, len(encoded) // 2)


@settings(deadline=None)
@given(LONGS, st.binary(max_size=3), st.binary(max_size=12))
def test_a_long_is_read_where_it_stands(number: int, before: bytes, after: bytes) -> None:
    """The number comes back with the position after it, whatever stands around it."""
    encoded = wire.write_long(number)
    expected = (number, len(before) + len(encoded))
    assert wire.read_long(before + encoded + after, len(before)) == expected
    assert wire.read_time(before + encoded + after, len(before)) == expected


@settings(deadline=None)
@given(st.lists(LONGS) | st.lists(st.integers(0, 9000)), st.binary(max_size=3))
def test_many_longs_are_longs_one_after_the_other(numbers: list[int], after: bytes) -> None:
    """Writing and reading many at once is writing and reading each."""
    encoded = wire.write_longs(numbers)
    assert encoded == b"".join(map(wire.write_long, numbers))
    assert wire.read_longs(encoded + after, 0, len(numbers)) == (numbers, len(encoded))


@settings(deadline=None)
@given(st.lists(st.text(max_size=3)), st.sampled_from((0, 99, 100, 300)), st.binary(max_size=3))
def test_many_texts_are_texts_one_after_the_other(few: list[str], more: int, after: bytes) -> None:
    """Writing and reading many at once is writing and reading each, the second time as the first."""
    texts = (*few, *map(str, range(more)))
    encoded = b"".join(map(wire.write_text, texts))
    for _ in range(2):
        assert wire.write_texts(texts) == encoded
        assert wire.write_texts(list(texts)) == encoded
        assert wire.read_texts(after + encoded + after, len(after), len(texts)) == (texts, len(after) + len(encoded))


def test_a_long_list_is_kept_once() -> None:
    """However often it is read; one that is cut off, or begins like another, is not taken for it."""
    texts = tuple(f"kept {number:0150}" for number in range(200))
    encoded = b"".join(map(wire.write_text, texts))
    wire.read_texts(encoded[:-1], 0, 200)
    first, end = wire.read_texts(encoded, 0, 200)
    assert (first, end) == (texts, len(encoded))
    assert wire.read_texts(b"before" + encoded, 6, 200)[0] is first
    assert wire.read_texts(encoded, 0, 199)[0] == texts[:-1]
    other = encoded[:-1] + b"x"
    assert wire.read_texts(other, 0, 200)[0] == (*texts[:-1], texts[-1][:-1] + "x")


def test_long_lists_kept_are_bounded() -> None:
    """The lists of a hundred filters: only some of them are kept."""
    for number in range(100):
        texts = tuple(f"{number} {each:01000}" for each in range(100))
        body = wire.write_texts(texts)
    assert wire.write_texts(texts) is body
    assert 2**20 < sum(len(body) for _, body in wire._long_lists) <= 2**21


def test_times_kept_are_bounded() -> None:
    """Times are remembered to be read faster, but never without end."""
    for time in range(1_763_000_000_000, 1_763_000_010_000):
        assert wire.read_time(wire.write_long(time), 0) == (time, 6)
    assert 0 < len(wire.KNOWN_TIMES) < 10_000
    assert all(wire.write_long(time) == encoded for encoded, time in wire.KNOWN_TIMES.items())
