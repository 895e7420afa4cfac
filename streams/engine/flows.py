"""A flow's numbers and its cancel: which members count where, whom the cancel reaches, and when it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from msgspec.structs import replace

from streams.engine.lifecycle import DEFAULT_GRACE_MS
from streams.model import (
    CancelPolicy,
    Cause,
    Ending,
    Flow,
    FlowAction,
    FlowProgress,
    FlowState,
    MemberState,
    OnTimeout,
    Status,
)
from streams.protocol.validation import MAX_LONG

if TYPE_CHECKING:
    from streams.engine.answers import At
    from streams.engine.view import View
    from streams.model import Member, Row

Number = Literal["live", "pending", "kept", "failed"]

DEFAULT_REASON: Final = "flow_cancelled"
MAX_ASKED: Final = 20_000
"""Most members of a flow that are asked and have not answered; each partition has an equal part of it."""
FEW_MEMBERS: Final = 32
"""Up to this many members are no more work than as many acts: to act on them takes no page."""
MAX_FAILURES: Final = 20
"""Maximum number of ids of failed members that a flow keeps."""
ALL_ASKED: Final = MAX_LONG
"""Cursor of a partition whose members have all been asked in this round."""
REACH: Final = {CancelPolicy.FLOW_ONLY: 0, CancelPolicy.CANCEL_PENDING: 1, CancelPolicy.CANCEL_ALL: 2}
CANCELLED_PARENT: Final = frozenset({Status.CANCELLING, Status.CANCELLED, Status.KILLED})
"""Statuses of a parent that hands its cancel on to children who join."""


class Cancel(NamedTuple):
    """What a flow is cancelled by."""

    action: FlowAction
    policy: CancelPolicy
    grace_ms: int
    on_timeout: OnTimeout
    cause: Cause


def new_flow(flow_id: str, at: At, *, children: bool) -> Flow:
    """An open flow without members."""
    return Flow(flow_id, children, at.offset, at.now, at.now)


def member_total(flow: Flow) -> int:
    """All members that the flow has ever had."""
    return flow.live + flow.pending + flow.ended + flow.kept + flow.failed


def living(flow: Flow) -> int:
    """Members that have not ended."""
    return flow.live + flow.pending + flow.kept + flow.failed


def known_as(flow: Flow, member: Member) -> MemberState:
    """The member's state; what an entry says from before the flow was opened again is void."""
    return member.state if member.round > flow.reopened else MemberState.JOINED


def exempt(flow: Flow, member: Member) -> bool:
    """True if the member joined again after the flow's cancel, which then does not reach it; the next one does."""
    return member.round == flow.round and known_as(flow, member) is MemberState.RESTARTED


def restarted_since(member: Member, revision: int) -> bool:
    """True if what a record of this revision tells of the member is of an earlier life; -1: it cannot be known."""
    return 0 <= revision <= member.restarted_seq


def counts_as(flow: Flow, member: Member) -> Number:
    """The number of the flow that counts the member."""
    if flow.policy is None:
        return "live"
    if flow.policy is CancelPolicy.FLOW_ONLY or exempt(flow, member):
        return "kept"
    state = known_as(flow, member)
    if state is MemberState.FAILED and member.round == flow.round:
        return "failed"
    if state is MemberState.KEPT and flow.policy is CancelPolicy.CANCEL_PENDING:
        return "kept"
    return "pending"


def to_ask(flow: Flow, member: Member) -> bool:
    """True if this round of the flow's cancel has still to ask the member."""
    if counts_as(flow, member) != "pending":
        return False
    match known_as(flow, member):
        case MemberState.ASKED:
            return member.round < flow.escalated
        case MemberState.AWAITED:
            return member.round < flow.killed
        case _:
            return True


