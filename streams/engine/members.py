"""A partition's part in flows: which of its rows join one, which have ended, and a parent's cancel for its children."""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from streams.engine.effects import Append, InsertRow, PutFlow, UpdateRow
from streams.engine.flow_pages import ask_few
from streams.engine.flows import FEW_MEMBERS, cancel_for_children, cancelled, ends_all, joining, living
from streams.engine.lifecycle import DEFAULT_GRACE_MS, ENDED_BY
from streams.engine.rows import ended
from streams.model import (
    ENGINE_VERSION,
    TERMINAL,
    Act,
    Action,
    Ending,
    FlowAction,
    Invoke,
    JoinFlow,
    MemberAck,
    MemberAnswer,
    MemberEnded,
    OnTimeout,
    Status,
    Tick,
)
from streams.protocol.routing import partition_of, routing_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from streams.engine.answers import At, Grouped
    from streams.engine.effects import Effect
    from streams.engine.view import View
    from streams.model import Cause, Command, Flow, Invocation, Row

_HOMES_KNOWN: Final = 16_384
"""Number of flows whose partition is remembered: most members follow another of theirs."""

FlowName = tuple[str, bool]
"""A flow's id, and whether it is that of an invocation's children."""


@lru_cache(_HOMES_KNOWN)
def home_of(name: FlowName, partitions: int) -> int:
    """The partition of a flow."""
    flow_id, children = name
    return partition_of(routing_key(flow_id) if children else flow_id, partitions)


def flows_of(row: Row | Invocation | Grouped) -> list[FlowName]:
    """The flows that the row is a member of."""
    names = [] if row.flow_id is None else [(row.flow_id, False)]
    return names if row.parent_id is None else [*names, (row.parent_id, True)]


def following(command: Command, effects: list[Effect], at: At, view: View) -> list[Effect]:
    """What a command's effects mean for flows: who joins, who has ended, and whose children are cancelled with it."""
    if isinstance(command, Invoke):
        return _joins(command.invocation, effects, at, view)
    rows = [effect.row for effect in effects if type(effect) is UpdateRow]
    if isinstance(command, Tick):
        # What is only written out in full, since its delta is old, has ended or been left long ago.
        rows = [row for row in rows if row.modified_at == at.now]
    grouped = [row for row in rows if row.flow_id is not None or row.parent_id is not None]
    over = [row for row in grouped if row.status in TERMINAL] if grouped else grouped
    told = endings(over, at, view) if over else []
    if not isinstance(command, (Act, Tick)):
        return told
    orders = [order for row in rows for order in _children_cancelled(command, row, at, view)]
    if isinstance(command, Tick):
        left = [row for row in grouped if row.status is Status.CANCELLING and row.due_at is None]
        orders += _failures(left, at, view)
    return orders + told


def _joins(invocation: Invocation, effects: Sequence[Effect], at: At, view: View) -> list[Effect]:
    """The new row's membership. One that was ended at the door joins no flow."""
    first = effects[0]
    if not isinstance(first, InsertRow) or first.row.status in TERMINAL:
        return []
    wanted, labels = view.reconcile_labels, invocation.labels
    noted = {key: labels[key] for key in wanted if key in labels} if wanted else {}
    joined: list[Effect] = []
    for name in flows_of(invocation):
        flow_id, children = name
        home = home_of(name, view.partitions)
        join = JoinFlow(ENGINE_VERSION, home, flow_id, children, at.partition, (at.offset,), noted)
        joined.append(Append(home, flow_id, join))
    return joined


def rejoining(rows: Iterable[Row], at: At, view: View) -> list[Effect]:
    """One `JoinFlow` for each flow, and each choice of labels, that has members among these rows, which live again."""
    wanted = view.reconcile_labels
    members: defaultdict[tuple[FlowName, tuple[tuple[str, str], ...]], list[int]] = defaultdict(list)
    for row in rows:
        names = flows_of(row)
        labels = view.invocation(row).labels if wanted and names else {}
        noted = tuple((key, labels[key]) for key in sorted(wanted) if key in labels)
        for name in names:
            members[name, noted].append(row.seq)
    return [
        _append(
            name,
            JoinFlow(
                ENGINE_VERSION,
                home_of(name, view.partitions),
                *name,
                at.partition,
                tuple(sorted(seqs)),
                dict(noted),
                restarted=True,
                restarted_seq=at.offset,
            ),
        )
        for (name, noted), seqs in members.items()
    ]


def endings(rows: Iterable[Row | Grouped], at: At, view: View) -> list[Effect]:
    """One `MemberEnded` for each flow that has members among these rows, all of which have ended."""
    members: defaultdict[FlowName, list[int]] = defaultdict(list)
    for row in rows:
        if row.flow_id is not None:
            members[row.flow_id, False].append(row.seq)
        if row.parent_id is not None:
            members[row.parent_id, True].append(row.seq)
    return [
        _append(
            name,
            MemberEnded(
                ENGINE_VERSION,
                home_of(name, view.partitions),
                *name,
                at.partition,
                tuple(sorted(seqs)),
                revision=at.offset,
            ),
        )
        for name, seqs in members.items()
    ]


