"""Reading topics from their start, committed records only, without a group."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streams.kafka.headers import headers_of

if TYPE_CHECKING:
    from types import TracebackType

_EOF = KafkaError._PARTITION_EOF


class Entry(NamedTuple):
    """A record as it stands in a topic; `timestamp` in milliseconds."""

    partition: int
    offset: int
    timestamp: int
    key: str
    value: bytes | None
    headers: dict[str, str]


class TopicReader:
    """All committed records of a topic, in `entries`; each call adds what has come since.

    It asks the broker again every `wait_ms` when nothing comes, and only then learns that it has reached the end: few
    for one that is read to its end, more for one that is kept open, which would keep the broker busy.
    """

    def __init__(self, bootstrap: str, topic: str, wait_ms: int = 20) -> None:
        self.topic = topic
        self.entries: list[Entry] = []
        self._reached: dict[int, int] = {}
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "acceptance-reader",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "fetch.wait.max.ms": wait_ms,
                "fetch.queue.backoff.ms": 5,
                "fetch.message.max.bytes": 4 * 1024 * 1024,
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
            }
        )
        self._partitions = range(len(self._consumer.list_topics(topic, timeout=10).topics[topic].partitions))
        self._consumer.assign([TopicPartition(topic, each, 0) for each in self._partitions])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; what was read stays."""
        self._consumer.close()

    def more(self, wait: float = 0.02) -> list[Entry]:
        """What has arrived, waiting at most `wait` seconds for the first of it; a missing broker is not an error."""
        found: list[Entry] = []
        messages: list[Any] = self._consumer.consume(1, wait) + self._consumer.consume(10_000, 0)
        for message in messages:
            error = message.error()
            if error is None:
                found.append(_entry(message))
                self._reached[message.partition()] = message.offset() + 1
            elif error.code() == _EOF:
                # Its offset lies behind the markers of transactions, which no record ever reaches.
                self._reached[message.partition()] = message.offset()
            elif error.fatal():
                raise KafkaException(error)
        self.entries += found
        return found

    def to_end(self, timeout: float = 60.0) -> list[Entry]:
        """All entries up to where each partition ends now (its last stable offset)."""
        deadline = time.monotonic() + timeout
        ends = {each: self._end(each, deadline) for each in self._partitions}
        while any(self._reached.get(partition, 0) < end for partition, end in ends.items()):
            self.more(0.1)
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.topic}: read up to {self._reached} of {ends} within {timeout:g} s")
        return self.entries

    def _end(self, partition: int, deadline: float) -> int:
        while True:
            with contextlib.suppress(KafkaException):
                begin, end = self._consumer.get_watermark_offsets(TopicPartition(self.topic, partition), timeout=5)
                return 0 if begin == end else int(end)
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.topic}, partition {partition}: the broker does not say where it ends")


def _entry(message: Any) -> Entry:
    key = message.key()
    return Entry(
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        "" if key is None else key.decode(errors="replace"),
        message.value(),
        {name: (value or b"").decode(errors="replace") for name, value in headers_of(message)},
    )