def free_slots(flow: Flow, partition: int, partitions: int) -> int:
    """How many more members of a partition may be asked before it answers."""
    asked = flow.asked[partition] if flow.asked else 0
    return max(0, max(1, MAX_ASKED // partitions) - asked)


def has_page(flow: Flow, partitions: int) -> bool:
    """True if the flow has a page to do now."""
    if flow.recheck_left:
        return True
    if not flow.cursors:
        return False
    return any(
        cursor < ALL_ASKED and free_slots(flow, number, partitions) for number, cursor in enumerate(flow.cursors)
    )


def state_of(flow: Flow) -> FlowState:
    """The flow's state."""
    if flow.action is None:
        return FlowState.OPEN
    if flow.pending:
        return FlowState.CANCELLING
    return FlowState.PARTIALLY_CANCELLED if flow.failed else FlowState.CANCELLED


def flow_progress(flow: Flow) -> FlowProgress:
    """The flow as it is published."""
    cancelled = flow.action is not None
    return FlowProgress(
        flow_id=flow.flow_id,
        state=state_of(flow),
        action=flow.action,
        policy=flow.policy,
        reason=flow.cause.reason,
        actor=flow.cause.actor,
        escalated_by=flow.escalated_by,
        grace_ms=flow.grace_ms,
        on_timeout=flow.on_timeout if cancelled else None,
        members=member_total(flow),
        live=flow.live,
        pending=flow.pending,
        ended=flow.ended,
        kept=flow.kept,
        failed=flow.failed,
        failures=flow.failures,
        backlog=flow.due_at is not None,
        next_due_at=flow.due_at,
        revision=flow.revision,
        created_at=flow.created_at,
        updated_at=flow.updated_at,
    )


def ends_all(flow: Flow | None) -> bool:
    """True if the flow's cancel reaches every member, those who join later included."""
    return flow is not None and flow.policy is CancelPolicy.CANCEL_ALL


def moved(flow: Flow, number: str, to: str, members: int = 1) -> Flow:
    """The flow with that many members moved from one of its numbers to another."""
    if number == to:
        return flow
    return replace(flow, **{number: getattr(flow, number) - members, to: getattr(flow, to) + members})


def answered(flow: Flow, partition: int, members: int) -> Flow:
    """The flow after that many of the members asked on a partition have answered."""
    if not members or not flow.asked:
        return flow
    asked = list(flow.asked)
    asked[partition] = max(0, asked[partition] - members)
    return replace(flow, asked=tuple(asked) if any(asked) else ())


def asked_more(flow: Flow, partition: int, members: int, partitions: int) -> Flow:
    """The flow after that many members of a partition were asked."""
    asked = list(flow.asked or (0,) * partitions)
    asked[partition] += members
    return replace(flow, asked=tuple(asked))


def written(flow: Flow, at: At) -> Flow:
    """The flow as the command at `at` leaves it: in the reconciler's backlog exactly while members are pending."""
    due_at = flow.due_at
    if not flow.pending:
        due_at = None
    elif due_at is None:
        due_at = at.now + (0 if flow.action is FlowAction.KILL else flow.grace_ms or 0)
    tries = flow.tries if flow.pending else 0
    left, seq = (flow.recheck_left, flow.recheck_seq) if flow.pending else (0, -1)
    cursors = flow.cursors if any(cursor < ALL_ASKED for cursor in flow.cursors) and flow.pending else ()
    return replace(
        flow,
        due_at=due_at,
        tries=tries,
        recheck_left=left,
        recheck_seq=seq,
        cursors=cursors,
        revision=at.offset,
        updated_at=at.now,
    )


def cancelled(flow: Flow, cancel: Cancel, at: At, partitions: int) -> Flow:
    """The flow after a cancel, which changes nobody's entry: numbers move, and members are asked page by page.

    The first cancel stays. A later one is taken over if it kills after a CANCEL, or reaches more; it never weakens
    what is stored. Each tries failed members once more, and reaches those that have joined again.
    """
    if flow.action is None:
        new = replace(
            flow,
            action=cancel.action,
            policy=cancel.policy,
            grace_ms=cancel.grace_ms,
            on_timeout=cancel.on_timeout,
            cause=cancel.cause,
            round=flow.round + 1,
        )
        return written(_concerning(new, flow.policy, partitions, kills=False), at)
    kills = cancel.action is FlowAction.KILL and flow.action is not FlowAction.KILL
    reaches_more = flow.policy is None or REACH[cancel.policy] > REACH[flow.policy]
    if not (kills or reaches_more or flow.failed or flow.restarted):
        return written(flow, at)
    new = replace(moved(flow, "kept", "pending", flow.restarted), round=flow.round + 1, failures=(), restarted=0)
    if kills:
        new = replace(new, action=FlowAction.KILL)
    if reaches_more:
        new = replace(new, policy=cancel.policy, grace_ms=cancel.grace_ms, on_timeout=cancel.on_timeout)
    if kills or reaches_more:
        by = cancel.cause.actor or cancel.cause.reason
        new = replace(new, escalated_by=by, escalated=new.round, due_at=None, tries=0)
    return written(_concerning(new, flow.policy, partitions, kills=kills), at)


def _concerning(flow: Flow, before: CancelPolicy | None, partitions: int, *, kills: bool) -> Flow:
    """The flow at the beginning of a round: the members that it reaches count as pending, and all are looked at.

    `before`: the policy of the round before; None if this is the first.
    """
    if flow.policy is CancelPolicy.FLOW_ONLY:
        return replace(flow, live=0, kept=flow.kept + flow.live)
    kept = flow.kept if before is flow.policy is CancelPolicy.CANCEL_PENDING else 0
    pending = flow.pending + flow.live + flow.failed + flow.kept - kept
    return replace(
        flow,
        live=0,
        failed=0,
        kept=kept,
        pending=pending,
        killed=flow.round if kills else flow.killed,
        cursors=(-1,) * partitions,
    )


def opened(flow: Flow, at: At) -> Flow:
    """The flow without its cancel: all its members are live, and what was asked of them is void."""
    flow = replace(flow, live=living(flow), pending=0, kept=0, failed=0, restarted=0, asked=(), failures=())
    plain = new_flow(flow.flow_id, at, children=flow.children)
    cancel = ("action", "policy", "grace_ms", "on_timeout", "cause", "escalated_by")
    open_ = {name: getattr(plain, name) for name in cancel}
    return written(replace(flow, reopened=flow.round, **open_), at)


def joining(flow_id: str, at: At, view: View, *, children: bool) -> Flow:
    """The flow as somebody who joins finds it: one that is open is cancelled if its parent was cancelled or killed."""
    flow = view.flow(flow_id, children=children)
    if flow is not None and flow.action is not None:
        return flow
    flow = flow or new_flow(flow_id, at, children=children)
    parent = view.row(flow_id) if children else None
    if parent is None or parent.status not in CANCELLED_PARENT:
        return flow
    return cancelled(flow, cancel_of_parent(parent), at, view.partitions)


def cancel_of_parent(parent: Row) -> Cancel:
    """The cancel that a parent, cancelled or killed, hands on to its children."""
    ending = parent.ending or Ending()
    grace_ms = DEFAULT_GRACE_MS
    if ending.grace_until is not None and parent.status is Status.CANCELLING:
        grace_ms = max(0, ending.grace_until - parent.modified_at)
    action = FlowAction.KILL if parent.status is Status.KILLED else FlowAction.CANCEL
    return cancel_for_children(parent.invocation_id, action, grace_ms, ending.on_timeout, ending.cause)


def cancel_for_children(
    parent_id: str, action: FlowAction, grace_ms: int, on_timeout: OnTimeout, cause: Cause
) -> Cancel:
    """The cancel of a parent's children that comes of its own."""
    handed = Cause(cause.batch_id, parent_id, cause.actor, cause.reason or DEFAULT_REASON)
    return Cancel(action, CancelPolicy.CANCEL_ALL, grace_ms, on_timeout, handed)