def acked(
    name: FlowName, answer: MemberAnswer, seqs: Iterable[int], at: At, view: View, ids: tuple[str, ...] = ()
) -> list[Effect]:
    """The answer for members of a flow that have not ended; `seqs` rise, `ids`: as `MemberAck.invocation_ids`."""
    listed = tuple(seqs)
    if not listed:
        return []
    home = home_of(name, view.partitions)
    return [_append(name, MemberAck(ENGINE_VERSION, home, *name, at.partition, answer, listed, ids, at.offset))]


def _failures(rows: Sequence[Row], at: At, view: View) -> list[Effect]:
    """One answer FAILED for each flow that has members among these rows, which were left alone."""
    members: defaultdict[FlowName, dict[int, str]] = defaultdict(dict)
    for row in sorted(rows, key=attrgetter("seq")):
        for name in flows_of(row):
            members[name][row.seq] = row.invocation_id
    answers = (acked(name, MemberAnswer.FAILED, ids, at, view, tuple(ids.values())) for name, ids in members.items())
    return [effect for answer in answers for effect in answer]


def _append(name: FlowName, command: JoinFlow | MemberEnded | MemberAck) -> Append:
    return Append(command.partition, name[0], command)


def _children_cancelled(command: Act | Tick, row: Row, at: At, view: View) -> list[Effect]:
    """The cancel of the row's children, if the command has cancelled or killed it."""
    if isinstance(command, Act):
        if row.invocation_id != command.invocation_id:
            return []
        by_status = {
            Status.CANCELLING: FlowAction.CANCEL,
            Status.CANCELLED: FlowAction.CANCEL,
            Status.KILLED: FlowAction.KILL,
        }
        action = by_status.get(row.status)
        grace_ms = DEFAULT_GRACE_MS if command.grace_ms is None else command.grace_ms
        on_timeout, cause = command.on_timeout, command.cause
    else:
        ending = row.ending or Ending()
        action = FlowAction.KILL if row.status is Status.KILLED else None
        grace_ms, on_timeout, cause = 0, ending.on_timeout, ending.cause
    return [] if action is None else cancel_children(row.invocation_id, action, grace_ms, on_timeout, cause, at, view)


def cancel_children(
    parent_id: str, action: FlowAction, grace_ms: int, on_timeout: OnTimeout, cause: Cause, at: At, view: View
) -> list[Effect]:
    """Cancel the flow of a parent's children as the parent was; nothing if it has none.

    A few children are asked at once: with a page for each parent, a tree would take as many turns as it has parents.
    """
    flow = view.flow(parent_id, children=True)
    if flow is None:
        return []
    flow = cancelled(flow, cancel_for_children(parent_id, action, grace_ms, on_timeout, cause), at, view.partitions)
    if not flow.cursors or living(flow) > FEW_MEMBERS:
        return [PutFlow(flow)]
    flow, effects = ask_few(flow, view)
    return [PutFlow(flow), *effects]


def ending_flow(invocation: Invocation, at: At, view: View) -> Flow | None:
    """The flow of this partition whose cancel ends the invocation as it arrives; None if there is none."""
    if invocation.flow_id is not None and home_of((invocation.flow_id, False), view.partitions) == at.partition:
        flow = view.flow(invocation.flow_id, children=False)
        if ends_all(flow):
            return flow
    if invocation.parent_id is not None and home_of((invocation.parent_id, True), view.partitions) == at.partition:
        known = view.flow(invocation.parent_id, children=True)
        flow = known or joining(invocation.parent_id, at, view, children=True)
        if ends_all(flow):
            return flow
    return None


def turned_away(row: Row, flow: Flow, command: Invoke, at: At, view: View) -> list[Effect]:
    """The effects of an arrival that a flow ends. The flow counts it as a member that has ended.

    Args:
        row: the row as it would wait for its start.
        flow: as `ending_flow` gives it.
        command: the `Invoke` that brought it.
        at: the command's place and time.
        view: the table before the command.
    """
    action = Action.KILL if flow.action is FlowAction.KILL else Action.CANCEL
    stopped = ended(row, ENDED_BY[action], at.now, Ending(flow.cause))
    effects: list[Effect] = [InsertRow(stopped, command.invocation, command.payload)]
    if view.flow(flow.flow_id, children=flow.children) is not None:
        counted = replace(flow, ended=flow.ended + 1, revision=at.offset, updated_at=at.now)
        effects.append(PutFlow(counted))
    if flow.action is None or (flow.children and flow.flow_id == row.invocation_id):
        return effects
    grace_ms = flow.grace_ms or 0
    return [*effects, *cancel_children(row.invocation_id, flow.action, grace_ms, flow.on_timeout, flow.cause, at, view)]
