"""How far a partition is dealt with, and what a restart makes of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.client.executor.watermark import MAX_METADATA, Watermark

offsets = st.sets(st.integers(0, 3_000), min_size=1, max_size=120).map(sorted)


@given(offsets, st.data())
def test_the_next_life_sees_exactly_what_was_open(seen: list[int], data: st.DataObject) -> None:
    """Whatever was done, in any order and through any number of lives: open signals come again, others never."""
    waiting = set(seen)
    watermark = Watermark()
    for _ in range(data.draw(st.integers(1, 4), label="lives")):
        offset, metadata = watermark.commit()
        assert len(metadata) <= MAX_METADATA
        watermark = Watermark.restored(offset, metadata)
        read = [each for each in seen if each >= offset][: data.draw(st.integers(0, len(seen)), label="read")]
        new = {each for each in read if watermark.seen(each)}
        assert new == waiting & set(read)
        done = data.draw(st.sets(st.sampled_from(sorted(new))) if new else st.just(set()), label="done")
        for each in done:
            watermark.done(each)
        waiting -= done
        reached, _ = watermark.commit()
        assert all(each >= reached for each in waiting)


def test_more_than_fits_comes_again() -> None:
    """Open signals beyond the metadata's size make the commit claim less, never more."""
    watermark = Watermark()
    for offset in range(0, 2_000_000, 500):
        watermark.seen(offset)
        if offset % 1_000:
            watermark.done(offset)
    offset, metadata = watermark.commit()
    assert offset == 0
    assert len(metadata) <= MAX_METADATA
    again = Watermark.restored(offset, metadata)
    open_again = [each for each in range(0, 2_000_000, 500) if again.seen(each)]
    assert set(open_again) >= set(range(0, 2_000_000, 1_000))
    assert 500 not in open_again


def test_a_signal_is_seen_once() -> None:
    """Read again by the same life, it is no news, open or not."""
    watermark = Watermark()
    assert watermark.seen(5)
    assert not watermark.seen(5)
    watermark.done(5)
    assert not watermark.seen(5)
    assert watermark.commit() == (6, "")


@pytest.mark.parametrize("metadata", ["NONE", "x;1", "5;a", ";"])
def test_metadata_of_another_program_is_ignored_aloud(metadata: str, caplog: pytest.LogCaptureFixture) -> None:
    """The offset counts, all behind it comes again, and the log says so."""
    watermark = Watermark.restored(7, metadata)
    assert watermark.commit() == (7, "")
    assert watermark.seen(7)
    assert "metadata of another program" in caplog.text
