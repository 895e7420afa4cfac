"""`tail`: the records of a topic, decoded."""

from __future__ import annotations

import sys
from collections import OrderedDict
from itertools import accumulate
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from streams.cli.context import connection_of_command
from streams.cli.records import decoded
from streams.cli.show.console import Exit, err
from streams.codec.json_form import text_or_base64, time_text
from streams.config import Topic
from streams.kafka.headers import headers_of
from streams.kafka.tail import tail as read

if TYPE_CHECKING:
    from collections.abc import Mapping

_REMEMBERED: Final = 500_000


def tail(
    topic: Annotated[Topic, typer.Argument(help="Which one, without the prefix.", show_default=False)],
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", metavar="", help="Go on with what comes, until Ctrl-C.")
    ] = False,
    from_beginning: Annotated[bool, typer.Option("--from-beginning", metavar="", help="Everything there is.")] = False,
    last: Annotated[
        int, typer.Option("--last", "-n", min=0, help="Begin this many offsets before each partition's end.")
    ] = 10,
    partition: Annotated[
        int | None, typer.Option("--partition", "-p", min=0, help="This partition only.", show_default=False)
    ] = None,
) -> None:
    """Print a topic's committed records as JSON lines; those of one partition in their order.

    A line has partition, offset, timestamp, key and record, which is null for a tombstone and as `streams send` takes
    it for a command. What cannot be decoded is in base64 under undecodable, with the reason. A PageDelta of the
    changelog has beside it the ids that it changes, as far as their rows were printed before. Transactions' markers and
    compacted records count as offsets too, so that --last may print fewer.

    Example: streams tail signals --follow
    """
    encode = msgspec.json.Encoder().encode
    deltas = Deltas() if topic is Topic.CHANGELOG else None
    newline = b"\n"
    write, flush = sys.stdout.buffer.write, sys.stdout.buffer.flush
    try:
        behind = None if from_beginning else last
        with read(*connection_of_command(), topic, partition=partition, last=behind) as records:
            for messages in records.without_end() if follow else records.until_end():
                for message in messages:
                    write(encode(described(message, deltas)) + newline)
                flush()
    except KeyboardInterrupt:
        raise typer.Exit(Exit.INTERRUPTED) from None


class Deltas:
    """Names the invocations that a page delta of the changelog changes, by the rows that were read before it.

    A delta holds numbers only. Of the rows, the last half million read are remembered.
    """

    def __init__(self) -> None:
        self._ids: OrderedDict[tuple[int, int], str] = OrderedDict()
        self._told = False

    def beside(self, partition: int, record: Mapping[str, Any] | None) -> dict[str, Any]:
        """What is printed beside a record: of a delta its ids, and the number of those that are not known."""
        match record:
            case {"type": "InvocationRow", "seq": seq, "invocation": {"invocation_id": name}}:
                self._ids[partition, seq] = name
                if len(self._ids) > _REMEMBERED:
                    self._ids.popitem(last=False)
            case {"type": "PageDelta", "changes": changes}:
                self._tell()
                seqs = [seq for change in changes for seq in accumulate(change["seqs"])]
                known = [self._ids[partition, seq] for seq in seqs if (partition, seq) in self._ids]
                unknown = len(seqs) - len(known)
                return {"changed_ids": known} | ({"changed_but_not_read": unknown} if unknown else {})
        return {}

    def _tell(self) -> None:
        if not self._told:
            err.print(
                "a PageDelta changes many rows, whose own records stay as they were: `streams invocation show ID` says "
                "where one stands",
                markup=False,
            )
        self._told = True


def described(message: Any, deltas: Deltas | None = None) -> dict[str, Any]:
    """A Kafka message in its printed form. `deltas`: for the changelog."""
    shown: dict[str, Any] = {
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp": time_text(message.timestamp()[1]),
        "key": text_or_base64(message.key()),
    }
    if headers := headers_of(message):
        shown["headers"] = {name: text_or_base64(value) for name, value in headers}
    shown |= decoded(message.value())
    return shown if deltas is None else shown | deltas.beside(message.partition(), shown.get("record"))
