"""From consumed messages to commands a partition can apply, up to its first page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from streams import codec
from streams.engine.routing import home, partitions_of, routing_key
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
        homes = iter(partitions_of([routing_key(invocation_id) for invocation_id in share.ids], partitions))
        for message, command, bad in share.items:
            if bad is not None:
                continue
            belongs = next(homes) if isinstance(command, (Invoke, ReportTransition, Act)) else home(command, partitions)
            if belongs is not None and belongs != own:
                found[own, message.offset()] = belongs
    return found
