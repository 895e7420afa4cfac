"""Time and flows: the cancel reconciler chooses flows whose members have not answered, and old flows are forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from msgspec.structs import replace

from streams.engine.counters import RECONCILED_FLOWS, RECONCILED_IN_VAIN
from streams.engine.effects import Count, PutFlow, RemoveFlow, SetReconciled
from streams.engine.weights import of_flow, of_removal

if TYPE_CHECKING:
    from collections.abc import Container

    from streams.engine.answers import At
    from streams.engine.effects import Effect
    from streams.engine.view import View
    from streams.model import Flow, Tick

MAX_FLOWS: Final = 50
"""Most flows that the reconciler chooses at a time."""
MAX_RECHECKED: Final = 500
"""Most members of a flow that it asks again at a time."""
MAX_WAIT_MS: Final = 600_000
"""Longest time until a flow is looked after again."""


class Allowance(Protocol):
    """The rest of a tick's allowance."""

    pieces: int

    @property
    def nothing(self) -> bool:
        """True if it is used up."""

    def take(self, weight: int) -> None:
        """Take one piece of this weight, in bytes, from it."""


def reconcile(command: Tick, left: Allowance, killed: Container[str], at: At, view: View) -> list[Effect]:
    """Choose due flows, the longest due first: their unanswered members are asked again, page by page.

    Each gets its next time at once, whether or not there is anybody to ask: it cannot keep the place of another.
    `killed`: ids of invocations that this tick has killed, which hand that on to the flow of their children.
    """
    meta, labels = view.meta, command.reconcile_labels
    now, interval = min(command.due_until, at.now), command.reconcile_interval_ms
    chosen: list[Flow] = []
    if not left.nothing and now - meta.reconciled_at >= interval:
        due = view.due_flows(now - interval, min(MAX_FLOWS, left.pieces))
        chosen = [flow for flow in due if not (flow.children and flow.flow_id in killed)]
    if not chosen:
        return [] if labels == meta.reconcile_labels else [SetReconciled(meta.reconciled_at, labels)]
    effects: list[Effect] = [SetReconciled(now, labels), Count(RECONCILED_FLOWS, len(chosen))]
    if in_vain := sum(flow.tries > 0 for flow in chosen):
        effects.append(Count(RECONCILED_IN_VAIN, in_vain))
    for flow in chosen:
        left.take(of_flow(flow))
        effects.append(PutFlow(_chosen(flow, now, interval, labels, at, view.partitions)))
    return effects


def _chosen(flow: Flow, now: int, interval: int, labels: dict[str, str], at: At, partitions: int) -> Flow:
    wait = min(interval << min(flow.tries, 20), MAX_WAIT_MS)
    return replace(
        flow,
        due_at=now + wait,
        tries=flow.tries + 1,
        recheck_left=MAX_RECHECKED,
        recheck_turn=partitions + (flow.recheck_seq >= 0),
        recheck_labels=labels,
        revision=at.offset,
        updated_at=at.now,
    )


def forget_flows(command: Tick, left: Allowance, view: View) -> list[Effect]:
    """Forget flows that have had no member for long."""
    effects: list[Effect] = []
    for flow in () if left.nothing else view.finished_flows(command.batches_ended_before, left.pieces):
        if left.nothing:
            break
        left.take(of_removal(flow.flow_id))
        effects.append(RemoveFlow(flow.flow_id, flow.children))
    return effects
