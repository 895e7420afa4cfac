"""Flows: who belongs to one, whom its cancel reaches, and who has answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from streams.model import (
    CancelPolicy,
    Cause,
    Ending,
    FlowAction,
    JoinFlow,
    MemberAck,
    MemberAnswer,
    MemberState,
    OnTimeout,
    Status,
)
from support.reference import asking, members, rows
from support.reference.partition import Refused
from support.reference.state import Flow, Member

if TYPE_CHECKING:
    from streams.model import CancelFlow, MemberEnded
    from support.reference.partition import Partition
    from support.reference.state import FlowName, Row

NO_REASON = "flow_cancelled"
_REACH = (CancelPolicy.FLOW_ONLY, CancelPolicy.CANCEL_PENDING, CancelPolicy.CANCEL_ALL)
CANCELLED = {
    Status.CANCELLING: FlowAction.CANCEL,
    Status.CANCELLED: FlowAction.CANCEL,
    Status.KILLED: FlowAction.KILL,
}


class Cancel(NamedTuple):
    """A cancel of a flow."""

    action: FlowAction
    policy: CancelPolicy
    grace_ms: int
    on_timeout: OnTimeout
    cause: Cause


def _flow(p: Partition, name: FlowName) -> Flow:
    return p.flows.setdefault(name, Flow(name, p.clock, p.clock))


# --- its cancel -------------------------------------------------------------------------------------------------


def cancel_flow(p: Partition, command: CancelFlow) -> None:
    """The flow's own record changes, nothing else; one that is unknown is created, cancelled."""
    if command.grace_ms is not None and not 0 <= command.grace_ms <= rows.DAY_MS:
        raise Refused("invalid_grace_ms")
    grace_ms = rows.GRACE_MS if command.grace_ms is None else command.grace_ms
    cause = Cause(None, command.flow_id, command.actor, command.reason)
    asked = Cancel(command.action, command.policy, grace_ms, command.on_timeout, cause)
    cancel(p, _flow(p, (command.children, command.flow_id)), asked)


def cancel(p: Partition, flow: Flow, asked: Cancel) -> None:
    """The first cancel is kept; a later one that reaches further is taken over; failed members are tried once more."""
    flow.updated_at = p.clock
    if flow.action is None or flow.policy is None:
        flow.action, flow.policy, flow.grace_ms, flow.on_timeout, _ = asked
        flow.cause = replace(asked.cause, reason=asked.cause.reason or NO_REASON)
        for member in flow.members.values():
            member.to_ask = flow.policy is not CancelPolicy.FLOW_ONLY
        look_after(p, flow, anew=True)
        return
    for place, member in flow.members.items():
        member.to_ask |= flow.counts_as(member) == "failed" or flow.exempts(place)
    kills = asked.action is FlowAction.KILL and flow.action is not FlowAction.KILL
    wider = _REACH.index(asked.policy) > _REACH.index(flow.policy)
    if kills or wider:
        _escalate(p, flow, asked, kills=kills, wider=wider)
    look_after(p, flow, anew=kills or wider)


def _escalate(p: Partition, flow: Flow, asked: Cancel, *, kills: bool, wider: bool) -> None:
    """The members that it newly concerns are asked once more, or for the first time."""
    for member in flow.members.values():
        reached = flow.counts_as(member) == "pending"
        newly = (kills and reached) or (wider and member.state is not MemberState.AWAITED)
        member.to_ask |= newly and (reached or asked.policy is not CancelPolicy.FLOW_ONLY)
        member.to_kill |= kills and member.to_ask
    flow.action = FlowAction.KILL if kills else flow.action
    if wider:
        flow.policy, flow.grace_ms, flow.on_timeout = asked.policy, asked.grace_ms, asked.on_timeout
    found = p.seen.flow(flow.name)
    flow.escalated_by = None if found is None else found.escalated_by
    if flow.escalated_by not in {asked.cause.actor, asked.cause.reason, NO_REASON}:
        p.wrong(f"{flow.name}: {flow.escalated_by} has not escalated it")


def open_again(p: Partition, name: FlowName) -> None:
    """The parent lives again: its children's flow has no cancel any more, and nothing is asked of them."""
    flow = p.flows.get(name)
    if flow is None or flow.action is None:
        return
    blank = Flow(name, flow.created_at, p.clock)
    blank.ended = flow.ended
    blank.members = {place: Member(each.labels, since=each.since) for place, each in flow.members.items()}
    p.flows[name] = blank
    members.let_in(p)


def look_after(p: Partition, flow: Flow, *, anew: bool = False) -> None:
    """It is in the reconciler's backlog as long as anything is pending."""
    if not flow.numbers["pending"]:
        flow.due_at, flow.reconciled = None, None
    elif anew or flow.due_at is None:
        flow.due_at = p.clock + (0 if flow.action is FlowAction.KILL else flow.grace_ms or 0)


# --- its members ------------------------------------------------------------------------------------------------


