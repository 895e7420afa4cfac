"""The records that a turn writes to Kafka, in the order in which they are produced."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import structlog

from streams import codec
from streams.config import Topic
from streams.kafka.headers import headers_of
from streams.model import SignalKind
from streams.protocol.routing import partition_of, routing_key
from streams.worker.clock_ahead import CHANGELOG, CLOCK, CLOCK_AHEAD, LAST_OFFSET, MOST_AHEAD, RECORDS, SOURCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.engine.effects import Append, Send, SendAll
    from streams.model import FlowProgress, WorkerAddress
    from streams.worker.clock_ahead import ClockAheadRun
    from streams.worker.topics import Topics

log = structlog.get_logger("streams.worker")

_TOLD = 20
"""Most dead letters of a turn that get a log line each: thousands would hold up the loop."""
_SIGNALLED = attrgetter("seq", "encoded", "attempt")
DEAD_LETTER_BYTES = 1_900_000
"""Most bytes of a bad record's key, value and headers in its dead letter, so that its own headers fit, too."""
_KEY_BYTES = 200_000
_HEADER_BYTES = 200_000
_ORIGINAL = "original."
"""Prefix of the names of the record's own headers in its dead letter."""


Headers = list[tuple[str, bytes | None]]


@dataclass(slots=True)
class OutgoingDeadLetter:
    """A bad record on its way to `dead-letters`."""

    partition: int
    key: bytes | None
    value: bytes | None
    code: str
    headers: Headers

    def described(self) -> dict[str, str]:
        """The record's fault and its place, for a log line."""
        return {
            name.replace("-", "_"): (value or b"").decode("utf-8", "replace")
            for name, value in self.headers
            if not name.startswith(_ORIGINAL)
        }


@dataclass(slots=True)
class Forwarded:
    """A record on its way to the partition of `commands` that it belongs to."""

    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers


Records = dict[int, list[dict[str, Any]]]
"""Records of one topic by partition, as confluent_kafka's `produce_batch` takes them: dicts of key and value."""


class Outbox:
    """The records for each topic.

    `slice_partitions`, `flow_partitions`: numbers of partitions of `batch-slices` and `flows`. `shadow`: drop signals.
    """

    def __init__(self, slice_partitions: int, flow_partitions: int, *, shadow: bool = False) -> None:
        self._slice_partitions = slice_partitions
        self._flow_partitions = flow_partitions
        self._shadow = shadow
        self.changelog: Records = defaultdict(list)
        self.signals: Records = defaultdict(list)
        self.progress: Records = defaultdict(list)
        self.flows: Records = defaultdict(list)
        self.addresses: Records = defaultdict(list)
        self.commands: Records = defaultdict(list)
        self.forwarded: list[Forwarded] = []
        self.dead_letters: list[OutgoingDeadLetter] = []
        self.started_at: list[int] = []
        """Of each START among the signals the time of the command that it follows from, ms."""

    def signal(self, partition: int, send: Send) -> None:
        """Add a signal to executors."""
        if self._shadow:
            return
        if send.kind is SignalKind.START:
            self.started_at.append(send.at)
        value = codec.encode_signal(
            send.kind, send.encoded, send.seq, send.attempt, send.repeat, send.at, send.payload, send.cause
        )
        self.signals[partition].append({"key": routing_key(send.invocation_id), "value": value})

    def signals_of_page(self, partition: int, sent: SendAll) -> None:
        """Add signals to the executors of a page's rows."""
        if self._shadow:
            return
        values = codec.encode_signals(sent.kind, map(_SIGNALLED, sent.rows), sent.at, sent.cause)
        self.signals[partition] += [
            {"key": routing_key(row.invocation_id), "value": value}
            for row, value in zip(sent.rows, values, strict=True)
        ]

    def append(self, effect: Append) -> None:
        """Add a command to the log."""
        self.commands[effect.partition].append({"key": effect.key, "value": codec.encode(effect.command)})

    def forward(self, partition: int, message: Any) -> None:
        """Add a record for the partition it belongs to, unchanged and with its headers."""
        self.forwarded.append(Forwarded(partition, message.key(), message.value(), headers_of(message)))

    def table_changes(self, partition: int, records: Sequence[tuple[str, bytes | None]]) -> None:
        """Add a partition's changelog records."""
        self.changelog[partition] += [{"key": key, "value": value} for key, value in records]

    def published(self, records: Sequence[tuple[str, bytes | None]]) -> None:
        """Add headers and slice progress. The batch id, the key up to its last slash, decides the partition."""
        for key, value in records:
            partition = partition_of(key.rpartition("/")[0], self._slice_partitions)
            self.progress[partition].append({"key": key, "value": value})

    def flows_published(self, records: Sequence[tuple[str, FlowProgress | None]]) -> None:
        """Add the progress of named flows, by flow id; None is a tombstone."""
        for flow_id, progress in records:
            value = None if progress is None else codec.encode(progress)
            self.flows[partition_of(flow_id, self._flow_partitions)].append({"key": flow_id, "value": value})

    def address_published(self, partition: int, address: WorkerAddress | None) -> None:
        """Add the address of a partition's worker; None is a tombstone."""
        value = None if address is None else codec.encode(address)
        self.addresses[0].append({"key": str(partition), "value": value})

    def sizes(self) -> dict[Topic, int]:
        """Number of records for each topic."""
        by_partition = {
            Topic.CHANGELOG: self.changelog,
            Topic.SIGNALS: self.signals,
            Topic.BATCH_SLICES: self.progress,
            Topic.FLOWS: self.flows,
            Topic.WORKERS: self.addresses,
            Topic.COMMANDS: self.commands,
        }
        sizes = {topic: sum(map(len, records.values())) for topic, records in by_partition.items()}
        sizes[Topic.COMMANDS] += len(self.forwarded)
        return {**sizes, Topic.DEAD_LETTERS: len(self.dead_letters)}

    def dead_letter(self, message: Any, code: str, text: str) -> None:
        """Add a bad record with its place and its fault. What would not fit is cut, and a header says so."""
        headers = _standard_headers(message, code, text)
        own = _own_headers(message, headers)
        key = _cut("key", message.key(), _KEY_BYTES, headers)
        left = DEAD_LETTER_BYTES - len(key or b"") - sum(len(name.encode()) + len(value or b"") for name, value in own)
        value = _cut("value", message.value(), left, headers)
        self.dead_letters.append(OutgoingDeadLetter(message.partition(), key, value, code, headers + own))

    def clock_ahead(self, run: ClockAheadRun, topics: Topics) -> None:
        """Add the places, not the content, of records that were applied although their timestamps are too far ahead."""
        headers = _standard_headers(run.first, CLOCK_AHEAD, run.text)
        numbers = (LAST_OFFSET, run.last), (RECORDS, run.records), (MOST_AHEAD, run.ahead_ms), (CLOCK, run.clock)
        headers += [(name, str(number).encode()) for name, number in numbers]
        headers += [(SOURCE, topics.commands_id.encode()), (CHANGELOG, topics.changelog_id.encode())]
        self.dead_letters.append(OutgoingDeadLetter(run.first.partition(), None, None, CLOCK_AHEAD, headers))


