"""Which partitions do a page in a turn."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Message
from msgspec.structs import replace

from streams import codec
from streams.engine.answers import At
from streams.engine.effects import InsertRow, PutFlow, SetPage
from streams.model import (
    ENGINE_VERSION,
    Act,
    Action,
    ActMembers,
    CancelFlow,
    CancelPolicy,
    Cause,
    Command,
    ContinueFlow,
    ContinueSlice,
    ControlSlice,
    Filter,
    Flow,
    FlowAction,
    Invocation,
    MemberAck,
    MemberAnswer,
    MemberEnded,
    OnTimeout,
    ReleaseHeld,
    ReportTransition,
    SliceOperation,
    StartSlice,
    Status,
    Tick,
)
from streams.state.store import Store
from streams.state.table import Table
from streams.worker.intake import held_up, pages_a_turn, take_inputs, take_pages, with_pages
from streams.worker.items import items_of
from streams.worker.page_sizes import FIRST
from streams.worker.task import PartitionTask
from support.tables.engine_rows import SEQ, row_at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PARTITIONS = 8
START = StartSlice(
    ENGINE_VERSION,
    partition=0,
    batch_id="b",
    lead=0,
    action=Action.KILL,
    filter=Filter(match_all=True),
    dry_run=False,
    grace_ms=0,
    on_timeout=OnTimeout.KILL,
    cause=Cause(),
)
FLOW = Flow("f", children=False, revision=0, created_at=0, updated_at=0, pending=1, cursors=(-1,) * PARTITIONS)


@pytest.fixture
def tasks(tmp_path: Path) -> Iterator[list[PartitionTask]]:
    """Eight partitions with nothing left over, where page 1 is awaited."""
    made = []
    for partition in range(PARTITIONS):
        file = tmp_path / f"{partition}.sqlite3"
        task = PartitionTask(partition, Store.open(file, partition), file)
        task.table = Table(task.store, partition, PARTITIONS, FIRST)
        task.table.absorb([SetPage(1, outstanding=True)], At(partition, 0, 0))
        made.append(task)
    yield made
    for task in made:
        task.close()


def _log(task: PartitionTask, *commands: Command) -> None:
    """These commands wait in the partition."""
    task.backlog += items_of((Message(value=codec.encode(command)) for command in commands), PARTITIONS)


def _members(count: int) -> ActMembers:
    cancel = FlowAction.KILL, CancelPolicy.CANCEL_ALL, 0, OnTimeout.KILL, Cause()
    return ActMembers(ENGINE_VERSION, 0, "f", False, *cancel, tuple(range(count)), 100)


def _page(partition: int) -> ContinueSlice:
    return ContinueSlice(ENGINE_VERSION, partition, "b", 1, 100, 100)


def test_so_many_partitions_do_a_page_and_each_has_its_turn(tasks: list[PartitionTask]) -> None:
    """Eight partitions with a page each take four turns, two of them a turn, none twice."""
    for task in tasks:
        _log(task, _page(task.partition))
    taken = [[input_.task.partition for input_ in take_inputs(tasks, turn, 2, ())] for turn in range(4)]
    assert [len(partitions) for partitions in taken] == [2, 2, 2, 2]
    assert sorted(chain.from_iterable(taken)) == list(range(PARTITIONS))
    assert take_inputs(tasks, 4, 2, ()) == []


def test_who_has_waited_longest_is_first(tasks: list[PartitionTask]) -> None:
    """A partition whose page comes back at once does not overtake those that still wait for theirs."""
    first, second, third, *_ = tasks
    for task in (first, second, third):
        _log(task, _page(task.partition))
    assert [input_.task for input_ in take_inputs(tasks, 0, 2, ())] == [first, second]
    _log(first, _page(0))
    assert [input_.task for input_ in take_inputs(tasks, 1, 2, ())] == [third, first]


def test_pages_that_hold_up_clients_are_first(tasks: list[PartitionTask]) -> None:
    """Not those with a worker's records behind them; and a page that nobody waits for has its turn in the end."""
    quiet, busy, *_ = tasks
    idle = ControlSlice(ENGINE_VERSION, 0, "other", SliceOperation.PAUSE)
    taken = []
    for turn in range(12):
        for task, behind in ((quiet, idle), (busy, Act("i", Action.KILL))):
            if not task.backlog:
                _log(task, _page(task.partition), behind)
        first = held_up([quiet, busy])
        assert first == [busy]
        assert held_up([quiet, busy], [busy]) == []
        inputs = take_inputs([quiet, busy], turn, 1, (), first=first)
        taken += [input_.task for input_ in inputs if input_.page is not None]
    assert taken[0] is busy
    assert 1 <= taken.count(quiet) <= 2


