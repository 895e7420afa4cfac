"""Commands about a flow on its own partition: its cancel, and who has joined, ended or answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from streams.engine.counters import STALE_MEMBER
from streams.engine.effects import PutFlow, PutMembers, RemoveFlow, RemoveMembers
from streams.engine.flow_pages import Entries, asking
from streams.engine.flows import (
    DEFAULT_REASON,
    Cancel,
    answered,
    asked_more,
    cancelled,
    counts_as,
    exempt,
    joining,
    known_as,
    living,
    moved,
    new_flow,
    restarted_since,
    to_ask,
    written,
)
from streams.engine.lifecycle import DEFAULT_GRACE_MS
from streams.engine.release import begin_release
from streams.engine.validate import check_internal, check_partition
from streams.model import (
    TERMINAL,
    CancelPolicy,
    Cause,
    Flow,
    Member,
    MemberAnswer,
    MemberState,
    Status,
)
from streams.protocol.validation import check_cancel_flow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.engine.answers import At
    from streams.engine.effects import Effect
    from streams.engine.flows import Number
    from streams.engine.view import View
    from streams.model import CancelFlow, JoinFlow, MemberAck, MemberEnded

_STATES: Final = {
    MemberAnswer.KEPT: MemberState.KEPT,
    MemberAnswer.FAILED: MemberState.FAILED,
    MemberAnswer.CANCELLING: MemberState.AWAITED,
}
_JOINED: Final = Member()
_WAITING: Final = frozenset({"pending", "failed"})


def cancel_flow(command: CancelFlow, at: At, view: View) -> list[Effect]:
    """Cancel a flow: its own record changes, and its pages begin. An unknown flow is created, cancelled."""
    check_cancel_flow(command)
    flow = view.flow(command.flow_id, children=command.children)
    if flow is None:
        flow = new_flow(command.flow_id, at, children=command.children)
    cause = Cause(None, command.flow_id, command.actor, command.reason or DEFAULT_REASON)
    grace_ms = DEFAULT_GRACE_MS if command.grace_ms is None else command.grace_ms
    cancel = Cancel(command.action, command.policy, grace_ms, command.on_timeout, cause)
    return [PutFlow(cancelled(flow, cancel, at, view.partitions))]


def join_flow(command: JoinFlow, at: At, view: View) -> list[Effect]:
    """Take members into a flow. Those whom its cancel reaches are asked at once; who joins again is exempt from it."""
    check_internal(command, at)
    check_partition("member_partition", command.member_partition, view.partitions)
    flow = joining(command.flow_id, at, view, children=command.children)
    seqs = command.seqs
    if members := view.members_at(flow, command.member_partition, seqs):
        # A member that was restarted since it joined has ended, though its end has not been told yet.
        over = [each for each in members if each[1].restarted_seq < command.restarted_seq]
        known = {seq for seq, member in members if member.restarted_seq >= command.restarted_seq}
        seqs = tuple(seq for seq in seqs if seq not in known)
        flow = _ended(flow, command.member_partition, _runs(over))
    if not seqs:
        return [STALE_MEMBER]
    new = command.labels or command.restarted_seq >= 0
    member = Member(labels=command.labels, restarted_seq=command.restarted_seq) if new else _JOINED
    if flow.policy is None:
        flow = replace(flow, live=flow.live + len(seqs), revision=at.offset, updated_at=at.now)
        put = PutMembers(flow.flow_id, flow.children, command.member_partition, seqs, member)
        return [PutFlow(flow), put, *_let_go(command, at, view)]
    if command.restarted and flow.policy is not CancelPolicy.FLOW_ONLY:
        return _exempted(flow, command, seqs, member, at, view)
    number = counts_as(flow, member)
    flow = replace(flow, **{number: getattr(flow, number) + len(seqs)})
    effects: list[Effect] = []
    if number == "pending":
        member = replace(member, state=MemberState.ASKED, round=flow.round)
        flow = asked_more(flow, command.member_partition, len(seqs), view.partitions)
        effects.append(asking(flow, command.member_partition, seqs, view))
    else:
        effects += _let_go(command, at, view)
    put = PutMembers(flow.flow_id, flow.children, command.member_partition, seqs, member)
    return [PutFlow(written(flow, at)), put, *effects]


def _exempted(flow: Flow, command: JoinFlow, seqs: tuple[int, ...], member: Member, at: At, view: View) -> list[Effect]:
    """Take in members who join again: the cancel that the flow has does not reach them."""
    flow = replace(flow, kept=flow.kept + len(seqs), restarted=flow.restarted + len(seqs))
    member = replace(member, state=MemberState.RESTARTED, round=flow.round)
    put = PutMembers(flow.flow_id, flow.children, command.member_partition, seqs, member)
    return [PutFlow(written(flow, at)), put, *_let_go(command, at, view)]


def _let_go(command: JoinFlow, at: At, view: View) -> list[Effect]:
    """The release of new members that were held until they join, and that no cancel reaches after all.

    What held them is forgotten, or does not concern them: the cancelled flow as it was, or a cancelled parent.
    """
    if command.member_partition != at.partition or not view.may_hold:
        return []
    held = view.held(command.seqs[0] - 1, 1, 1)
    return begin_release(at, view) if held and held[0].row.seq <= command.seqs[-1] else []


def member_ended(command: MemberEnded, at: At, view: View) -> list[Effect]:
    """Count members that have ended, and drop their entries."""
    check_internal(command, at)
    check_partition("member_partition", command.member_partition, view.partitions)
    return _gone(command, command.revision, at, view)


def member_ack(command: MemberAck, at: At, view: View) -> list[Effect]:
    """Note the answer of a partition for members that the cancel reaches. Any other answer changes nothing."""
    check_internal(command, at)
    check_partition("member_partition", command.member_partition, view.partitions)
    if command.answer is MemberAnswer.NOT_FOUND:
        # No row comes back, whenever this was told.
        return _gone(command, -1, at, view)
    flow = view.flow(command.flow_id, children=command.children)
    if flow is None or flow.policy is None:
        return [STALE_MEMBER]
    ids = dict(zip(command.seqs, command.invocation_ids, strict=False))
    entries = Entries(flow, command.member_partition)
    for member, seqs in _runs(view.members_at(flow, command.member_partition, command.seqs)):
        if exempt(flow, member) or restarted_since(member, command.revision):
            continue
        # An answer to what this round asks again leaves the member to be asked.
        again = to_ask(flow, member)
        number = member.round if again else flow.round
        for alike in [[seq] for seq in seqs] if ids else [seqs]:
            new = replace(member, state=_STATES[command.answer], round=number, invocation_id=ids.get(alike[0]))
            before, after = counts_as(flow, member), counts_as(flow, new)
            state = known_as(flow, member)
            # One whom a cancel that reaches more asks again makes room for others.
            if _concerns(command.answer, state, before, after) or (again and state is MemberState.ASKED):
                entries.change(alike, member, new, before, after)
    return entries.effects(at) or [STALE_MEMBER]


def _concerns(answer: MemberAnswer, state: MemberState, before: str, after: str) -> bool:
    """True if the answer still says something of the member: CANCELLING does as long as nothing else has answered.

    What was asked before the flow was opened again says nothing of a cancel that reaches none.
    """
    match answer:
        case MemberAnswer.KEPT:
            return before != after == "kept"
        case MemberAnswer.CANCELLING:
            return state is MemberState.ASKED
        case _:
            return before in _WAITING


def _gone(command: MemberEnded | MemberAck, revision: int, at: At, view: View) -> list[Effect]:
    """Count members as ended, and drop their entries. A parent's flow goes with its last child."""
    flow = view.flow(command.flow_id, children=command.children)
    members = () if flow is None else view.members_at(flow, command.member_partition, command.seqs)
    runs = [run for run in _runs(members) if not restarted_since(run[0], revision)]
    if flow is None or not runs:
        return [STALE_MEMBER]
    flow = _ended(flow, command.member_partition, runs)
    if flow.children and not living(flow) and not _keeps_cancel(flow, view):
        return [RemoveFlow(flow.flow_id, flow.children)]
    seqs = tuple([seq for _, alike in runs for seq in alike])
    return [PutFlow(written(flow, at)), RemoveMembers(flow.flow_id, flow.children, command.member_partition, seqs)]


