"""What counts as the same content."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from msgspec.structs import replace

from streams.engine import content_hash
from streams.model import Action, Exclusion, Filter, Invocation, Invoke, StartBatch
from support.records.record_values import records
from support.tables.memory_cluster import invocation, invoke


def test_the_hash_is_pinned() -> None:
    """Rows written years ago hold this hash: the same content must give it for ever."""
    whole = Invoke(invocation("a", labels={"x": "1", "b": "2"}, lease_ms=5), scheduled_at=7, payload=b"p")
    assert content_hash(whole) == 1166220078946081164
    assert content_hash(StartBatch("b", Action.KILL, Filter(services=("mail",)))) == -384605390936865221


def test_a_batch_that_leaves_out_is_another_than_one_that_does_not() -> None:
    """What is left out, and each label's list, count; the order of labels does not, nor what is not said."""
    plain = StartBatch("b", Action.KILL, Filter(match_all=True))
    lists = {"x": ("1", "2"), "y": ("3",)}
    several = [
        plain,
        replace(plain, filter=Filter(match_all=True, labels_in=lists)),
        replace(plain, filter=Filter(match_all=True, labels_in=lists | {"x": ("1",)})),
        replace(plain, filter=Filter(match_all=True, exclude=Exclusion(labels_in=lists))),
        replace(plain, filter=Filter(match_all=True, exclude=Exclusion(labels={"x": "1"}))),
    ]
    assert len({content_hash(each) for each in several}) == len(several)
    turned = Filter(match_all=True, exclude=Exclusion(labels_in=dict(reversed(lists.items())), services=None))
    assert content_hash(replace(plain, filter=turned)) == content_hash(several[3])


@pytest.mark.parametrize("kind", [Invoke, Invocation])
def test_what_is_hashed_as_it_stands_has_few_fields(kind: type[Invoke | Invocation]) -> None:
    """A sixteenth field, even at its default, would change the hash of what was written before there was one."""
    assert len(kind.__struct_fields__) <= 15


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


@settings(deadline=None)
@given(records(Invoke), records(Invoke))
def test_only_the_same_content_has_the_same_hash(one: Invoke, other: Invoke) -> None:
    """Two commands have the same hash when they say the same, and only then."""
    assert (content_hash(one) == content_hash(other)) == (one == other)
    assert content_hash(replace(one, encoded=b"as it came")) == content_hash(one)


class Grown(StartBatch, frozen=True):
    """A `StartBatch` of a later version."""

    added: str | None = None


def test_a_field_added_later_does_not_count_while_it_is_not_set() -> None:
    """A row keeps its hash for months: it must not change when a schema grows."""
    today = StartBatch("b", Action.KILL, Filter(services=("mail",)), reason="why")
    grown = Grown(**{name: getattr(today, name) for name in today.__struct_fields__})
    assert content_hash(grown) == content_hash(today)
    assert content_hash(replace(grown, added="x")) != content_hash(today)


def test_what_is_not_said_does_not_count() -> None:
    """A field at its default, the order of labels and the bytes on the wire make no difference."""
    plain = Invoke(invocation("a", labels={"x": "1", "b": "2"}))
    spelt = Invoke(
        invocation("a", object_key=None, labels={"b": "2", "x": "1"}), scheduled_at=None, adopt=False, encoded=b"z"
    )
    assert content_hash(plain) == content_hash(spelt)
