"""The door of a partition: which rule ends what arrives."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from streams.model import (
    Action,
    CancelFlow,
    CancelPolicy,
    Cause,
    Exclusion,
    Filter,
    FlowAction,
    Invocation,
    JoinFlow,
    OnTimeout,
    ReportTransition,
    SignalKind,
    Slice,
    SliceState,
    Status,
)
from streams.state.door import Door
from support.tables.memory_cluster import MemoryCluster, invoke
from support.tables.memory_table import MemoryTable
from support.tables.standing_rules import counted, rule, told

ANY_OF: tuple[dict[str, tuple[str, ...]] | None, ...] = (None, None, {"a": ("b", "c")}, {"a": ("a",), "c": ("b", "c")})


def slice_of(random: Random) -> Slice:
    """One of three slices, each with a cut-off of its own, and a filter that matches now and then."""
    lists: dict[str, Any] = {name: random.choice((None, None, None, ("a",), ("b", "a"))) for name in LISTS}
    filter_ = Filter(
        **lists,
        created_from=random.choice((None, None, 1)),
        created_until=random.choice((None, None, 3)),
        labels=random.choice((None, None, {"a": "a"}, {"a": "a", "b": "b"})),
        labels_in=random.choice(ANY_OF),
        exclude=random.choice((None, None, *LEFT_OUT)),
    )
    number, until = random.randrange(3), random.choice((None, *range(1, 5)))
    state, name = random.choice((SliceState.RUNNING,) * 4 + tuple(SliceState)), f"b{number}"
    return Slice(
        name, 0, Action.KILL, filter_, False, 0, OnTimeout.KILL, Cause(name), state, 5 - number, -1, *(0,) * 7,
        (), (), 0, 0, 0, standing_until=until,
    )  # fmt: skip


LEFT_OUT = (
    *(
        Exclusion(services=("b",), object_keys=("b",)),
        Exclusion(labels={"a": "b", "b": "b"}),
        Exclusion(flow_ids=("a",)),
    ),
    *(Exclusion(created_from=1, created_until=3), Exclusion(created_from=3), Exclusion(deployment_ids=("a",))),
    *(Exclusion(labels_in={"a": ("b", "c"), "c": ("c",)}, handlers=("b",)), Exclusion(parent_ids=("b",))),
)
LISTS = ("services", "handlers", "object_keys", "deployment_ids", "flow_ids", "parent_ids")


def invocation_of(random: Random) -> Invocation:
    """One whose fields are those of a filter, or absent."""
    fields: dict[str, Any] = {
        name: random.choice(("a", "a", "b", None)) for name in ("object_key", "deployment_id", "flow_id")
    }
    labels = random.choice(({}, {"a": "a"}, {"a": "b"}, {"a": "a", "b": "b", "c": "c"}))
    return Invocation("i", random.choice("aab"), random.choice("aab"), parent_id="a", labels=labels, **fields)


@given(st.integers(0, 2**32))
def test_a_door_finds_the_rule_that_an_onlooker_would_name(seed: int) -> None:
    """Filters made ready say what the filter says word by word, whatever has come and gone."""
    random = Random(seed)
    door, plain = Door(), MemoryTable()
    for _ in range(12):
        if random.random() < 0.2:
            gone = f"b{random.randrange(3)}"
            door.remove(gone)
            plain.slices.pop(gone, None)
        elif random.random() < 0.1:
            plain.slices.popitem() if plain.slices else None
            door = Door()
            for slice_ in reversed(plain.slices.values()):
                door.put(slice_)
        else:
            put = slice_of(random)
            door.put(put)
            plain.slices[put.batch_id] = put
        for _ in range(8):
            invocation, now = invocation_of(random), random.randrange(5)
            expected = plain.at_the_door(invocation, now)
            assert door.first(invocation, now) is expected
            if expected is not None:
                moved = plain.slices[expected.batch_id] = replace(expected, matched=9, done=9)
                door.put(moved)
                assert door.first(invocation, now) is moved


@pytest.mark.parametrize("adopt", [False, True])
def test_what_is_ended_at_the_door_takes_no_place_in_an_inbox(adopt: bool) -> None:  # noqa: FBT001
    """It is never promoted, holds no object once it has ended, and leaves the one that waits where it is."""
    cluster = MemoryCluster(1)
    cluster.run(*(invoke(f"mail/k~{n}", object_key="k", labels={"keep": "yes"}) for n in range(2)))
    cluster.run(rule(Action.CANCEL, filter=Filter(labels={"keep": "no"}), grace_ms=9_000))
    cluster.run(invoke("mail/k~doomed", object_key="k", labels={"keep": "no"}, adopt=adopt))
    cluster.run(invoke("mail/k~last", object_key="k", labels={"keep": "yes"}))
    cluster.run(ReportTransition("mail/k~0", 1, to=Status.COMPLETED))
    if adopt:
        assert cluster.row("mail/k~1").status is Status.PENDING, "the adopted one has not ended yet"
        cluster.run(ReportTransition("mail/k~doomed", 1, to=Status.CANCELLED))
    assert cluster.row("mail/k~doomed").status is Status.CANCELLED
    assert (cluster.row("mail/k~1").status, cluster.row("mail/k~last").status) == (Status.READY, Status.PENDING)
    assert [name for name, kind in told(cluster) if kind is SignalKind.START] == ["mail/k~0", "mail/k~1"]
    assert counted(cluster) == (1, 1, 0, 0, 0)


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_standing_rule_comes_before_a_cancelled_flow(cancelled: bool) -> None:  # noqa: FBT001
    """It counts what it ends at the door, which joins no flow."""
    cluster = MemoryCluster(1)
    if cancelled:
        cluster.run(CancelFlow("f", FlowAction.KILL, CancelPolicy.CANCEL_ALL))
    cluster.run(rule())
    cluster.run(invoke("m", flow_id="f", parent_id="p"))
    ending = cluster.row("m").ending
    assert ending is not None
    assert (ending.cause.batch_id, ending.counted_by, counted(cluster)) == ("b", "b", (1, 1, 0, 0, 0))
    assert [flow.ended for flow in cluster.tables[0].flows.values()] == [0] * cancelled
    assert not any(isinstance(command, JoinFlow) for _, command in cluster.logs[0])


def test_a_cancelled_flow_lets_an_adopted_member_in_and_asks_it() -> None:
    """It runs already: its executor is to be told."""
    cluster = MemoryCluster(1)
    cluster.run(CancelFlow("f", FlowAction.KILL, CancelPolicy.CANCEL_ALL), invoke("m", flow_id="f", adopt=True))
    assert (cluster.row("m").status, told(cluster)) == (Status.KILLED, [("m", SignalKind.KILL)])
    assert cluster.tables[0].flows[False, "f"].ended == 1
