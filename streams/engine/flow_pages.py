"""Pages of a flow: the members that its cancel asks next, and those that the reconciler asks again."""

from __future__ import annotations

from collections import Counter, defaultdict
from math import ceil
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from streams.engine.counters import RECONCILED_MEMBERS, STALE_FLOW_PAGE
from streams.engine.effects import Append, Count, PutFlow, PutMembers
from streams.engine.flows import (
    ALL_ASKED,
    MAX_FAILURES,
    answered,
    asked_more,
    free_slots,
    has_page,
    known_as,
    moved,
    to_ask,
    written,
)
from streams.engine.rotation import FlowTurn, next_in_rotation, next_page, waiting_turns
from streams.engine.validate import check_internal
from streams.engine.weights import SEQ, limit_of
from streams.model import ENGINE_VERSION, ActMembers, Member, MemberState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.engine.answers import At
    from streams.engine.effects import Effect
    from streams.engine.view import View
    from streams.model import ContinueFlow, Flow

_MEMBER: Final = 4 * SEQ
"""Bytes to write for a member that is asked: its seq in the order, and its entry."""


class Entries:
    """Changes of members' entries that one command makes, collected so that equal ones are written together."""

    def __init__(self, flow: Flow, partition: int) -> None:
        self._flow = flow
        self._partition = partition
        self._asked = 0
        self._moves: Counter[tuple[str, str]] = Counter()
        self._groups: dict[tuple[object, ...], tuple[Member, list[int]]] = {}

    def change(self, seqs: Sequence[int], member: Member, new: Member, before: str, after: str) -> None:
        """Give members of one entry their new one, and move them from one number to another."""
        self._asked += len(seqs) if known_as(self._flow, member) is MemberState.ASKED else 0
        self._moves[before, after] += len(seqs)
        failures = tuple(each for each in self._flow.failures if each != member.invocation_id)
        if new.invocation_id is not None and after == "failed" and len(failures) < MAX_FAILURES:
            failures = (*failures, new.invocation_id)
        if failures != self._flow.failures:
            self._flow = replace(self._flow, failures=failures)
        same = (new.round, new.invocation_id, new.restarted_seq, *sorted(new.labels.items()))
        self._groups.setdefault(same, (new, []))[1].extend(seqs)

    def effects(self, at: At) -> list[Effect]:
        """The flow and the entries; nothing if nothing has changed."""
        if not self._groups:
            return []
        flow = answered(self._flow, self._partition, self._asked)
        for (before, after), members in self._moves.items():
            flow = moved(flow, before, after, members)
        names = (flow.flow_id, flow.children, self._partition)
        puts = [PutMembers(*names, tuple(seqs), member) for member, seqs in self._groups.values()]
        return [PutFlow(written(flow, at)), *puts]


def asking(flow: Flow, partition: int, seqs: tuple[int, ...], view: View) -> Append:
    """The order to a partition to act on members of the flow there."""
    if flow.action is None or flow.policy is None:
        raise AssertionError(f"flow {flow.flow_id} is not cancelled")
    sizes = view.page_sizes
    grace_ms = 0 if flow.grace_ms is None else flow.grace_ms
    order = ActMembers(
        ENGINE_VERSION,
        partition,
        flow.flow_id,
        flow.children,
        flow.action,
        flow.policy,
        grace_ms,
        flow.on_timeout,
        flow.cause,
        seqs,
        max(sizes.max_members or sizes.max_matched, 1),
        sizes.max_bytes,
    )
    return Append(partition, flow.flow_id, order)


def ask_few(flow: Flow, view: View) -> tuple[Flow, list[Effect]]:
    """Ask all members of a flow that has few, those of this round; the flow, and what asks them."""
    effects: list[Effect] = []
    of_partition: defaultdict[int, list[tuple[int, Member]]] = defaultdict(list)
    for partition, seq, member in view.all_members(flow):
        if to_ask(flow, member):
            of_partition[partition].append((seq, member))
    for partition, members in of_partition.items():
        effects += _ask(flow, partition, members, view)
        newly = sum(known_as(flow, member) is not MemberState.ASKED for _, member in members)
        flow = asked_more(flow, partition, newly, view.partitions)
    return replace(flow, cursors=()), effects


def _ask(flow: Flow, partition: int, members: Sequence[tuple[int, Member]], view: View) -> list[Effect]:
    """Ask these members of a partition."""
    groups: dict[tuple[object, ...], tuple[Member, list[int]]] = {}
    last: Member | None = None
    seqs: list[int] = []
    for seq, member in members:
        if member is not last:
            last, same = member, (member.restarted_seq, *sorted(member.labels.items()))
            _, seqs = groups.setdefault(same, (member, []))
        seqs.append(seq)
    asked = {"state": MemberState.ASKED, "round": flow.round, "invocation_id": None}
    puts = [
        PutMembers(flow.flow_id, flow.children, partition, tuple(seqs), replace(member, **asked))
        for member, seqs in groups.values()
    ]
    return [asking(flow, partition, tuple(seq for seq, _ in members), view), *puts]


