"""What a turn is going to write to Kafka, in the order in which it is produced."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from streams import codec
from streams.config import Topic
from streams.engine.routing import partition_of, routing_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.engine.effects import Append, Send, SendAll

_SIGNALLED = attrgetter("seq", "encoded", "attempt")
DEAD_LETTER_VALUE_BYTES = 1_900_000
"""A dead letter carries at most this much of the bad record's value, so that it fits with its headers."""


@dataclass(slots=True)
class DeadLetter:
    """A bad record on its way to `dead-letters`."""

    partition: int
    key: bytes | None
    value: bytes | None
    code: str
    headers: list[tuple[str, bytes]]

    def described(self) -> dict[str, str]:
        """Its headers, for a log line."""
        return {name.replace("-", "_"): value.decode() for name, value in self.headers}


Records = dict[int, list[dict[str, Any]]]
"""Records of one topic by partition, as confluent_kafka's `produce_batch` takes them: dicts of key and value."""


class Outbox:
    """What goes to each topic.

    `slice_partitions`: how many partitions `batch-slices` has. `shadow`: signals go nowhere.
    """

    def __init__(self, slice_partitions: int, *, shadow: bool = False) -> None:
        self._slice_partitions = slice_partitions
        self._shadow = shadow
        self.changelog: Records = defaultdict(list)
        self.signals: Records = defaultdict(list)
        self.progress: Records = defaultdict(list)
        self.commands: Records = defaultdict(list)
        self.dead_letters: list[DeadLetter] = []

    def signal(self, partition: int, send: Send) -> None:
        """A signal to executors."""
        if self._shadow:
            return
        value = codec.encode_signal(
            send.kind, send.encoded, send.seq, send.attempt, send.repeat, send.at, send.payload, send.cause
        )
        self.signals[partition].append({"key": routing_key(send.invocation_id), "value": value})

    def signals_of_page(self, partition: int, sent: SendAll) -> None:
        """Signals to the executors of a page's rows."""
        if self._shadow:
            return
        values = codec.encode_signals(sent.kind, map(_SIGNALLED, sent.rows), sent.at, sent.cause)
        self.signals[partition] += [
            {"key": routing_key(row.invocation_id), "value": value}
            for row, value in zip(sent.rows, values, strict=True)
        ]

    def append(self, effect: Append) -> None:
        """A command to the log."""
        self.commands[effect.partition].append({"key": effect.key, "value": codec.encode(effect.command)})

    def forward(self, partition: int, message: Any) -> None:
        """A record to the partition it belongs to, untouched."""
        self.commands[partition].append({"key": message.key(), "value": message.value()})

    def table_changes(self, partition: int, records: Sequence[tuple[str, bytes | None]]) -> None:
        """The changelog's records of a partition."""
        self.changelog[partition] += [{"key": key, "value": value} for key, value in records]

    def published(self, records: Sequence[tuple[str, bytes | None]]) -> None:
        """Headers and slice progress; the topic is partitioned by batch id, which stands before the last slash."""
        for key, value in records:
            partition = partition_of(key.rpartition("/")[0], self._slice_partitions)
            self.progress[partition].append({"key": key, "value": value})

    def sizes(self) -> dict[Topic, int]:
        """How many records go to each topic."""
        by_partition = {
            Topic.CHANGELOG: self.changelog,
            Topic.SIGNALS: self.signals,
            Topic.BATCH_SLICES: self.progress,
            Topic.COMMANDS: self.commands,
        }
        sizes = {topic: sum(map(len, records.values())) for topic, records in by_partition.items()}
        return {**sizes, Topic.DEAD_LETTERS: len(self.dead_letters)}

    def dead_letter(self, message: Any, code: str, text: str) -> None:
        """A bad record, where it stood and what is wrong with it; a value that would not fit is cut and says so."""
        value = message.value()
        headers = [
            ("source-topic", message.topic().encode()),
            ("source-partition", str(message.partition()).encode()),
            ("source-offset", str(message.offset()).encode()),
            ("source-timestamp", str(message.timestamp()[1]).encode()),
            ("error-code", code.encode()),
            ("error-message", text[:1_000].encode()),
        ]
        if value is not None and len(value) > DEAD_LETTER_VALUE_BYTES:
            headers.append(("value-truncated", str(len(value)).encode()))
            value = value[:DEAD_LETTER_VALUE_BYTES]
        self.dead_letters.append(DeadLetter(message.partition(), message.key(), value, code, headers))
