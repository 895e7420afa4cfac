"""Keys, columns and texts that records are turned into."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.codec import encode_invocation
from streams.model import Cause, Ending, Invocation, OnTimeout
from streams.state import columns, keys, labels

texts = st.text(st.sampled_from("ab@[^_\x00\x1b\x1e\x1f"), max_size=4)


@given(st.text(min_size=1, max_size=256))
def test_an_id_can_always_be_taken_off_an_encoded_invocation_and_put_back(name: str) -> None:
    """Avro's leading string is found whatever its length in bytes."""
    encoded = encode_invocation(Invocation(name, "mail", "send", labels={"a": "b"}))
    rest = columns.without_id(encoded, name)
    assert rest == columns.without_id(encode_invocation(Invocation("x", "mail", "send", labels={"a": "b"})), "x")
    assert columns.with_id(bytes(rest), name) == encoded


@given(st.dictionaries(texts, texts, max_size=3), texts, texts)
def test_labels_always_contain_exactly_their_own(pairs: dict[str, str], key: str, value: str) -> None:
    """A label is found in the text of all labels if, and only if, it is one of them."""
    text = labels.labels_text(pairs)
    assert (labels.label_text(key, value) in (text or "")) is (pairs.get(key) == value)
    assert (text is None) is (not pairs)
    assert "\0" not in (text or "")


def test_long_labels_are_not_remembered() -> None:
    """What is remembered of labels is bounded by their length, not only by their number."""
    before = labels._joined.cache_info().misses
    for number in range(9):
        long = {f"long{number}": "v" * 2_000}
        assert labels.labels_text(long) == labels.label_text(f"long{number}", "v" * 2_000)
    assert labels._joined.cache_info().misses == before
    labels.labels_text({"a label": "of a usual length"})
    assert labels._joined.cache_info().misses == before + 1


def test_an_ending_comes_back_as_it_was() -> None:
    """All of its fields are kept; none stays none."""
    ending = Ending(Cause("b", "f", "ann", "why"), OnTimeout.LEAVE, 5, 3, "b", "broken")
    assert columns.unpack_ending(columns.pack_ending(ending)) == ending
    assert columns.unpack_ending(columns.pack_ending(None)) is None


@pytest.mark.parametrize(
    ("key", "kind", "name"),
    [
        (keys.invocation_key("a/b~1"), "i", "a/b~1"),
        (keys.payload_key("x"), "p", "x"),
        (keys.batch_key("b"), "b", "b"),
        (keys.slice_key("s"), "s", "s"),
        (keys.delta_key(17), "d", "17"),
        (keys.META_KEY, "m", ""),
    ],
)
def test_a_key_is_split_into_what_it_was_made_of(key: str, kind: str, name: str) -> None:
    """The kind is one letter, the name whatever follows its slash."""
    assert keys.split_key(key) == (kind, name)
