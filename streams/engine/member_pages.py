"""A page of a flow's members on their partition: each is ended, asked to end, or answered for."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, assert_never

from msgspec.structs import replace

from streams.engine.answers import Grouped
from streams.engine.effects import Append, PutDelta, PutSlice, SendAll
from streams.engine.guards import Guards
from streams.engine.ledger import Ledger
from streams.engine.lifecycle import ENDED_BY, Verdict, next_repeat, stands_at, verdict
from streams.engine.members import acked, cancel_children, endings
from streams.engine.objects import object_of, promotions_within
from streams.engine.pages import differences
from streams.engine.rows import asked_again
from streams.engine.validate import check_internal
from streams.engine.weights import limit_of, of_cause, of_flows, of_slice
from streams.model import (
    ENGINE_VERSION,
    STARTED,
    Action,
    CancelPolicy,
    Change,
    Ending,
    FlowAction,
    MemberAnswer,
    PageDelta,
    SignalKind,
    Status,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from streams.engine.answers import At
    from streams.engine.effects import Effect
    from streams.engine.members import FlowName
    from streams.engine.view import View
    from streams.model import ActMembers, Row

_SEQ = attrgetter("seq")


class _Plan:
    """How each member of the page is treated; lists of rows in order of seq.

    `ended`: ended by this page. `asked`: their executors are asked to end them, `again`: once more after a grace that
    ended with LEAVE. `known`: those ended and asked whom an executor may know. `over`: had ended before. `kept`: left
    by the policy. `awaited`: their end is awaited already. `missing`: seqs without a member of the flow. `left`: how
    many are ended or asked, by their former status.
    """

    def __init__(self, command: ActMembers, name: FlowName, seqs: Sequence[int], rows: Sequence[Row]) -> None:
        self.ended: list[Row] = []
        self.asked: list[Row] = []
        self.again: list[Row] = []
        self.known: list[Row] = []
        self.over: list[Row] = []
        self.kept: list[Row] = []
        self.awaited: list[Row] = []
        flow_id, children = name
        members = [row for row in rows if (row.parent_id if children else row.flow_id) == flow_id]
        self.missing = sorted(set(seqs).difference(map(_SEQ, members))) if len(members) < len(seqs) else []
        action = Action(command.action.value)
        self.left: dict[Status, int] = {}
        # Rows of one standing are treated alike, and a page has few standings.
        for standing, alike in _alike(members).items():
            group = self._group(alike[0], action, command.policy)
            group += alike
            if group is self.ended or group is self.asked:
                self.left[standing[0]] = self.left.get(standing[0], 0) + len(alike)
                if stands_at(alike[0]) in STARTED:
                    self.known += alike
        for rows_ in (self.ended, self.asked, self.again, self.known, self.over, self.kept, self.awaited):
            rows_.sort(key=_SEQ)

    def _group(self, row: Row, action: Action, policy: CancelPolicy) -> list[Row]:
        """The list that the row belongs to."""
        found = verdict(action, row)
        if policy is CancelPolicy.CANCEL_PENDING and stands_at(row) in STARTED:
            return self.kept
        match found:
            case Verdict.END | Verdict.STOP:
                return self.ended
            case Verdict.ASK:
                return self.again if row.status is Status.CANCELLING else self.asked
            case Verdict.SKIP:
                return self.awaited if row.status is Status.CANCELLING else self.over
            case Verdict.SHELVE | Verdict.HALT | Verdict.GO_ON | Verdict.REMOVE | Verdict.LIVE_AGAIN:
                raise AssertionError(f"a flow's cancel cannot {found.value}")
            case _:
                assert_never(found)


def _alike(rows: Iterable[Row]) -> dict[tuple[Status, Status | None, bool], list[Row]]:
    """Rows by their standing."""
    found: dict[tuple[Status, Status | None, bool], list[Row]] = {}
    for row in rows:
        standing = (row.status, row.paused_from, row.due_at is None)
        alike = found.get(standing)
        if alike is None:
            found[standing] = [row]
        else:
            alike.append(row)
    return found


def act_members(command: ActMembers, at: At, view: View) -> list[Effect]:
    """Cancel or kill the first members of the list; the rest follows in another page."""
    check_internal(command, at)
    name = (command.flow_id, command.children)
    action, most = Action(command.action.value), limit_of(command.max_bytes)
    size = min(command.max_rows, len(command.seqs))
    while True:
        rows, looked = view.rows_at(command.seqs[:size], action, most, of_cause(command.cause))
        plan = _Plan(command, name, command.seqs[:looked], rows)
        effects = _effects(command, plan, at, view, most if looked > 1 else None)
        if effects is not None:
            break
        size = looked // 2
    effects += _answers(name, plan, at, view)
    if rest := command.seqs[looked:]:
        sizes = view.page_sizes
        most_rows = sizes.max_members or command.max_rows
        following = replace(
            command, engine_version=ENGINE_VERSION, seqs=rest, max_rows=most_rows, max_bytes=sizes.max_bytes
        )
        effects.append(Append(at.partition, command.flow_id, following))
    return effects


def _effects(command: ActMembers, plan: _Plan, at: At, view: View, most: int | None) -> list[Effect] | None:
    """The effects on rows and batches, on inboxes and on the children; None if they weigh more than `most` bytes."""
    effects = _delta(command, plan, at)
    for row in plan.again:
        effects += asked_again(row, command.cause, command.on_timeout, command.grace_ms, at)
    ledger = Ledger(at, view)
    for row in plan.ended:
        if row.ending is not None and row.ending.counted_by is not None:
            ledger.settle(row.ending.counted_by, "skipped")
    effects += ledger.effects()
    hit = [*plan.ended, *plan.asked, *plan.again]
    for row in view.with_children(hit):
        effects += cancel_children(
            row.invocation_id, command.action, command.grace_ms, command.on_timeout, command.cause, at, view
        )
    guards = Guards(view, frozenset(map(_SEQ, hit)))
    objects = sorted({each for row in plan.ended if (each := object_of(row)) is not None})
    if most is not None:
        most -= of_flows(effects) + sum(of_slice(each.slice) for each in effects if isinstance(each, PutSlice))
        if most < 0:
            return None
    promoted = promotions_within(most, (), at, view, guards, objects, frozenset(map(_SEQ, plan.ended)))
    return None if promoted is None else effects + promoted


def _delta(command: ActMembers, plan: _Plan, at: At) -> list[Effect]:
    """One delta for all rows that end or are asked, and the signals of those that an executor may know."""
    changes = []
    ending = Ending(command.cause)
    grace_until = at.now + command.grace_ms
    ended_by = ENDED_BY[Action(command.action.value)]
    if plan.ended:
        changes.append(Change(ended_by, seqs=differences(list(map(_SEQ, plan.ended)))))
    if plan.asked:
        due_at = next_repeat(at.now, 0, grace_until)
        changes.append(Change(Status.CANCELLING, due_at=due_at, seqs=differences(list(map(_SEQ, plan.asked)))))
        ending = Ending(command.cause, command.on_timeout, grace_until)
    if not changes:
        return []
    effects: list[Effect] = [PutDelta(PageDelta(at.now, ending, tuple(changes)), plan.left)]
    if plan.known:
        kind = SignalKind.KILL if command.action is FlowAction.KILL else SignalKind.CANCEL
        effects.append(SendAll(kind, plan.known, at.now, command.cause))
    return effects


def _answers(name: FlowName, plan: _Plan, at: At, view: View) -> list[Effect]:
    """What the flows of these members are told."""
    flow_id, children = name
    over = [Grouped(row.seq, None if children else flow_id, flow_id if children else None) for row in plan.over]
    told = endings([*plan.ended, *over], at, view)
    awaited = sorted(map(_SEQ, (*plan.asked, *plan.again, *plan.awaited)))
    told += acked(name, MemberAnswer.CANCELLING, awaited, at, view)
    told += acked(name, MemberAnswer.KEPT, map(_SEQ, plan.kept), at, view)
    return told + acked(name, MemberAnswer.NOT_FOUND, plan.missing, at, view)