def join_flow(p: Partition, command: JoinFlow) -> None:
    """New members; those whom the cancel reaches are asked at once. It does not reach who has been restarted."""
    name = (command.children, command.flow_id)
    known = p.flows[name].members if name in p.flows else {}
    places = [(command.member_partition, seq) for seq in command.seqs if (command.member_partition, seq) not in known]
    if not places:
        return
    flow = _flow(p, name)
    flow.updated_at = p.clock
    parent = p.rows.get(command.flow_id) if command.children else None
    if parent is not None and flow.action is None and parent.status in CANCELLED:
        cancel(p, flow, of_parent(p, parent, name))
    reaches = flow.action is not None and flow.policy is not CancelPolicy.FLOW_ONLY
    for place in places:
        to_ask = reaches and not command.restarted
        flow.members[place] = Member(command.labels, to_ask=to_ask, since=command.restarted_seq)
        if reaches and command.restarted:
            flow.members[place].state = MemberState.RESTARTED
    look_after(p, flow)
    asking.take_asked(p, flow, command)
    if any(flow.members[place].to_ask for place in places):
        p.wrong(f"{name} does not cancel {places} as they join")
    for row in p.rows.values():
        # What shut it out may be forgotten by now.
        if (p.number, row.seq) in places:
            row.shut = row.shut and members.closed(p, row) is not None


def of_parent(p: Partition, parent: Row, name: FlowName) -> Cancel:
    """The cancel of a parent that was cancelled before: what of it an ended row still tells is the engine's choice."""
    found, ending = p.seen.flow(name), Ending() if parent.ending is None else parent.ending
    grace_ms = (found and found.grace_ms) or 0
    on_timeout = found.on_timeout if found is not None and parent.ended else ending.on_timeout
    if not 0 <= grace_ms <= rows.DAY_MS:
        p.wrong(f"{name} has the grace {grace_ms}")
    cause = replace(ending.cause, flow_id=parent.invocation_id, reason=ending.cause.reason or NO_REASON)
    return Cancel(CANCELLED[parent.status], CancelPolicy.CANCEL_ALL, grace_ms, on_timeout, cause)


def member_ended(p: Partition, command: MemberEnded) -> None:
    """It is counted once, and its entry goes; the flow of an invocation's children goes with the last of them."""
    _gone(p, command)


def _gone(p: Partition, command: MemberEnded | MemberAck) -> None:
    flow = p.flows.get((command.children, command.flow_id))
    places = [(command.member_partition, seq) for seq in command.seqs]
    gone = [place for place in places if flow is not None and _speaks_of(command, flow.members.get(place))]
    if flow is None or not gone:
        return
    for place in gone:
        del flow.members[place]
        flow.ended += 1
    flow.updated_at = p.clock
    look_after(p, flow)
    parent = p.rows.get(command.flow_id)
    lives_on = parent is not None and not parent.ended and parent.status is not Status.CANCELLING
    # Nothing else says that the children of a parent that lives on are cancelled.
    if command.children and not flow.members and not (lives_on and flow.action is not None):
        del p.flows[flow.name]


def member_ack(p: Partition, command: MemberAck) -> None:
    """It has not ended, and why; what answers an earlier question than the last changes nothing."""
    flow = p.flows.get((command.children, command.flow_id))
    if flow is None or flow.action is None:
        return
    if command.answer is MemberAnswer.NOT_FOUND:
        _gone(p, command)
        return
    names = command.invocation_ids or (None,) * len(command.seqs)
    for seq, name in zip(command.seqs, names, strict=True):
        member = flow.members.get((command.member_partition, seq))
        if member is not None and _speaks_of(command, member):
            _answer(flow, member, command.answer, name)
    look_after(p, flow)


def _speaks_of(command: MemberEnded | MemberAck, member: Member | None) -> bool:
    """What was told of a life is not true of the next; but no row comes back."""
    unknown = isinstance(command, MemberAck) and command.answer is MemberAnswer.NOT_FOUND
    return member is not None and (unknown or command.revision > member.since)


def _answer(flow: Flow, member: Member, answer: MemberAnswer, invocation_id: str | None) -> None:
    if member.state is MemberState.RESTARTED and not member.to_ask:
        return
    if answer is MemberAnswer.KEPT:
        # Whom this cancel has not asked yet was kept from another, before the flow was opened again.
        if flow.policy is CancelPolicy.CANCEL_PENDING and member.state is not MemberState.JOINED:
            member.state, member.to_ask = MemberState.KEPT, False
        elif member.state is MemberState.ASKED and member.to_ask:
            member.state = MemberState.KEPT
        return
    if flow.counts_as(member) == "kept":
        return
    if answer is MemberAnswer.CANCELLING and member.state is not MemberState.ASKED:
        # It has answered since: this is an earlier answer, sent twice.
        return
    if answer is MemberAnswer.CANCELLING:
        member.state, member.to_ask = MemberState.AWAITED, member.to_kill
    else:
        member.state, member.invocation_id = MemberState.FAILED, invocation_id
