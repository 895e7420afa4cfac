"""Members: what an invocation's partition tells its flows, and what it does for them."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from msgspec.structs import replace

from streams.model import (
    ENGINE_VERSION,
    Action,
    ActMembers,
    CancelPolicy,
    FlowAction,
    Invoke,
    JoinFlow,
    MemberAck,
    MemberAnswer,
    MemberEnded,
    Status,
)
from support.reference import asking, flows, rows
from support.reference.state import Flow, Row

if TYPE_CHECKING:
    from streams.model import Cause, Command, OnTimeout
    from support.reference.partition import Partition
    from support.reference.state import FlowName


def names(row: Row) -> list[FlowName]:
    """The flows that it is a member of."""
    invocation = row.invoke.invocation
    found = ((False, invocation.flow_id), (True, invocation.parent_id))
    return [(children, name) for children, name in found if name is not None]


def join(p: Partition, row: Row, *, restarted: bool = False) -> None:
    """A new invocation tells its flows, and one that lives again; what was ended at the door joins none."""
    if row.ended:
        return
    labels = {key: value for key, value in row.invoke.invocation.labels.items() if key in p.reconcile_labels}
    for children, name in names(row):
        home = p.home_of_flow((children, name))
        since = p.offset if restarted else -1
        joins = JoinFlow(ENGINE_VERSION, home, name, children, p.number, (row.seq,), labels, restarted, since)
        # Those that live again by one command join together.
        mates = [each for _, each in p.out.appended if isinstance(each, JoinFlow) and _together(each, joins)]
        for mate in mates:
            p.out.appended.remove((home, mate))
            joins = replace(joins, seqs=tuple(sorted({*mate.seqs, row.seq})))
        p.append(home, joins)


def _together(one: JoinFlow, other: JoinFlow) -> bool:
    return replace(one, seqs=()) == replace(other, seqs=())


def closed(p: Partition, row: Row) -> Flow | Row | None:
    """What lets no member be started here: its flow, or a parent that was cancelled before its first child joined.

    The cancel that a flow has does not reach who has been restarted.
    """
    if row in p.restarted:
        return None
    found = [p.flows[name] for name in names(row) if name in p.flows]
    found = [flow for flow in found if not flow.exempts((p.number, row.seq))]
    flow = next((flow for flow in found if flow.policy is CancelPolicy.CANCEL_ALL), None)
    parent_id = row.invoke.invocation.parent_id
    if flow is not None or parent_id is None or (True, parent_id) in p.flows:
        return flow
    parent = p.rows.get(parent_id)
    return parent if parent is not None and parent is not row and parent.status in flows.CANCELLED else None


def let_in(p: Partition) -> None:
    """What a flow has shut out, and does no more, has to be released."""
    for row in p.rows.values():
        row.shut = row.shut and closed(p, row) is not None


def ended_at_the_door(p: Partition, row: Row) -> bool:
    """Whether a cancelled flow that lives here has ended the arriving row; it counts it as a member.

    What runs elsewhere already is not: it needs a signal.
    """
    match None if row.invoke.adopt else closed(p, row):
        case Flow() as flow if flow.action is not None:
            p.at_the_door = flow
            rows.carry_out(p, row, Action(flow.action), flow.cause, flow.grace_ms or 0, flow.on_timeout, None)
            flow.ended, flow.updated_at = flow.ended + 1, p.clock
        case Row() as parent:
            asked = flows.of_parent(p, parent, (True, row.invocation_id))
            rows.carry_out(p, row, Action(asked.action), asked.cause, asked.grace_ms, asked.on_timeout, None)
    return row.ended


def hand_down(p: Partition, row: Row, action: FlowAction, cause: Cause, grace_ms: int, on_timeout: OnTimeout) -> None:
    """What cancels or kills a parent cancels or kills its children."""
    flow = p.flows.get((True, row.invocation_id))
    if flow is not None and flow is not p.at_the_door:
        p.handed.add(flow.name)
        handed = replace(cause, flow_id=row.invocation_id)
        flows.cancel(p, flow, flows.Cancel(action, CancelPolicy.CANCEL_ALL, grace_ms, on_timeout, handed))


def act_members(p: Partition, command: ActMembers) -> None:
    """A flow's cancel for members here; what is left of the list follows in another record."""
    rest = asking.rest_of(command, p.seen.appended)
    left = () if rest is None else rest.seqs
    now = command.seqs[: len(command.seqs) - len(left)]
    if rest is not None:
        p.append(p.number, rest)
    if not now or len(now) > command.max_rows:
        p.wrong(f"{command} acts on {now}")
    by_seq = {row.seq: row for row in p.rows.values()}
    answers: dict[MemberAnswer, list[int]] = defaultdict(list)
    for seq in now:
        answer = _act(p, seq, by_seq.get(seq), command)
        if answer is not None:
            answers[answer].append(seq)
    name, home = command.flow_id, p.home_of_flow((command.children, command.flow_id))
    for answer, seqs in answers.items():
        told = (home, name, command.children, p.number, answer, tuple(seqs), (), p.offset)
        p.append(home, MemberAck(ENGINE_VERSION, *told))


def _act(p: Partition, seq: int, row: Row | None, command: ActMembers) -> MemberAnswer | None:
    """The answer for a member that has not ended."""
    if row is None:
        return MemberAnswer.NOT_FOUND
    if row.ended:
        p.asked_for_nothing.append(seq)
        return None
    if command.policy is CancelPolicy.CANCEL_PENDING and row.started:
        return MemberAnswer.KEPT
    again = command.action is FlowAction.CANCEL and rows.given_up(row)
    acted = rows.carry_out(p, row, Action(command.action), command.cause, command.grace_ms, command.on_timeout, None)
    if acted:
        row.paged_at = None if again else p.clock
    return MemberAnswer.CANCELLING if row.status is Status.CANCELLING else None


def tell(p: Partition, command: Command) -> None:
    """Whatever ended a member, its flows are told: one record for each flow; likewise of what was left alone."""
    ended: dict[FlowName, set[int]] = defaultdict(set)
    failed: dict[FlowName, dict[int, str]] = defaultdict(dict)
    if isinstance(command, ActMembers) and p.asked_for_nothing:
        ended[command.children, command.flow_id] |= set(p.asked_for_nothing)
    for row in p.over:
        for name in names(row):
            if not (isinstance(command, Invoke) and row.seq == p.offset):
                ended[name].add(row.seq)
    for row in p.given_up:
        for name in names(row):
            failed[name][row.seq] = row.invocation_id
    for name, seqs in ended.items():
        home = p.home_of_flow(name)
        p.append(home, MemberEnded(ENGINE_VERSION, home, name[1], name[0], p.number, tuple(sorted(seqs)), p.offset))
    for name, ids in failed.items():
        home, listed = p.home_of_flow(name), dict(sorted(ids.items()))
        which, who = tuple(listed), tuple(listed.values())
        told = (home, name[1], name[0], p.number, MemberAnswer.FAILED, which, who, p.offset)
        p.append(home, MemberAck(ENGINE_VERSION, *told))
