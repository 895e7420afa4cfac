"""The records of a turn, decoded: each is looked at once, when it is consumed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from confluent_kafka import murmur2

from streams import codec
from streams.kafka.headers import headers_of
from streams.model import Command, Record
from streams.protocol.routing import home
from streams.protocol.validation import MAX_COMMAND

if TYPE_CHECKING:
    from collections.abc import Iterable

_NONE: Any = None
_FRAMING_BYTES = 128
"""More bytes than Kafka writes around a record that is alone in its batch."""
_HEADER_FRAMING_BYTES = 10
"""More bytes than Kafka writes around a header's name and value."""


class RecordFault(NamedTuple):
    """The fault of a record: the dead letter's code, and its message.

    Never the exception itself: its traceback refers to the records at hand, and a `Record`, which the garbage collector
    does not follow, would keep them all forever.
    """

    code: str
    message: str


class Item(Record, frozen=True):
    """A consumed record and its command, or, in `bad`, its fault.

    `instead`: the command that is written to the log in place of a bad record. `home`: the partition that the command
    belongs to, by its value, never by the record's key: another client's partitioner may have put it anywhere.
    """

    message: Any
    command: Command
    bad: RecordFault | None = None
    instead: Command | None = None
    home: int | None = None


def items_of(messages: Iterable[Any], partitions: int) -> list[Item]:
    """The records and their commands. Each record is decoded here, and never again."""
    return [_item(message, partitions) for message in messages]


def _item(message: Any, partitions: int) -> Item:
    """The record and its command. Its size is checked first: a broker limits only the compressed size."""
    key, value = message.key(), message.value()
    size = len(key or b"") + len(value or b"")
    if size > MAX_COMMAND:
        text = f"key and value have {size} bytes, at most {MAX_COMMAND} are allowed: send less in one"
        return Item(message, _NONE, RecordFault("too_large", text))
    try:
        command = codec.decode_command(value)
    except codec.BadRecordError as bad:
        return Item(message, _NONE, RecordFault(bad.code, bad.message))
    return Item(message, command, home=home(command, partitions, murmur2))


def forward_fault(message: Any) -> RecordFault | None:
    """The reason why the record cannot be written to another partition; None if it can.

    The broker also counts headers and framing, and may have taken the record compressed. A refused record would abort
    the turn each time it is read again.
    """
    headers = headers_of(message)
    size = len(message.key() or b"") + len(message.value() or b"") + _FRAMING_BYTES
    size += sum(
        len(name.encode("utf-8", "replace")) + len(value or b"") + _HEADER_FRAMING_BYTES for name, value in headers
    )
    if size <= MAX_COMMAND:
        return None
    rule = f"with headers and framing it has {size} bytes, at most {MAX_COMMAND} can be forwarded"
    return RecordFault(
        "too_large", f"it is on the wrong partition, and {rule}: send less in one, with Kafka's own partitioner"
    )