def _ended(flow: Flow, partition: int, runs: Sequence[tuple[Member, list[int]]]) -> Flow:
    """The flow with these members of a partition counted as ended."""
    left: dict[Number, int] = {}
    asked = restarted = 0
    for member, alike in runs:
        number = counts_as(flow, member)
        left[number] = left.get(number, 0) + len(alike)
        asked += len(alike) if known_as(flow, member) is MemberState.ASKED else 0
        restarted += len(alike) if exempt(flow, member) else 0
    flow = replace(flow, restarted=flow.restarted - restarted) if restarted else flow
    if flow.failures:
        gone = {member.invocation_id for member, _ in runs}
        flow = replace(flow, failures=tuple(each for each in flow.failures if each not in gone))
    flow = answered(flow, partition, asked)
    for number, count in left.items():
        flow = moved(flow, number, "ended", count)
    return flow


def _runs(members: Sequence[tuple[int, Member]]) -> list[tuple[Member, list[int]]]:
    """Entries, and the seqs of those that have each in a row: a table may give equal ones as one object."""
    runs: list[tuple[Member, list[int]]] = []
    last: Member | None = None
    for seq, member in members:
        if member is not last:
            last, seqs = member, list[int]()
            runs.append((member, seqs))
        seqs.append(seq)
    return runs


def _keeps_cancel(flow: Flow, view: View) -> bool:
    """True if only this record says that children who join are cancelled: their parent lives, not asked to end."""
    parent = view.row(flow.flow_id)
    return flow.action is not None and parent is not None and parent.status not in {*TERMINAL, Status.CANCELLING}
