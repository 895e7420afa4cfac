"""`tail`: the records of a topic, decoded."""

from __future__ import annotations

import sys
from base64 import b64encode
from typing import Annotated, Any

import msgspec
import typer

from streams import codec
from streams.cli.records import to_json
from streams.cli.show.console import Exit, settings_of_command
from streams.config import Topic  # noqa: TC001 - Typer reads the annotations
from streams.kafka.clients import KafkaClients
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
    settings = settings_of_command()
    encode = msgspec.json.Encoder().encode
    newline = b"\n"
    write, flush = sys.stdout.buffer.write, sys.stdout.buffer.flush
    try:
        behind = None if from_beginning else last
        with read(settings, KafkaClients(), topic, partition=partition, last=behind) as records:
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


def decoded(value: bytes | None) -> dict[str, Any]:
    """The record in a value, or the reason why there is none."""
    if value is None:
        return {"record": None}
    try:
        return {"record": to_json(codec.decode(value))}
    except codec.BadRecordError as error:
        reason = {"code": error.code, "reason": str(error), "base64": b64encode(value).decode()}
        return {"undecodable": reason}


def text_or_base64(value: bytes | None) -> str | dict[str, str] | None:
    """Bytes as text if they are text, else as `{"base64": ...}`."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(value).decode()}
