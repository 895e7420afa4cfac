"""The way from consumed messages to a partition's commands for one turn: one page at most, and those around it."""

from __future__ import annotations

import time
from functools import partial
from itertools import islice
from math import ceil
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from streams.engine.answers import At
from streams.engine.awaited import is_page, may_act
from streams.model import (
    Act,
    ActMembers,
    CancelFlow,
    ControlSlice,
    Invoke,
    JoinFlow,
    MemberAck,
    MemberEnded,
    ReportTransition,
    StartSlice,
)
from streams.worker.task import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping, Sequence

    from streams.engine.awaited import Page
    from streams.worker.items import Item
    from streams.worker.task import PartitionTask


class PartitionInput(NamedTuple):
    """The work of one partition in a turn."""

    task: PartitionTask
    items: list[Item]
    ids: Sequence[str] = ()
    page: int | None = None
    """Index of the page in `items`; None without one."""


_LATE_S = 0.005
"""Longest wait for pages: shorter than a commit, which without them would be an idle wait."""
_COMMAND = attrgetter("command")
_AT_ONCE = 64
"""Number of commands applied between two looks at the clock; fewer if they have many members of flows."""
_MEMBERS_AT_ONCE = 1_000
_LISTS = (JoinFlow, MemberEnded, MemberAck)
_LIST_TYPES = frozenset(_LISTS)
"""Records of workers that name members in lists: each of them costs as much as a small command."""
_PAGE_EVERY = 2
"""Most turns that a page waits, whatever the number of partitions."""
_PAGE_EVERY_CALM = 4
"""Likewise where clients wait for the turns."""

_AT_LAST = 2 * _PAGE_EVERY_CALM
"""Most turns that a page waits for those that hold up clients' commands."""
_OF_CLIENTS = frozenset({Invoke, Act})
_LOOKED_AT = 64
"""Number of records, of a partition's next ones, among which a client's command is looked for."""


def pages_a_turn(partitions: int, *, waited_for: bool) -> int:
    """Number of partitions, out of `partitions`, that do a page in one turn: fewer where clients wait for it.

    Each partition adds to a transaction. The pages of a turn share its time, so that few do in it what many would, with
    fewer records.
    """
    return ceil(partitions / (_PAGE_EVERY_CALM if waited_for else _PAGE_EVERY))


def sort_in(tasks: Mapping[int, PartitionTask], items: Iterable[Item]) -> None:
    """Append each record to the backlog of its partition, if that is RUNNING."""
    for item in items:
        task = tasks.get(item.message.partition())
        if task is not None and task.phase is Phase.RUNNING:
            task.backlog.append(item)


def take_inputs(
    tasks: Sequence[PartitionTask],
    turn: int,
    pages: int,
    had: Container[PartitionTask],
    most: int | None = None,
    first: Container[PartitionTask] = (),
) -> list[PartitionInput]:
    """The input of each partition in this turn. `pages` of them do a page, and besides them the `first` ones.

    The other half does its pages while Kafka commits this turn, when the loop would only wait. For now, they do the
    commands before their page.

    `turn` is a number that rises from turn to turn. `had`: partitions that have had a page in this turn. `most`: limit
    on the records of all partitions together. `first`: as `held_up` tells.
    """
    inputs = []
    left = most
    for task in sorted(tasks, key=partial(_place_in_line, first=first, turn=turn)):
        input_ = take_input(task, with_page=task not in had and (pages > 0 or task in first), most=left)
        if left is not None:
            left -= len(input_.items)
        if input_.page is not None:
            pages -= 1
            task.page_turn = turn
        if input_.items:
            inputs.append(input_)
    return inputs


def take_pages(tasks: Sequence[PartitionTask], turn: int, pages: int) -> list[PartitionInput]:
    """The inputs of partitions whose backlog begins with a page; at most `pages` of them."""
    inputs: list[PartitionInput] = []
    for task in sorted(tasks, key=partial(_place_in_line, first=held_up(tasks), turn=turn)):
        if len(inputs) == pages:
            break
        if task.backlog and _begins_with_page(task):
            inputs.append(take_input(task))
            task.page_turn = turn
    return inputs


def held_up(tasks: Iterable[PartitionTask], had: Container[PartitionTask] = ()) -> Sequence[PartitionTask]:
    """The partitions, of those that have had no page in this turn, where a client's command waits for one."""
    return [task for task in tasks if task not in had and _client_waits(task)]


def _place_in_line(task: PartitionTask, first: Container[PartitionTask], turn: int) -> tuple[bool, int]:
    """Who does a page first: the `first` ones, and who has waited long; then who has waited longest."""
    return not (task in first or turn - task.page_turn > _AT_LAST), task.page_turn


def _client_waits(task: PartitionTask) -> bool:
    """True if a page and then a client's command are among the next records: by the log's order the page comes first.

    As each page is followed by the next one in the log, that is so for all that clients send beside a batch.
    """
    page = False
    for item in islice(task.backlog, _LOOKED_AT):
        if page and type(item.command) in _OF_CLIENTS:
            return True
        page = page or is_page(item.command)
    return False


