"""Commands about a flow on its own partition: its cancel, and who has joined, ended or answered."""

from __future__ import annotations

from collections import Counter
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
        known = {seq for seq, _ in members}
        seqs = tuple(seq for seq in seqs if seq not in known)
    if not seqs:
        return [STALE_MEMBER]
    member = Member(labels=command.labels) if command.labels else _JOINED
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
    return _gone(command, at, view)


def member_ack(command: MemberAck, at: At, view: View) -> list[Effect]:
    """Note the answer of a partition for members that the cancel reaches. Any other answer changes nothing."""
    check_internal(command, at)
    check_partition("member_partition", command.member_partition, view.partitions)
    if command.answer is MemberAnswer.NOT_FOUND:
        return _gone(command, at, view)
    flow = view.flow(command.flow_id, children=command.children)
    if flow is None or flow.policy is None:
        return [STALE_MEMBER]
    ids = dict(zip(command.seqs, command.invocation_ids, strict=False))
    entries = Entries(flow, command.member_partition)
    for seq, member in view.members_at(flow, command.member_partition, command.seqs):
        if exempt(flow, member):
            continue
        # An answer to what this round asks again leaves the member to be asked.
        number = member.round if to_ask(flow, member) else flow.round
        new = replace(member, state=_STATES[command.answer], round=number, invocation_id=ids.get(seq))
        before, after = counts_as(flow, member), counts_as(flow, new)
        if _concerns(command.answer, member, before, after):
            entries.change(seq, member, new, before, after)
    return entries.effects(at) or [STALE_MEMBER]


def _concerns(answer: MemberAnswer, member: Member, before: str, after: str) -> bool:
    """Whether the answer still says something of the member: CANCELLING does as long as nothing else has answered."""
    match answer:
        case MemberAnswer.KEPT:
            return after == "kept"
        case MemberAnswer.CANCELLING:
            return member.state is MemberState.ASKED
        case _:
            return before in _WAITING


def _gone(command: MemberEnded | MemberAck, at: At, view: View) -> list[Effect]:
    """Count members as ended, and drop their entries. A parent's flow goes with its last child."""
    flow = view.flow(command.flow_id, children=command.children)
    members = () if flow is None else view.members_at(flow, command.member_partition, command.seqs)
    if flow is None or not members:
        return [STALE_MEMBER]
    left: Counter[str] = Counter()
    asked = restarted = 0
    for member, count in _runs(members):
        left[counts_as(flow, member)] += count
        asked += count if known_as(flow, member) is MemberState.ASKED else 0
        restarted += count if exempt(flow, member) else 0
    flow = replace(flow, restarted=flow.restarted - restarted) if restarted else flow
    failures = flow.failures
    if failures:
        gone = {member.invocation_id for _, member in members}
        failures = tuple(each for each in failures if each not in gone)
    flow = answered(replace(flow, failures=failures), command.member_partition, asked)
    for number, count in left.items():
        flow = moved(flow, number, "ended", count)
    seqs = tuple(seq for seq, _ in members)
    if flow.children and not living(flow) and not _keeps_cancel(flow, view):
        return [RemoveFlow(flow.flow_id, flow.children)]
    return [PutFlow(written(flow, at)), RemoveMembers(flow.flow_id, flow.children, command.member_partition, seqs)]


def _runs(members: Sequence[tuple[int, Member]]) -> list[tuple[Member, int]]:
    """Members, and how often each comes in a row: a table may give equal ones as one object."""
    runs: list[tuple[Member, int]] = []
    last, count = members[0][1], 0
    for _, member in members:
        if member is not last:
            runs.append((last, count))
            last, count = member, 0
        count += 1
    return [*runs, (last, count)]


def _keeps_cancel(flow: Flow, view: View) -> bool:
    """Whether only this record says that children who join are cancelled: their parent lives, not asked to end."""
    parent = view.row(flow.flow_id)
    return flow.action is not None and parent is not None and parent.status not in {*TERMINAL, Status.CANCELLING}
