"""What is recalled from earlier records is what reading again gives."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams import codec
from streams.codec.part_cache import Known
from streams.model import Invocation, Invoke

LABELS = [{}, {"tenant": "acme"}, {"tenant": "globex"}, {"tenant": "acme", "region": "eu"}, {"tenant": "ü" * 200}]

alike = st.builds(
    Invocation,
    st.sampled_from(["a", "b" * 40, "ü"]),
    st.sampled_from(["billing", "billing-of-a-very-long-name-indeed"]),
    st.sampled_from(["send", "sent"]),
    deployment_id=st.none() | st.sampled_from(["d1", "d2"]),
    lease_ms=st.none() | st.integers(1, 3),
    labels=st.sampled_from(LABELS),
)


@settings(deadline=None)
@given(st.lists(st.builds(Invoke, alike, payload=st.none() | st.binary(max_size=4)), max_size=60))
def test_records_that_are_alike_are_told_apart(commands: list[Invoke]) -> None:
    """However many of them begin with the same bytes, each comes back as it was."""
    for command in commands:
        decoded = codec.decode_command(codec.encode(command))
        assert isinstance(decoded, Invoke)
        assert decoded.invocation == command.invocation
        assert decoded.encoded == codec.encode_invocation(command.invocation)
        assert decoded.payload == command.payload


def test_what_is_recalled_must_be_there_to_its_end() -> None:
    """A record that is cut where a known one goes on is malformed."""
    body = codec.encode_invocation(Invocation("i1", "billing", "send", labels={"tenant": "acme"}))
    assert codec.decode_invocation(body).labels == {"tenant": "acme"}
    for end in range(len(body)):
        with pytest.raises(codec.BadRecordError, match="Invocation"):
            codec.decode_invocation(body[:end])


def test_labels_are_each_invocations_own() -> None:
    """Whoever changes the labels that he was given changes nobody else's."""
    body = codec.encode_invocation(Invocation("i1", "billing", "render", labels={"tenant": "acme"}))
    for _ in range(3):
        labels = codec.decode_invocation(body).labels
        assert labels == {"tenant": "acme"}
        labels["tenant"] = "another"


def test_too_many_that_begin_alike_are_given_up() -> None:
    """As with an id of its own in each; what begins otherwise is still known."""
    known = Known()
    known.remember(b"x" * 50, ("other",))
    for number in range(8):
        known.remember(b"y" * 40 + bytes((number,)), (number,))
    assert [each[1] for each in known[b"y" * 40]] == list(range(8))
    known.remember(b"y" * 40 + b"last", (8,))
    known.remember(b"y" * 40 + b"later", (9,))
    assert known[b"y" * 40] == []
    assert known[b"x" * 40] == [(b"x" * 50, "other")]


def test_what_is_known_is_bounded() -> None:
    """By number and by length."""
    known = Known()
    for number in range(3_000):
        known.remember(number.to_bytes(40), ())
    assert 0 < len(known) <= 1_024
    known.clear()
    known.remember(b"x" * 257, ())
    assert not known
