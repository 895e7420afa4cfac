"""Cancelled flows in an export: they are cancelled in the other service before anybody joins."""

from __future__ import annotations

from contextlib import closing
from random import Random
from typing import TYPE_CHECKING

import pytest

from streams import codec
from streams.model import (
    Act,
    Action,
    CancelFlow,
    CancelPolicy,
    FlowAction,
    Invocation,
    Invoke,
    OnTimeout,
    ReportTransition,
    Status,
)
from streams.offline.export import Exported, commands, restored
from streams.offline.moves import Terms, parents_first
from support.service.worker_world import World
from support.tables.memory_cluster import MemoryCluster

if TYPE_CHECKING:
    from pathlib import Path

HOUR = 3_600_000


def of_children(parent: str) -> CancelFlow:
    """A cancel of an invocation's children."""
    return CancelFlow(parent, FlowAction.KILL, CancelPolicy.CANCEL_ALL, children=True)


@pytest.mark.parametrize("seed", range(20))
def test_parents_come_before_children(seed: int) -> None:
    """In a tree, whatever the order of its flows in the tables; a named flow comes before all of them."""
    above = {"root": None, "a": "root", "b": "root", "aa": "a", "ab": "a", "aaa": "aa", "lone": "nobody"}
    named = CancelFlow("root", FlowAction.CANCEL, CancelPolicy.FLOW_ONLY)
    cancels: list[tuple[CancelFlow, str | None]] = [(of_children(name), parent) for name, parent in above.items()]
    Random(seed).shuffle(cancels)
    ordered = list(parents_first([*cancels, (named, None)]))
    assert ordered[0] == named
    places = {cancel.flow_id: place for place, cancel in enumerate(ordered[1:])}
    assert set(places) == set(above)
    for name, parent in above.items():
        assert parent not in places or places[parent] < places[name]


def test_a_cycle_is_written_once() -> None:
    """Two invocations that name each other as parent."""
    ordered = parents_first([(of_children("a"), "b"), (of_children("b"), "a")])
    assert sorted(cancel.flow_id for cancel in ordered) == ["a", "b"]


def test_a_cancelled_flow_is_cancelled_in_the_other_service(tmp_path: Path) -> None:
    """With its action, policy, grace, reason and actor, before the first Invoke; an open one is made by its members."""
    cancel = CancelFlow("gone/1", FlowAction.CANCEL, CancelPolicy.CANCEL_PENDING, HOUR, OnTimeout.LEAVE, "why", "ada")
    with closing(World(tmp_path)) as world:
        for flow_id in ("gone/1", "open"):
            world.invoke(Invoke(Invocation(f"of {flow_id}", "mail", "send", flow_id=flow_id)))
        for name, parent in (("root", None), ("child", "root"), ("grandchild", "child")):
            world.invoke(Invoke(Invocation(name, "mail", "send", parent_id=parent)))
        world.run_until_idle()
        for name in ("of gone/1", "root", "child", "grandchild"):
            world.send(ReportTransition(name, 1, to=Status.RUNNING), key=name)
        world.run_until_idle()
        world.send(cancel, key="gone/1")
        world.send(Act("root", Action.CANCEL, grace_ms=HOUR), key="root")
        world.run_until_idle()
        world.close()
        world.cluster.kill()
        exported, now = Exported(), world.cluster.now
        with restored(world.settings, world.cluster) as (stores, _):
            found = list(commands(stores, Terms(now, False, now), exported))
    cancels = found[: exported.cancelled]
    assert cancels[0] == cancel
    assert [each.flow_id for each in cancels[1:] if isinstance(each, CancelFlow)] == ["root", "child"]
    assert not any(isinstance(each, CancelFlow) for each in found[exported.cancelled :])
    cluster = MemoryCluster(5)
    cluster.now = now
    cluster.run(*(codec.decode_command(codec.encode(each)) for each in found))
    late = Invoke(Invocation("late", "mail", "send", parent_id="child"))
    cluster.run(codec.decode_command(codec.encode(late)))
    asked = ("root", "child", "grandchild", "late")
    assert [cluster.row(name).status for name in asked] == [Status.CANCELLING] * 4
    assert cluster.row("of gone/1").status is Status.RUNNING
    flows = {name: flow for table in cluster.tables for name, flow in table.flows.items()}
    assert flows[False, "open"].action is None
    assert (flows[False, "gone/1"].policy, flows[False, "gone/1"].cause.reason) == (cancel.policy, "why")


def test_a_flow_with_restarted_members_is_open_in_the_other_service(tmp_path: Path) -> None:
    """Its cancel would reach them there, for whom it was over here; the report names it."""
    with closing(World(tmp_path)) as world:
        for name in ("a", "b"):
            world.invoke(Invoke(Invocation(name, "mail", "send", flow_id="f")))
        world.invoke(Invoke(Invocation("c", "mail", "send", flow_id="g")))
        world.run_until_idle()
        for flow_id in ("f", "g"):
            world.send(CancelFlow(flow_id, FlowAction.KILL, CancelPolicy.CANCEL_ALL), key=flow_id)
        world.run_until_idle()
        world.send(Act("a", Action.RESTART), key="a")
        world.run_until_idle()
        world.close()
        world.cluster.kill()
        exported, now = Exported(), world.cluster.now
        with restored(world.settings, world.cluster) as (stores, _):
            found = list(commands(stores, Terms(now, True, now), exported))
    assert (exported.cancelled, exported.opened) == (1, ["f"])
    cluster = MemoryCluster(3)
    cluster.run(*(codec.decode_command(codec.encode(each)) for each in found))
    assert cluster.row("a").status is Status.READY
    assert [each.flow_id for each in found if isinstance(each, CancelFlow)] == ["g"]
