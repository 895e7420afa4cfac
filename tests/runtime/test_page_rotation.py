"""Which partitions do a page in a turn."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Message

from streams import codec
from streams.model import ENGINE_VERSION, Act, Action, ContinueSlice
from streams.runtime.intake import take_shares
from streams.runtime.task import PartitionTask
from streams.state.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PARTITIONS = 8


@pytest.fixture
def tasks(tmp_path: Path) -> Iterator[list[PartitionTask]]:
    """Eight partitions with nothing left over."""
    made = []
    for partition in range(PARTITIONS):
        file = tmp_path / f"{partition}.sqlite3"
        made.append(PartitionTask(partition, Store.open(file, partition), file))
    yield made
    for task in made:
        task.close()


def _log(task: PartitionTask, *commands: Act | ContinueSlice) -> None:
    """These commands wait in the partition."""
    task.backlog.extend(Message(value=codec.encode(command)) for command in commands)


def _page(partition: int) -> ContinueSlice:
    return ContinueSlice(ENGINE_VERSION, partition, "b", 1, 100, 100)


def test_a_quarter_of_the_partitions_do_a_page_and_each_has_its_turn(tasks: list[PartitionTask]) -> None:
    """Eight partitions with a page each take four turns, two of them a turn, none twice."""
    for task in tasks:
        _log(task, _page(task.partition))
    taken = [[share.task.partition for share in take_shares(tasks, turn)] for turn in range(4)]
    assert [len(partitions) for partitions in taken] == [2, 2, 2, 2]
    assert sorted(chain.from_iterable(taken)) == list(range(PARTITIONS))
    assert take_shares(tasks, 4) == []


def test_who_has_waited_longest_is_first(tasks: list[PartitionTask]) -> None:
    """A partition whose page comes back at once does not overtake those that still wait for theirs."""
    first, second, third, *_ = tasks
    for task in (first, second, third):
        _log(task, _page(task.partition))
    assert [share.task for share in take_shares(tasks, 0)] == [first, second]
    _log(first, _page(0))
    assert [share.task for share in take_shares(tasks, 1)] == [third, first]


def test_what_stands_before_a_page_does_not_wait_for_it(tasks: list[PartitionTask]) -> None:
    """Commands ahead of a page that must wait are taken; the page and what follows it stay, in order."""
    act = Act("i", Action.KILL)
    for task in tasks:
        _log(task, act, _page(task.partition), act)
    shares = take_shares(tasks, 0)
    assert [len(share.items) for share in shares] == [2, 2, 1, 1, 1, 1, 1, 1]
    assert [share.page for share in shares] == [True] * 2 + [False] * 6
    waiting = [codec.decode_command(message.value()) for message in tasks[-1].backlog]
    assert waiting == [_page(PARTITIONS - 1), act]


def test_a_lone_partition_does_a_page_each_turn(tasks: list[PartitionTask]) -> None:
    """A quarter of one partition is one."""
    (alone, *_) = tasks
    _log(alone, _page(0), _page(0))
    assert [[share.page for share in take_shares([alone], turn)] for turn in range(3)] == [[True], [True], []]
