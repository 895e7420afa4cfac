"""From consumed messages to commands a partition can apply, up to its first page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from confluent_kafka import murmur2

from streams import codec
from streams.engine.routing import home, routing_key
from streams.model import Act, Command, ContinueSlice, Invoke, ReportTransition, Tick

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.runtime.task import PartitionTask

PAGES = (ContinueSlice, Tick)
"""Commands that handle many rows: a partition's turn ends with the first of them."""


class Item(NamedTuple):
    """A consumed record and its command; or, when `bad` is set, what is wrong with it, and no command."""

    message: Any
    command: Command
    bad: codec.BadRecordError | None


class Share(NamedTuple):
    """What one partition does in a turn; `page`: its last command is a page."""

    task: PartitionTask
    items: list[Item]
    ids: list[str]
    page: bool


_NONE: Any = None


def take_share(task: PartitionTask) -> Share:
    """Decode the partition's left-over records up to and including its first page; the rest stays."""
    items: list[Item] = []
    ids: list[str] = []
    backlog = task.backlog
    page = False
    while backlog and not page:
        message = backlog.popleft()
        try:
            command = codec.decode_command(message.value())
        except codec.BadRecordError as bad:
            items.append(Item(message, _NONE, bad))
            continue
        items.append(Item(message, command, None))
        if isinstance(command, Invoke):
            ids.append(command.invocation.invocation_id)
        elif isinstance(command, (ReportTransition, Act)):
            ids.append(command.invocation_id)
        elif isinstance(command, PAGES):
            page = True
    return Share(task, items, ids, page)


def strays(shares: Sequence[Share], partitions: int) -> dict[tuple[int, int], int]:
    """Records that stand on the wrong partition: (partition, offset) -> the partition they belong to.

    Computed from the record's value, never its key: another client's partitioner may have put it anywhere.
    """
    found: dict[tuple[int, int], int] = {}
    for share in shares:
        own = share.task.partition
        for message, command, bad in share.items:
            if bad is None:
                belongs = _home(command, partitions)
                if belongs is not None and belongs != own:
                    found[own, message.offset()] = belongs
    return found


def _home(command: Command, partitions: int) -> int | None:
    """As `home` of the engine, whose hash in plain Python is too slow for the commands that come by the million."""
    if isinstance(command, Invoke):
        return int(murmur2(routing_key(command.invocation.invocation_id).encode(), partitions))
    if isinstance(command, (ReportTransition, Act)):
        return int(murmur2(routing_key(command.invocation_id).encode(), partitions))
    return home(command, partitions)