def continue_flow(command: ContinueFlow, at: At, view: View) -> list[Effect]:
    """Ask one page of the flow's members; a page already done is a no-op."""
    check_internal(command, at)
    meta = view.meta
    if not meta.page_outstanding or command.page != meta.page:
        return [STALE_FLOW_PAGE]
    flow = view.flow(command.flow_id, children=command.children)
    turn, running = FlowTurn(command.flow_id, command.children), waiting_turns(view)
    if flow is None or not has_page(flow, view.partitions):
        return next_page(next_in_rotation(turn, running, goes_on=False), at, view)
    page = _Page(command)
    asked = _recheck(flow, page, view) if flow.recheck_left else _dispatch(flow, page, view)
    asked = written(asked, at)
    following = next_page(next_in_rotation(turn, running, has_page(asked, view.partitions)), at, view)
    return [PutFlow(asked), *page.effects, *following]


class _Page:
    """The rest of a page's allowance, and the effects so far."""

    def __init__(self, command: ContinueFlow) -> None:
        self.scanned, self.matched = command.max_scanned, command.max_matched
        self.bytes = limit_of(command.max_bytes)
        self.effects: list[Effect] = []

    @property
    def full(self) -> bool:
        """True if the allowance is used up."""
        return self.scanned <= 0 or self.matched <= 0 or self.bytes <= 0

    def ask(self, flow: Flow, partition: int, members: Sequence[tuple[int, Member]], view: View) -> None:
        """Ask these members of a partition."""
        if not members:
            return
        self.effects += _ask(flow, partition, members, view)
        self.matched -= len(members)
        self.bytes -= _MEMBER * len(members)


def _dispatch(flow: Flow, page: _Page, view: View) -> Flow:
    """Ask the next members of this round, of each partition as many as it may be asked before it answers.

    Each partition has an equal part of the page, so that all of them work at the same time.
    """
    cursors = list(flow.cursors)
    rooms = {partition: free_slots(flow, partition, view.partitions) for partition in range(len(cursors))}
    open_ = [partition for partition, cursor in enumerate(cursors) if cursor < ALL_ASKED and rooms[partition]]
    for done, partition in enumerate(open_):
        if page.full:
            break
        left = len(open_) - done
        free = min(rooms[partition], ceil(page.matched / left))
        limit = ceil(min(page.scanned, page.bytes // _MEMBER + 1) / left)
        looked, chosen, cursors[partition] = _next_to_ask(flow, partition, free, limit, view)
        page.scanned -= max(looked, 1)
        page.ask(flow, partition, chosen, view)
        newly = sum(known_as(flow, each) is not MemberState.ASKED for _, each in chosen)
        flow = asked_more(flow, partition, newly, view.partitions)
    return replace(flow, cursors=tuple(cursors))


def _next_to_ask(
    flow: Flow, partition: int, most: int, limit: int, view: View
) -> tuple[int, list[tuple[int, Member]], int]:
    """The next members of a partition to ask, at most `most`: members looked at, those to ask, and the cursor then."""
    chosen: list[tuple[int, Member]] = []
    looked, cursor, size = 0, flow.cursors[partition], most + 1
    last: Member | None = None
    asks = False
    while looked < limit and cursor < ALL_ASKED and len(chosen) < most:
        wanted = min(limit - looked, size)
        found = view.members(flow, partition, cursor, wanted)
        used = 0
        for seq, member in found:
            used += 1
            if member is not last:
                # A table may give equal members as one object.
                last, asks = member, to_ask(flow, member)
            if asks:
                chosen.append((seq, member))
                if len(chosen) == most:
                    break
        looked += used
        cursor = found[used - 1][0] if used else cursor
        if used == len(found) and (used < wanted or (looked < limit and not view.members(flow, partition, cursor, 1))):
            cursor = ALL_ASKED
        size *= 2
    return looked, chosen, cursor


def _recheck(flow: Flow, page: _Page, view: View) -> Flow:
    """Ask again, in rotation through the members, those that have not answered."""
    labels = flow.recheck_labels
    partition, after, left, turn = flow.recheck_partition, flow.recheck_seq, flow.recheck_left, flow.recheck_turn
    while left and turn and not page.full:
        found = view.members(flow, partition, after, page.scanned)
        chosen: list[tuple[int, Member]] = []
        looked = 0
        for seq, member in found:
            looked += 1
            after = seq
            if known_as(flow, member) is MemberState.ASKED and labels.items() <= member.labels.items():
                chosen.append((seq, member))
                if len(chosen) == min(left, page.matched):
                    break
        ended = looked == len(found) < page.scanned
        page.scanned -= max(looked, 1)
        left -= len(chosen)
        page.ask(flow, partition, chosen, view)
        if ended:
            partition, after, turn = (partition + 1) % view.partitions, -1, turn - 1
    page.effects.append(Count(RECONCILED_MEMBERS, flow.recheck_left - left))
    return replace(
        flow,
        recheck_left=left if turn else 0,
        recheck_turn=turn,
        recheck_partition=partition,
        recheck_seq=after,
    )
