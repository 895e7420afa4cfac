"""Whom a flow's cancel asks, page by page, and whom the reconciler asks again: the choice is the engine's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from streams.model import ENGINE_VERSION, ActMembers, ContinueFlow, JoinFlow, MemberState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.model import Command
    from support.reference.partition import Partition
    from support.reference.state import Flow, Member, Place

FEW = 32
"""A flow of no more members may be asked without a page; the protocol leaves it open, so it is the engine's number."""
MOST_CHOSEN = 50
MOST_ASKED_AGAIN = 500
MOST_UNANSWERED = 20_000
MOST_WAIT_MS = 600_000


def continue_flow(p: Partition, command: ContinueFlow) -> None:
    """The outstanding page; any other is a no-op. Which members it asks is the engine's choice."""
    if not p.outstanding or command.page != p.page:
        return
    flow = p.flows.get((command.children, command.flow_id))
    if flow is not None:
        asked = take_asked(p, flow, command)
        if asked > command.max_matched:
            p.wrong(f"{flow.name}: a page asks {asked}")
        _take_reconciled(p, flow)
    p.turn_page([*p.taking_turns(), *p.flows_taking_turns()])


def rest_of(command: Command, appended: Sequence[tuple[int, Command]]) -> ActMembers | None:
    """What a command has left over of its members, if it is of that kind and has."""
    if not isinstance(command, ActMembers):
        return None
    for _, following in appended:
        if isinstance(following, ActMembers) and 0 < len(following.seqs) < len(command.seqs):
            same = replace(command, seqs=following.seqs, max_rows=following.max_rows, max_bytes=following.max_bytes)
            if following == same and command.seqs[-len(following.seqs) :] == following.seqs:
                return following
    return None


def take_early(p: Partition, command: Command) -> None:
    """Few members may be asked as soon as they are concerned, without a page."""
    if isinstance(command, ContinueFlow | JoinFlow):
        return
    for flow in p.flows.values():
        if take_asked(p, flow, command) and len(flow.members) > FEW:
            p.wrong(f"{flow.name} asks {len(flow.members)} members without a page")


def none_is_forgotten(p: Partition) -> None:
    """Whom a cancel concerns is asked, as long as not too many have not answered."""
    turns = p.flows_taking_turns()
    for name, flow in p.flows.items():
        if name not in turns and any(member.to_ask for member in flow.members.values()):
            p.wrong(f"{name} asks no more, and has not asked {flow.members}")


def take_asked(p: Partition, flow: Flow, by: Command) -> int:
    """Those whom the engine asks must be such as the cancel concerns, in the cancel's words; returns how many."""
    asked, rest = 0, rest_of(by, p.seen.appended)
    for to, command in p.seen.appended:
        if not isinstance(command, ActMembers) or (command.children, command.flow_id) != flow.name:
            continue
        if command is rest:
            continue
        p.append(to, command)
        if command != _question(flow, to, command):
            p.wrong(f"{flow.name} of {flow.cause} asks {command}")
        for seq in command.seqs:
            _take_one(p, flow, (to, seq))
        asked += len(command.seqs)
    if sum(member.state is MemberState.ASKED for member in flow.members.values()) > MOST_UNANSWERED:
        p.wrong(f"{flow.name} waits for more answers than it may")
    return asked


def _question(flow: Flow, to: int, taken: ActMembers) -> ActMembers:
    assert flow.action is not None
    assert flow.policy is not None
    return ActMembers(
        ENGINE_VERSION,
        to,
        flow.name[1],
        flow.name[0],
        flow.action,
        flow.policy,
        flow.grace_ms or 0,
        flow.on_timeout,
        flow.cause,
        taken.seqs,
        taken.max_rows,
        taken.max_bytes,
    )


def _take_one(p: Partition, flow: Flow, place: Place) -> None:
    member = flow.members.get(place)
    again = flow.reconciled is not None and member is not None and member.state is MemberState.ASKED
    if member is None or not (member.to_ask or (again and _labelled(flow, member))):
        p.wrong(f"{flow.name} asks {place}, which is {member}")
        return
    if flow.reconciled is not None and not member.to_ask:
        if place in flow.reconciled and not flow.midway:
            p.wrong(f"{flow.name} asks {place} again, twice")
        flow.reconciled.append(place)
    # Whom a new round asks is not asked again for the round before.
    flow.unanswered.discard(place)
    member.state, member.to_ask, member.to_kill = MemberState.ASKED, False, False


def _labelled(flow: Flow, member: Member) -> bool:
    return all(member.labels.get(key) == value for key, value in flow.reconcile_labels.items())


def backlog(p: Partition, now: int, interval_ms: int) -> list[tuple[Flow, int]]:
    """The flows that a tick chooses, and when they were due: once in an interval, those that are due first."""
    if now < p.reconciled_at + interval_ms:
        return []
    due = [(flow, flow.due_at) for flow in p.flows.values() if flow.due_at is not None]
    due = [(flow, due_at) for flow, due_at in due if due_at + interval_ms <= now]
    return sorted(due, key=lambda each: (each[1], each[0].name))[:MOST_CHOSEN]


def reconcile(p: Partition, due: list[tuple[Flow, int]], now: int, allowed: range) -> int:
    """As many as the engine had room for are due again later, and ask again who has not answered; returns how many."""
    # One that the tick has just cancelled keeps its place, and is not chosen.
    left = [(flow, due_at) for flow, due_at in due if flow.name not in p.handed]
    due, allowed = left, range(max(allowed.start - len(due) + len(left), 0), allowed.stop)
    chosen = [flow for flow, due_at in due if _due_at(p, flow) != due_at]
    if chosen != [flow for flow, _ in due][: len(chosen)] or (len(chosen) not in allowed and len(chosen) != len(due)):
        p.wrong(f"of {[flow.name for flow, _ in due]} {[flow.name for flow in chosen]} are chosen, allowed: {allowed}")
    if chosen:
        p.reconciled_at = now
    for flow in chosen:
        _ask_again(p, flow, now)
    return len(chosen)


def _due_at(p: Partition, flow: Flow) -> int | None:
    found = p.seen.flow(flow.name)
    return None if found is None else found.due_at


def _ask_again(p: Partition, flow: Flow, now: int) -> None:
    """Who has not answered, as far as labels say."""
    flow.due_at = _due_at(p, flow)
    if flow.due_at is None or not now < flow.due_at <= now + MOST_WAIT_MS:
        p.wrong(f"{flow.name} is due again at {flow.due_at}")
    found = p.seen.flow(flow.name)
    # In rotation: where it begins in the midst of a partition it may come by there twice.
    flow.midway = found is not None and found.recheck_seq >= 0
    flow.reconciled, flow.reconcile_labels = [], p.reconcile_labels
    flow.unanswered = {place for place, member in flow.members.items() if _unanswered(flow, member)}
    _take_reconciled(p, flow)


def _unanswered(flow: Flow, member: Member) -> bool:
    return member.state is MemberState.ASKED and not member.to_ask and _labelled(flow, member)


def _take_reconciled(p: Partition, flow: Flow) -> None:
    """How many pages that takes is the engine's choice; then all have been asked that may be."""
    found = p.seen.flow(flow.name)
    if flow.reconciled is None or (found is not None and found.recheck_left):
        return
    left = [place for place, each in flow.members.items() if place in flow.unanswered and _unanswered(flow, each)]
    left = [place for place in left if place not in flow.reconciled]
    if left and len(flow.reconciled) < MOST_ASKED_AGAIN:
        p.wrong(f"{flow.name} does not ask {left} again")
    flow.reconciled = None
