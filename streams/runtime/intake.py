"""From consumed messages to commands a partition can apply: one page at most, and what stands around it."""

from __future__ import annotations

import time
from math import ceil
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from confluent_kafka import murmur2

from streams import codec
from streams.engine.awaited import may_act
from streams.engine.routing import home, routing_key
from streams.engine.view import At
from streams.headers import headers_of
from streams.model import (
    Act,
    Command,
    ContinueSlice,
    ControlSlice,
    Invoke,
    Record,
    ReleaseHeld,
    ReportTransition,
    StartSlice,
    Tick,
)
from streams.rules import MAX_COMMAND
from streams.runtime.task import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping, Sequence

    from streams.runtime.task import PartitionTask

PAGES = (ContinueSlice, ReleaseHeld, Tick)
"""Commands that handle many rows: a partition does one of them in a turn at most.

One that cannot act, since its number is not awaited, is no page: there may be any number of them in the log.
"""


class Bad(NamedTuple):
    """What is wrong with a record: the dead letter's code, and its message.

    Never the exception itself: its traceback leads back to the records it was raised among, and a `Record`, which the
    garbage collector does not follow, would keep them all for ever.
    """

    code: str
    message: str


class Item(Record, frozen=True):
    """A consumed record and its command; or, when `bad` is set, what is wrong with it, and no command.

    `instead`: what is written to the log in the place of a bad one.
    """

    message: Any
    command: Command
    bad: Bad | None = None
    instead: Command | None = None


class Share(NamedTuple):
    """What one partition does in a turn."""

    task: PartitionTask
    items: list[Item]
    ids: list[str]
    page: int | None
    """Where in `items` the page stands."""


_NONE: Any = None
_FRAMING_BYTES = 128
"""More than Kafka writes around a record that is alone in its batch."""
_HEADER_FRAMING_BYTES = 10
"""More than Kafka writes around a header's name and value."""
_LATE_S = 0.005
"""How long pages are awaited: less than a commit takes, which would be an idle wait without them."""
_PAGE_EVERY = 2
"""A page waits for so many turns at most, whatever the number of partitions."""


def pages_a_turn(partitions: int) -> int:
    """How many of so many partitions do a page in one turn."""
    return ceil(partitions / _PAGE_EVERY)


def sort_in(tasks: Mapping[int, PartitionTask], messages: Iterable[Any]) -> None:
    """Leave each record with its partition, where that applies commands."""
    for message in messages:
        task = tasks.get(message.partition())
        if task is not None and task.phase is Phase.RUNNING:
            task.backlog.append(message)


def take_shares(
    tasks: Sequence[PartitionTask],
    turn: int,
    pages: int,
    had: Container[PartitionTask],
    most: int | None = None,
) -> list[Share]:
    """What each partition does in this turn: `pages` of them a page, those first that have waited longest.

    The other half does its pages while Kafka commits this turn's, which is time that the loop would spend waiting. They
    do now what stands before their page.

    `turn` is a number that rises from turn to turn. `had`: who has had a page in this turn. `most`: records of all
    partitions together.
    """
    shares = []
    left = most
    for task in sorted(tasks, key=attrgetter("page_turn")):
        share = take_share(task, with_page=pages > 0 and task not in had, most=left)
        if left is not None:
            left -= len(share.items)
        if share.page is not None:
            pages -= 1
            task.page_turn = turn
        if share.items:
            shares.append(share)
    return shares


def take_pages(tasks: Sequence[PartitionTask], turn: int, pages: int) -> list[Share]:
    """The shares of at most so many partitions whose left-overs begin with a page, and no others."""
    shares: list[Share] = []
    for task in sorted(tasks, key=attrgetter("page_turn")):
        if len(shares) == pages:
            break
        if task.backlog and _begins_with_page(task):
            shares.append(take_share(task))
            task.page_turn = turn
    return shares


def late_pages(tasks: Iterable[PartitionTask]) -> set[int]:
    """Those of the partitions whose next page is in the log and has not come, and that have nothing else to do."""
    return {task.partition for task in tasks if not task.backlog and task.running_table.meta.page_outstanding}


def await_pages(consume: Callable[[int, float], list[Any]], late: set[int], room: int) -> list[Any]:
    """What comes while the pages of `late` partitions are awaited, up to about `room` records.

    They could be done in this turn, or ahead of the next. They were written in the turn before this one, whose commit
    the broker tells readers of a little later than the worker. Without them there would be nothing to do while this
    turn is committed, which takes longer.
    """
    until = time.perf_counter() + _LATE_S
    late, more = set(late), []
    while late and (left := until - time.perf_counter()) > 0:
        found = consume(room, left)
        late -= with_pages(found)
        more += found
    return more


