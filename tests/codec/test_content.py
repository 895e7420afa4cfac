"""Telling a repeated command from one that reuses its id."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings

from streams import codec
from streams.model import Action, Filter, Invocation, Invoke, StartBatch, Status
from support.record_values import records

INVOKE = Invoke(Invocation("i-1", "orders", "process", labels={"a": "1", "b": "2"}), payload=b"x")
BATCH = StartBatch("b-1", Action.KILL, Filter(services=("orders",), statuses=(Status.READY,)), reason="why")


@settings(deadline=None)
@given(records(Invoke))
def test_the_bytes_it_came_in_do_not_count(invoke: Invoke) -> None:
    """The hash is a 64-bit long, the same before encoding and after decoding."""
    decoded = codec.decode(codec.encode(invoke))
    assert isinstance(decoded, Invoke)
    assert codec.content_hash(decoded) == codec.content_hash(invoke)
    assert -(2**63) <= codec.content_hash(invoke) < 2**63


def test_the_order_of_labels_does_not_count() -> None:
    """Maps have no order, so the hash has none of theirs."""
    turned = msgspec.structs.replace(INVOKE.invocation, labels={"b": "2", "a": "1"})
    assert codec.content_hash(msgspec.structs.replace(INVOKE, invocation=turned)) == codec.content_hash(INVOKE)


class Grown(StartBatch, frozen=True):
    """A StartBatch of a later version."""

    added: str | None = None


def test_fields_added_later_do_not_count_while_they_are_default() -> None:
    """A row keeps its hash for months: it must not change when a schema grows."""
    grown = Grown(**{name: getattr(BATCH, name) for name in BATCH.__struct_fields__})
    assert codec.content_hash(grown) == codec.content_hash(BATCH)
    assert codec.content_hash(msgspec.structs.replace(grown, added="x")) != codec.content_hash(BATCH)


def test_the_hash_is_the_same_everywhere() -> None:
    """It stands in changelogs and must be the same on every machine, in every version."""
    assert codec.content_hash(INVOKE) == -8393397392663956076
    assert codec.content_hash(BATCH) == 5704423807568657662


@settings(deadline=None)
@given(records(Invoke), records(Invoke))
def test_other_content_has_another_hash(one: Invoke, other: Invoke) -> None:
    """Two commands have the same hash when they say the same, and only then."""
    assert (codec.content_hash(one) == codec.content_hash(other)) == (one == other)


def test_each_field_counts() -> None:
    """A change of any single field, nested ones included, changes the hash."""
    changed = [
        msgspec.structs.replace(INVOKE, scheduled_at=1),
        msgspec.structs.replace(INVOKE, adopt=True),
        msgspec.structs.replace(INVOKE, payload=b"y"),
        msgspec.structs.replace(INVOKE, payload=None),
        msgspec.structs.replace(INVOKE, invocation=msgspec.structs.replace(INVOKE.invocation, lease_ms=0)),
        msgspec.structs.replace(INVOKE, invocation=msgspec.structs.replace(INVOKE.invocation, labels={})),
        msgspec.structs.replace(INVOKE, invocation=msgspec.structs.replace(INVOKE.invocation, handler="other")),
    ]
    hashes = {codec.content_hash(invoke) for invoke in [INVOKE, *changed]}
    assert len(hashes) == len(changed) + 1
