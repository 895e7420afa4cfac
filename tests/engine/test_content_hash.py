"""What counts as the same content."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from streams.engine import content_hash
from streams.model import Action, Filter, Invoke, StartBatch
from support.memory_cluster import invocation, invoke


def test_the_hash_is_pinned() -> None:
    """Rows written years ago hold this hash: the same content must give it for ever."""
    whole = Invoke(invocation("a", labels={"x": "1", "b": "2"}, lease_ms=5), scheduled_at=7, payload=b"p")
    assert content_hash(whole) == 1166220078946081164
    assert content_hash(StartBatch("b", Action.KILL, Filter(services=("mail",)))) == -384605390936865221


def test_the_hash_fits_a_signed_long() -> None:
    """It is stored as an Avro long."""
    hashes = [content_hash(invoke(str(number))) for number in range(64)]
    assert all(-(2**63) <= value < 2**63 for value in hashes)
    assert any(value < 0 for value in hashes)
    assert len(set(hashes)) == 64


@pytest.mark.parametrize(
    "changed",
    [
        invoke("b"),
        invoke("a", handler="x"),
        invoke("a", labels={"k": "v"}),
        invoke("a", scheduled_at=1),
        invoke("a", adopt=True),
        replace(invoke("a"), payload=b""),
        replace(invoke("a"), payload=None),
    ],
)
def test_every_field_counts(changed: Invoke) -> None:
    """Whatever an invocation says differently is another content."""
    assert content_hash(changed) != content_hash(invoke("a"))


def test_what_is_not_said_does_not_count() -> None:
    """A field at its default, the order of labels and the bytes on the wire make no difference."""
    plain = Invoke(invocation("a", labels={"x": "1", "b": "2"}))
    spelt = Invoke(
        invocation("a", object_key=None, labels={"b": "2", "x": "1"}), scheduled_at=None, adopt=False, encoded=b"z"
    )
    assert content_hash(plain) == content_hash(spelt)