def _standard_headers(message: Any, code: str, text: str) -> Headers:
    return [
        ("source-topic", message.topic().encode()),
        ("source-partition", str(message.partition()).encode()),
        ("source-offset", str(message.offset()).encode()),
        ("source-timestamp", str(message.timestamp()[1]).encode()),
        ("error-code", code.encode()),
        ("error-message", text[:1_000].encode("utf-8", "replace")),
    ]


def _cut(what: str, part: bytes | None, most: int, headers: Headers) -> bytes | None:
    """A key or value, cut to at most `most` bytes; if cut, a header gives the original size."""
    if part is None or len(part) <= most:
        return part
    headers.append((f"{what}-truncated", str(len(part)).encode()))
    return part[:most]


def _own_headers(message: Any, headers: Headers) -> Headers:
    """The record's own headers under prefixed names. If too large together, they are left out, and a header says so."""
    own = [(f"{_ORIGINAL}{name}", value) for name, value in headers_of(message)]
    size = sum(len(name.encode("utf-8", "replace")) + len(value or b"") for name, value in own)
    if size <= _HEADER_BYTES:
        return own
    headers.append(("headers-truncated", str(size).encode()))
    return []


def tell_dead_letters(letters: Sequence[OutgoingDeadLetter]) -> None:
    """Log the dead letters of a turn: a line for each of the first, a count of the rest, one line for `clock_ahead`."""
    ahead = [letter.described() for letter in letters if letter.code == CLOCK_AHEAD]
    ahead = [each for each in ahead if each["most_ahead_ms"] != "0"]
    letters = [letter for letter in letters if letter.code != CLOCK_AHEAD]
    if ahead:
        log.warning(
            "the broker stamps records too far ahead of this worker's clock: partition clocks do not follow",
            records=sum(int(each["source_records"]) for each in ahead),
            partitions=sorted({int(each["source_partition"]) for each in ahead}),
            most_ahead_ms=max(int(each["most_ahead_ms"]) for each in ahead),
        )
    for letter in letters[:_TOLD]:
        log.warning("dead letter", **letter.described())
    if len(letters) > _TOLD:
        log.warning("further dead letters in this turn", count=len(letters) - _TOLD)
