"""`tail`: the records of a topic, decoded."""

from __future__ import annotations

import sys
from base64 import b64encode
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

from streams import codec
from streams.cli.records import to_json
from streams.cli.show.console import Exit, settings_of_command
from streams.client.connection import (
    CONNECT_TIMEOUT,
    MAX_RECORD_BYTES,
    KafkaClients,
    Trouble,
    properties,
    require_topics,
)
from streams.config import Topic  # noqa: TC001 - Typer reads the annotations
from streams.errors import StreamsError
from streams.kafka.headers import headers_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.config import Settings

_CHUNK = 1_000
_WAIT_S = 0.1


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
        with _reader(settings, topic, partition, None if from_beginning else last) as reader:
            for messages in reader.chunks(follow=follow):
                for message in messages:
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


class _Reader:
    """A reader of a topic from chosen offsets on."""

    def __init__(self, consumer: Any, assignment: list[TopicPartition]) -> None:
        self._consumer = consumer
        self._behind = {each.partition for each in assignment}
        consumer.assign(assignment)

    def chunks(self, *, follow: bool) -> Iterator[list[Any]]:
        """Messages as they come: without end, or up to each partition's end when it was reached."""
        while self._behind or follow:
            found = self._consumer.consume(1, _WAIT_S) + self._consumer.consume(_CHUNK, 0)
            messages = [message for message in found if self._is_record(message)]
            if messages:
                yield messages

    def _is_record(self, message: Any) -> bool:
        error = message.error()
        if error is None:
            return True
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the only name it has
            self._behind.discard(message.partition())
        elif error.fatal() or not error.retriable():
            raise KafkaException(error)
        return False


@contextmanager
def _reader(settings: Settings, topic: Topic, partition: int | None, last: int | None) -> Iterator[_Reader]:
    """A reader of the topic. `last`: number of offsets before the end at which to begin, None for the beginning.

    Raises:
        BrokerUnavailableError, TopicMissingError: there is nothing to read from.
        StreamsError: the topic has no such partition.
    """
    trouble = Trouble()
    own = {
        "group_id": "streams-tail",  # never joined, but librdkafka needs a name
        "enable_auto_commit": False,
        "enable_partition_eof": True,
        "isolation_level": "read_committed",
        "fetch_message_max_bytes": MAX_RECORD_BYTES,
        "auto_offset_reset": "earliest",  # records that were there when the end was asked for may be deleted by now
    }
    consumer = KafkaClients().consumer(properties(settings, trouble, **own))
    try:
        [(name, found)] = require_topics(consumer, settings, trouble, topic).items()
        if partition is not None and partition not in found.partitions:
            raise StreamsError(f"{name} has no partition {partition}: it has 0 to {len(found.partitions) - 1}")
        chosen = sorted(found.partitions) if partition is None else [partition]
        yield _Reader(consumer, [_start(consumer, TopicPartition(name, each), last) for each in chosen])
    finally:
        consumer.close()


def _start(consumer: Any, place: TopicPartition, last: int | None) -> TopicPartition:
    place.offset = OFFSET_BEGINNING
    if last is not None:
        first, end = consumer.get_watermark_offsets(place, timeout=CONNECT_TIMEOUT)
        place.offset = max(first, end - last)
    return place
