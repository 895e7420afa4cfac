"""`tail`: the records of a topic, decoded."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import msgspec
import typer

from streams.cli.context import connection_of_command
from streams.cli.records import decoded, text_or_base64
from streams.cli.show.console import Exit
from streams.config import Topic  # noqa: TC001 - Typer reads the annotations
from streams.kafka.headers import headers_of
from streams.kafka.tail import tail as read


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

    A line has partition, offset, timestamp (milliseconds since 1970), key and record, which is null for a tombstone and
    as `streams send` takes it for a command. What cannot be decoded stands in base64 under undecodable, with the
    reason. Transactions' markers and compacted records count as offsets too, so that --last may print fewer.

    Example: streams tail signals --follow
    """
    encode = msgspec.json.Encoder().encode
    newline = b"\n"
    write, flush = sys.stdout.buffer.write, sys.stdout.buffer.flush
    try:
        behind = None if from_beginning else last
        with read(*connection_of_command(), topic, partition=partition, last=behind) as records:
            while follow or not records.caught_up:
                for message in records.poll():
                    write(encode(described(message)) + newline)
                flush()
    except KeyboardInterrupt:
        raise typer.Exit(Exit.INTERRUPTED) from None


def described(message: Any) -> dict[str, Any]:
    """A Kafka message in its printed form."""
    shown: dict[str, Any] = {
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp": message.timestamp()[1],
        "key": text_or_base64(message.key()),
    }
    if headers := headers_of(message):
        shown["headers"] = {name: text_or_base64(value) for name, value in headers}
    return shown | decoded(message.value())