def test_any_page_that_stands_before_a_clients_command_holds_it_up(tasks: list[PartitionTask]) -> None:
    """Those of flows and ticks, too, which await no number; also behind some answers."""
    act, answer = Act("i", Action.KILL), ReportTransition("i", 1, None, 1, Status.CANCELLED)
    tick = Tick(ENGINE_VERSION, 0, 1, 0, 0, 0, 1, 10)
    pages: list[Command] = [_members(100), tick, ReleaseHeld(ENGINE_VERSION, 0, 1, -1, 10), _page(3), _members(3)]
    for task, page in zip(tasks, pages, strict=False):
        task.running_table.absorb([SetPage(1, outstanding=False)], At(task.partition, 0, 0))
        _log(task, page, *[answer] * 60, act)
    assert held_up(tasks) == tasks[:4]


def test_who_has_waited_long_takes_nobodys_place(tasks: list[PartitionTask]) -> None:
    """Where a page is late and another one holds up a client, both are done."""
    late, busy, other, *_ = tasks
    for task, behind in ((late, []), (busy, [Act("i", Action.KILL)]), (other, [])):
        _log(task, _page(task.partition), *behind)
    late.page_turn, busy.page_turn, other.page_turn = 0, 18, 19
    inputs = take_inputs([late, busy, other], 20, 1, (), first=held_up(tasks))
    assert [input_.task for input_ in inputs if input_.page is not None] == [late, busy]


def test_what_stands_before_a_page_does_not_wait_for_it(tasks: list[PartitionTask]) -> None:
    """Commands ahead of a page that must wait are taken; the page and what follows it stay, in order."""
    act = Act("i", Action.KILL)
    for task in tasks:
        _log(task, act, _page(task.partition), act)
    inputs = take_inputs(tasks, 0, 2, ())
    assert [len(input_.items) for input_ in inputs] == [3, 3, 1, 1, 1, 1, 1, 1]
    assert [input_.page for input_ in inputs] == [1] * 2 + [None] * 6
    assert [item.command for item in tasks[-1].backlog] == [_page(PARTITIONS - 1), act]


def test_a_lone_partition_does_a_page_each_turn(tasks: list[PartitionTask]) -> None:
    """Half of one partition is one."""
    (alone, *_) = tasks
    _log(alone, _page(0), _page(0))
    inputs = [take_inputs([alone], turn, pages_a_turn(1, waited_for=False), ()) for turn in range(3)]
    assert [[input_.page for input_ in taken] for taken in inputs] == [[0], [0], []]


def test_where_clients_wait_fewer_partitions_do_a_page() -> None:
    """A quarter of them, else half; no page waits for more turns than that."""
    assert [pages_a_turn(count, waited_for=False) for count in (1, 4, 7, 16)] == [1, 2, 4, 8]
    assert [pages_a_turn(count, waited_for=True) for count in (1, 4, 7, 16)] == [1, 1, 2, 4]


def test_a_partition_does_one_page_and_what_stands_behind_it(tasks: list[PartitionTask]) -> None:
    """Commands behind the page do not wait for the next turn; a second page does, and what follows that."""
    act = Act("i", Action.KILL)
    (alone, *_) = tasks
    _log(alone, act, _page(0), act, _page(0), act)
    (input_,) = take_inputs([alone], 0, 1, ())
    assert (len(input_.items), input_.page, len(input_.ids)) == (3, 1, 2)
    assert take_inputs([alone], 0, 1, [alone]) == []
    (input_,) = take_inputs([alone], 1, 1, ())
    assert (len(input_.items), input_.page) == (2, 0)


def test_ahead_go_only_pages_that_stand_first(tasks: list[PartitionTask]) -> None:
    """A partition whose page waits behind other commands is left alone, garbage among them."""
    first, second, third, fourth, *_ = tasks
    _log(first, Act("i", Action.KILL), _page(0))
    _log(third, _page(2))
    _log(fourth, _page(3))
    second.backlog += items_of([Message(value=b"garbage")], PARTITIONS)
    assert [input_.task for input_ in take_pages(tasks, 0, 1)] == [third]
    assert [input_.task for input_ in take_pages(tasks, 1, 2)] == [fourth]
    assert [len(task.backlog) for task in (first, second, third, fourth)] == [2, 1, 0, 0]


def test_messages_tell_which_partitions_have_a_page() -> None:
    """Other commands and garbage are none."""
    values = [codec.encode(Act("i", Action.KILL)), codec.encode(_page(1)), b"garbage"]
    messages = [Message(value=value, partition=partition) for partition, value in enumerate(values)]
    assert with_pages(items_of(messages, PARTITIONS)) == {1}