def late_pages(tasks: Iterable[PartitionTask]) -> set[int]:
    """The partitions that have nothing to do and whose next page is in the log but has not arrived."""
    return {task.partition for task in tasks if not task.backlog and task.running_table.meta.page_outstanding}


def await_pages(consume: Callable[[int, float], list[Item]], late: set[int], room: int) -> list[Item]:
    """Wait a moment for the pages of the `late` partitions; returns all that arrives, about `room` records at most.

    The pages could be done in this turn, or ahead of the next. They were written in the turn before this one: readers
    learn of its commit slightly later than the worker does. Without them there would be nothing to work on while this
    turn commits, which takes longer than the wait.
    """
    until = time.perf_counter() + _LATE_S
    late, more = set(late), []
    while late and (left := until - time.perf_counter()) > 0:
        found = consume(room, left)
        late -= with_pages(found)
        more += found
    return more


def with_pages(items: Iterable[Item]) -> set[int]:
    """The partitions that have a page among these records."""
    return {item.message.partition() for item in items if is_page(item.command)}


def _begins_with_page(task: PartitionTask) -> bool:
    item = task.backlog[0]
    return is_page(item.command) and _may_act(item.command, task, item.message, 0)


def _may_act(page: Page, task: PartitionTask, message: Any, before: int) -> bool:
    table = task.running_table
    meta = table.meta
    if not may_act(page, At(task.partition, message.offset(), meta.clock), meta, before):
        return False
    # An order to act on members has no number: a log may be full of them, as long as they are nobody's.
    return not isinstance(page, ActMembers) or table.has_members(page.flow_id, children=page.children)


_Raising = StartSlice | ControlSlice | CancelFlow | MemberEnded | MemberAck | Act | ActMembers
"""Commands that may raise the awaited number of a page after them, as each page does."""
_RAISING = frozenset(get_args(_Raising))


def _raises(command: _Raising, task: PartitionTask) -> bool:
    """True if the command begins a slice, or wakes a flow: a cancelled one, or one that has waited for answers."""
    table = task.running_table
    match command:
        case StartSlice() | ControlSlice():
            return (table.slice(command.batch_id) is None) is isinstance(command, StartSlice)
        case ActMembers():
            return True
        case Act():
            return table.flow(command.invocation_id, children=True) is not None
        case _:
            flow = table.flow(command.flow_id, children=command.children)
            return flow is not None and (isinstance(command, CancelFlow) or bool(flow.cursors or flow.recheck_left))


def take_input(task: PartitionTask, *, with_page: bool = True, most: int | None = None) -> PartitionInput:
    """Take the backlog up to the partition's first page, or, with that page, up to the second; the rest stays.

    `most`: records.
    """
    items: list[Item] = []
    ids: list[str] = []
    backlog = task.backlog
    page = None
    raising = 0
    # They are looked at only where it matters: most turns have no page whose number is not awaited yet.
    may_raise: list[_Raising] = []
    while backlog and (most is None or len(items) < most):
        item = backlog.popleft()
        command = item.command
        if type(command) is Invoke:
            ids.append(command.invocation.invocation_id)
        elif type(command) is ReportTransition:
            ids.append(command.invocation_id)
        elif is_page(command):
            acts = _may_act(command, task, item.message, raising)
            if not acts and may_raise and _may_act(command, task, item.message, raising + len(may_raise)):
                raising += sum(_raises(each, task) for each in may_raise)
                may_raise.clear()
                acts = _may_act(command, task, item.message, raising)
            if acts:
                raising += 1
                if page is not None or not with_page:
                    backlog.appendleft(item)
                    break
                page = len(items)
        elif type(command) in _RAISING and isinstance(command, _Raising):
            may_raise.append(command)
            if isinstance(command, Act):
                ids.append(command.invocation_id)
        items.append(item)
    return PartitionInput(task, items, ids, page)


def left_over(input_: PartitionInput, done: int) -> PartitionInput:
    """The first `done` records of an input; the others go back to the backlog."""
    input_.task.backlog.extendleft(reversed(input_.items[done:]))
    page = input_.page if input_.page is not None and input_.page < done else None
    return input_._replace(items=input_.items[:done], page=page)


def at_once(items: Sequence[Item], begin: int, end: int) -> Sequence[Item]:
    """The first of these items, up to `end`, that are applied before the next look at the clock; at least one.

    Few if they name many members of flows.
    """
    some = items[begin : min(end, begin + _AT_ONCE)]
    if _LIST_TYPES.isdisjoint(map(type, map(_COMMAND, some))):
        return some
    members = 0
    for number, item in enumerate(some, 1):
        command = item.command
        if type(command) in _LIST_TYPES and isinstance(command, _LISTS):
            members += len(command.seqs)
            if members >= _MEMBERS_AT_ONCE:
                return some[:number]
    return some
