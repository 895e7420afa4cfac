"""Rows held for a cancelled flow or parent: it ends each, or they are let go when they join an open one."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from streams.engine.answers import PageSizes
from streams.model import (
    Act,
    Action,
    CancelFlow,
    CancelPolicy,
    FlowAction,
    ReportTransition,
    SignalKind,
    Status,
)
from support.tables.memory_cluster import BATCH_RETENTION_MS, MemoryCluster, invoke
from support.tables.table_cluster import TableCluster

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.model import Command

FIRST, SECOND, THIRD = "mail/k~1", "mail/k~2", "mail/k~3"


def waiting_behind_its_parent(world: MemoryCluster) -> None:
    """Its parent's executor cancels that one unasked, and somebody purges it, before the child has joined."""
    world.send(
        invoke(SECOND, object_key="k", parent_id=FIRST),
        ReportTransition(FIRST, 1, to=Status.CANCELLED),
        Act(FIRST, Action.PURGE),
    )


def in_a_flow_that_is_forgotten(world: MemoryCluster) -> None:
    """A flow that has no member yet is cancelled, and retention takes it."""
    world.send(
        invoke(SECOND, object_key="k", flow_id="f"),
        CancelFlow("f", FlowAction.KILL, CancelPolicy.CANCEL_ALL),
        ReportTransition(FIRST, 1, to=Status.COMPLETED),
    )
    world.now += BATCH_RETENTION_MS + 1
    world.send(world.next_tick(0, world.tables[0]))


def with_siblings_that_have_ended(world: MemoryCluster) -> None:
    """The flow of the children of an unknown parent is cancelled, and goes with the last child that has joined."""
    world.run(invoke("sibling", parent_id="unknown"))
    world.send(
        ReportTransition("sibling", 1, to=Status.COMPLETED),
        invoke(SECOND, object_key="k", parent_id="unknown"),
        CancelFlow("unknown", FlowAction.KILL, CancelPolicy.CANCEL_ALL, children=True),
        ReportTransition(FIRST, 1, to=Status.COMPLETED),
    )


@pytest.mark.parametrize(
    "held", [waiting_behind_its_parent, in_a_flow_that_is_forgotten, with_siblings_that_have_ended]
)
def test_who_is_held_for_a_cancel_that_is_forgotten_starts_as_it_joins(held: Callable[[MemoryCluster], None]) -> None:
    """Nothing else would ever let it go; it has its object, and the next one waits for it."""
    world = MemoryCluster(1)
    world.run(invoke(FIRST, object_key="k"))
    held(world)
    while SECOND not in world.tables[0].rows or not world.row(SECOND).held:
        world.step(0)
    world.run(invoke(THIRD, object_key="k"))
    assert (world.row(SECOND).status, world.row(SECOND).held) == (Status.READY, False)
    assert world.row(THIRD).status is Status.PENDING
    started = [send.invocation_id for _, send in world.signals if send.kind is SignalKind.START]
    assert started[-1] == SECOND


def _in_hand(to: Status) -> ReportTransition:
    """The executor's report of `m`, to be tried again in a second if it is BACKING_OFF."""
    return ReportTransition("m", 1, to=to, retry_at=1_001_000 if to is Status.BACKING_OFF else None)


STARTS: dict[str, tuple[dict[str, Any], list[Command], list[Command]]] = {
    "its schedule": ({"scheduled_at": 1_001_000}, [], []),
    "its retry": ({}, [_in_hand(Status.BACKING_OFF)], []),
    "its lease": ({"lease_ms": 1_000}, [_in_hand(Status.RUNNING)], []),
    "a resume": ({}, [Act("m", Action.PAUSE)], [Act("m", Action.RESUME)]),
    "a promotion": ({"object_key": "k"}, [], [ReportTransition(FIRST, 1, to=Status.COMPLETED)]),
}


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("end", ["its flow", "its parent"])
def test_on_the_flows_partition_nothing_starts_a_member_that_is_about_to_be_asked(start: str, end: str) -> None:
    """Between the cancel and the order."""
    fields, before, then = STARTS[start]
    world = MemoryCluster(1)
    name = SECOND if start == "a promotion" else "m"
    world.run(invoke(FIRST, object_key="k"), invoke("p"))
    group: dict[str, Any] = {"flow_id": "f"} if end == "its flow" else {"parent_id": "p"}
    world.run(invoke(name, **group, **fields), *before)
    told = len(world.signals)
    world.now += 2_000
    cancel = CancelFlow("f", FlowAction.CANCEL, CancelPolicy.CANCEL_ALL)
    world.run(cancel if end == "its flow" else Act("p", Action.CANCEL), *then, world.next_tick(0, world.tables[0]))
    assert SignalKind.START not in {send.kind for _, send in world.signals[told:]}
    unstarted = start in {"its schedule", "a promotion"}
    assert world.row(name).status is (Status.CANCELLED if unstarted else Status.CANCELLING)


def test_a_join_looks_for_held_rows_only_while_there_may_be_some() -> None:
    """A look writes what the turn has gathered: while nothing is held, the first answer is remembered."""
    with closing(TableCluster(1, PageSizes(5, 5))) as world:
        (table,) = world.tables
        asks = [table.may_hold]
        world.run(invoke(FIRST, object_key="k", flow_id="f"))
        asks.append(table.may_hold)
        world.run(invoke(SECOND, object_key="k", parent_id=FIRST), ReportTransition(FIRST, 1, to=Status.CANCELLED))
        assert [*asks, table.may_hold] == [True, False, True]
        assert world.statuses() == {Status.CANCELLED: 2}