def test_pages_that_cannot_act_take_nobodys_turn(tasks: list[PartitionTask]) -> None:
    """Numbers that are not awaited, or a size that no worker writes: they stand among other commands."""
    (alone, *_) = tasks
    tick = Tick(ENGINE_VERSION, 0, 1, 0, 0, 0, 1, 10)
    flow = ContinueFlow(ENGINE_VERSION, 0, "f", False, 1, 10, 10)
    idle: list[Command] = [
        replace(_page(0), page=0),
        replace(_page(0), page=2**62),
        replace(_page(0), max_scanned=0),
        replace(_page(0), max_matched=2**62),
        replace(_page(0), engine_version=ENGINE_VERSION + 1),
        _page(1),
        replace(flow, page=0),
        replace(flow, page=2),
        replace(flow, max_matched=0),
        replace(_members(100), max_rows=0),
        replace(_members(100), seqs=(5, *range(99))),
        replace(_members(100), partition=1),
        ReleaseHeld(ENGINE_VERSION, 0, 0, -1, 10),
        ReleaseHeld(ENGINE_VERSION, 0, 1, -1, 10),
        replace(tick, tick_no=0),
        replace(tick, tick_no=2),
        replace(tick, max_rows=0),
    ]
    _log(alone, *idle, _page(0), tick)
    (input_,) = take_inputs([alone], 0, 1, ())
    assert (len(input_.items), input_.page) == (len(idle) + 1, len(idle))
    (input_,) = take_inputs([alone], 1, 1, ())
    assert (len(input_.items), input_.page) == (1, 0)


def test_a_page_may_be_awaited_by_what_stands_before_it(tasks: list[PartitionTask]) -> None:
    """A slice that begins may have written the next number; one that is not there cannot."""
    (alone, *_) = tasks
    next_page = replace(_page(0), page=2)
    _log(alone, START, next_page)
    (input_,) = take_inputs([alone], 0, 1, ())
    assert input_.page == 1
    _log(alone, ControlSlice(ENGINE_VERSION, 0, "b", SliceOperation.RESUME), next_page, next_page)
    (input_,) = take_inputs([alone], 1, 1, ())
    assert (len(input_.items), input_.page) == (3, None)


def test_a_page_of_a_flow_shares_its_number_with_pages_of_slices(tasks: list[PartitionTask]) -> None:
    """Whichever of the two comes first is the page of this turn, the other that of the next."""
    (alone, *_) = tasks
    _log(alone, ContinueFlow(ENGINE_VERSION, 0, "f", False, 1, 10, 10), _page(0))
    assert [take_inputs([alone], turn, 1, ())[0].page for turn in range(2)] == [0, 0]


def test_a_few_members_are_no_page_and_many_are(tasks: list[PartitionTask]) -> None:
    """They need no number, but a row that may be one of them, and that is there already."""
    (alone, *_) = tasks

    def pages(command: ActMembers) -> list[int | None]:
        """Index of the page in each of the turns that two such commands take."""
        alone.backlog += items_of([Message(value=codec.encode(command), offset=500)] * 2, PARTITIONS)
        found = []
        while alone.backlog:
            found += [input_.page for input_ in take_inputs([alone], 0, 1, ())]
        return found

    assert pages(_members(33)) == [None]
    insert = InsertRow(row_at(Status.READY, flow_id="f"), Invocation("a", "s", "h", flow_id="f"))
    alone.running_table.absorb([insert], At(0, SEQ, 0))
    alone.running_table.write()
    assert pages(_members(32)) == [None]
    assert pages(_members(33)) == [0, 0]
    assert pages(replace(_members(33), seqs=tuple(range(500, 533)))) == [None]


@pytest.mark.parametrize(
    ("command", "known"),
    [
        (CancelFlow("f", action=FlowAction.KILL, policy=CancelPolicy.CANCEL_ALL), FLOW),
        (MemberEnded(ENGINE_VERSION, 0, "f", False, 0, (1,)), FLOW),
        (MemberAck(ENGINE_VERSION, 0, "f", False, 0, MemberAnswer.KEPT, (1,)), FLOW),
        (Act("f", Action.KILL), replace(FLOW, children=True)),
        (_members(3), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_wakes_a_flow_may_await_a_page(
    command: Command, known: Flow | None, tasks: list[PartitionTask]
) -> None:
    """By one number each, and only where there is something to wake."""
    (alone, *_) = tasks
    next_page = ContinueFlow(ENGINE_VERSION, 0, "f", False, 2, 10, 10)
    if known is not None:
        _log(alone, command, next_page)
        assert take_inputs([alone], 0, 1, ())[0].page is None
        alone.running_table.absorb([PutFlow(known)], At(0, 0, 0))
    _log(alone, command, replace(next_page, page=3), next_page)
    (input_,) = take_inputs([alone], 1, 1, ())
    assert (len(input_.items), input_.page) == (3, 2)