def with_pages(messages: Iterable[Any]) -> set[int]:
    """The partitions of those messages that are pages."""
    return {message.partition() for message in messages if _is_page(message)}


def _is_page(message: Any) -> bool:
    return isinstance(_decoded(message), PAGES)


def _begins_with_page(task: PartitionTask) -> bool:
    message = task.backlog[0]
    command = _decoded(message)
    return isinstance(command, PAGES) and _may_act(command, task, message, 0)


def _may_act(page: ContinueSlice | ReleaseHeld | Tick, task: PartitionTask, message: Any, before: int) -> bool:
    meta = task.running_table.meta
    return may_act(page, At(task.partition, message.offset(), meta.clock), meta, before)


def _decoded(message: Any) -> Command | Bad:
    """The record's command. Its size is looked at first: a broker bounds what is compressed, and only that."""
    key, value = message.key(), message.value()
    size = len(key or b"") + len(value or b"")
    if size > MAX_COMMAND:
        return Bad("too_large", f"key and value have {size} bytes, at most {MAX_COMMAND} are allowed: send less in one")
    try:
        return codec.decode_command(value)
    except codec.BadRecordError as bad:
        return Bad(bad.code, bad.message)


def forward_fault(message: Any) -> Bad | None:
    """Why the record cannot be written to another partition; None when it can.

    The broker counts headers and framing too, and may have taken it compressed. Refused there, it would abort the turn
    each time that it is read again.
    """
    headers = headers_of(message)
    size = len(message.key() or b"") + len(message.value() or b"") + _FRAMING_BYTES
    size += sum(
        len(name.encode("utf-8", "replace")) + len(value or b"") + _HEADER_FRAMING_BYTES for name, value in headers
    )
    if size <= MAX_COMMAND:
        return None
    rule = f"with headers and framing it has {size} bytes, at most {MAX_COMMAND} can be forwarded"
    return Bad("too_large", f"it is on the wrong partition, and {rule}: send less in one, with Kafka's own partitioner")


def _may_raise(command: StartSlice | ControlSlice, task: PartitionTask) -> bool:
    """Whether another page may be the awaited one behind it, as behind each page."""
    return (task.running_table.slice(command.batch_id) is None) is isinstance(command, StartSlice)


def take_share(task: PartitionTask, *, with_page: bool = True, most: int | None = None) -> Share:
    """Decode what is left over up to the partition's first page, or with it up to the second; the rest stays.

    `most`: records.
    """
    items: list[Item] = []
    ids: list[str] = []
    backlog = task.backlog
    page = None
    raising = 0
    while backlog and (most is None or len(items) < most):
        message = backlog.popleft()
        command = _decoded(message)
        if isinstance(command, Bad):
            items.append(Item(message, _NONE, command))
            continue
        if isinstance(command, Invoke):
            ids.append(command.invocation.invocation_id)
        elif isinstance(command, (ReportTransition, Act)):
            ids.append(command.invocation_id)
        elif isinstance(command, (StartSlice, ControlSlice)):
            raising += _may_raise(command, task)
        elif isinstance(command, PAGES) and _may_act(command, task, message, raising):
            raising += 1
            if page is not None or not with_page:
                backlog.appendleft(message)
                break
            page = len(items)
        items.append(Item(message, command))
    return Share(task, items, ids, page)


def left_over(share: Share, done: int) -> Share:
    """The first so many of a share's records; the others go back to where they were taken from."""
    share.task.backlog.extendleft(item.message for item in reversed(share.items[done:]))
    page = share.page if share.page is not None and share.page < done else None
    return share._replace(items=share.items[:done], page=page)


def strays(shares: Sequence[Share], partitions: int) -> dict[tuple[int, int], int]:
    """Records that stand on the wrong partition: (partition, offset) -> the partition they belong to.

    Computed from the record's value, never its key: another client's partitioner may have put it anywhere.
    """
    found: dict[tuple[int, int], int] = {}
    for share in shares:
        own = share.task.partition
        for item in share.items:
            if item.bad is None:
                belongs = _home(item.command, partitions)
                if belongs is not None and belongs != own:
                    found[own, item.message.offset()] = belongs
    return found


def _home(command: Command, partitions: int) -> int | None:
    """As `home` of the engine, whose hash in plain Python is too slow for the commands that come by the million."""
    if isinstance(command, Invoke):
        return murmur2(routing_key(command.invocation.invocation_id).encode(), partitions)
    if isinstance(command, (ReportTransition, Act)):
        return murmur2(routing_key(command.invocation_id).encode(), partitions)
    return home(command, partitions)
