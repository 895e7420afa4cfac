"""Flows: members that join, are asked, acted on, and answered for, by the type of record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.gate.kinds import LATER, ROWS, kind, reports
from bench.lib.workload import DAY_MS
from streams.model import (
    ActMembers,
    CancelFlow,
    CancelPolicy,
    ContinueFlow,
    FlowAction,
    JoinFlow,
    MemberAck,
    MemberEnded,
    Status,
)

if TYPE_CHECKING:
    from bench.gate.kinds import Round
    from bench.gate.world import World

_FLOWS = 4
_FEW = 10
_MEMBERS = 160
"""Of a flow that is followed to its end."""


def _members(world: World, own: Round, count: int = ROWS, *, running: bool) -> str:
    """A flow with members; returns its id."""
    flow, names = own.ids(1)[0], own.ids(count)
    made = own.running(names, flow_id=flow) if running else own.invokes(names, at=LATER, flow_id=flow)
    world.apply(made)
    return flow


def _cancel(flow: str, action: FlowAction = FlowAction.KILL) -> CancelFlow:
    policy = CancelPolicy.CANCEL_ALL
    return CancelFlow(flow, action, policy, grace_ms=None if action is FlowAction.KILL else DAY_MS)


@kind("Flow, JoinFlow", ROWS)
def _(world: World, own: Round) -> None:
    world.take(own.invokes(own.ids(ROWS), flow_id=own.ids(1)[0]))
    world.go_on(only={JoinFlow})


@kind("Flow, ContinueFlow", ROWS)
def _(world: World, own: Round) -> None:
    world.take([_cancel(_members(world, own, running=True))])
    world.go_on(only={ContinueFlow})


@kind("Flow, ActMembers, kill, running", ROWS)
def _(world: World, own: Round) -> None:
    world.take([_cancel(_members(world, own, running=True))])
    world.go_on(only={ActMembers})


@kind("Flow, ActMembers, kill, never started", ROWS)
def _(world: World, own: Round) -> None:
    world.take([_cancel(_members(world, own, running=False))])
    world.go_on(only={ActMembers})


@kind("Flow, ActMembers, cancel, running", ROWS)
def _(world: World, own: Round) -> None:
    world.take([_cancel(_members(world, own, running=True), FlowAction.CANCEL)])
    world.go_on(only={ActMembers})


@kind("Flow, MemberAck", ROWS)
def _(world: World, own: Round) -> None:
    world.take([_cancel(_members(world, own, running=True), FlowAction.CANCEL)])
    world.go_on(only={MemberAck})


@kind("Flow, MemberEnded", ROWS)
def _(world: World, own: Round) -> None:
    world.take([_cancel(_members(world, own, running=True))])
    world.go_on(only={MemberEnded})


@kind("Flow, children of what is killed", _MEMBERS)
def _(world: World, own: Round) -> None:
    parents, names = own.ids(_MEMBERS // _FEW), own.ids(_MEMBERS)
    world.apply(own.running(parents, flow_id=(flow := own.ids(1)[0])))
    for place, parent in enumerate(parents):
        world.take(own.invokes(names[place * _FEW : (place + 1) * _FEW], parent_id=parent))
    world.go_on()
    world.apply([_cancel(flow)], count=True)


@kind("Flow, few members, killed", _FLOWS)
def _(world: World, own: Round) -> None:
    flows = own.ids(_FLOWS)
    for flow in flows:
        world.take(own.running(own.ids(_FEW), flow_id=flow))
    world.go_on()
    world.apply(map(_cancel, flows), count=True)


@kind("Flow, members asked again by time", _MEMBERS)
def _(world: World, own: Round) -> None:
    world.apply([_cancel(_members(world, own, _MEMBERS, running=True), FlowAction.CANCEL)])
    world.tick(world.settings.reconcile_interval_ms + 1_000, count=True)


@kind("Flow, cancels answered", _MEMBERS)
def _(world: World, own: Round) -> None:
    flow, names = own.ids(1)[0], own.ids(_MEMBERS)
    world.apply(own.running(names, flow_id=flow))
    world.apply([_cancel(flow, FlowAction.CANCEL)])
    world.apply(reports(names, Status.CANCELLED), count=True)
