"""Dead letters: records that the workers could not apply, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from streams import codec
from streams.client.threads import in_a_thread
from streams.codec.json_form import text_or_base64, time_text
from streams.config import Topic
from streams.kafka.clients import KafkaClients
from streams.kafka.headers import headers_of
from streams.kafka.tail import tail

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Mapping

    from streams.config import Settings
    from streams.kafka.clients import Clients
    from streams.model import Record


ORIGINAL: Final = "original."
"""Prefix of the names of a bad record's own headers in its dead letter."""


@dataclass(frozen=True)
class DeadLetter:
    """A bad record: its place, its fault, and its bytes.

    partition, offset, timestamp: its own place in `dead-letters`, the timestamp in milliseconds since 1970.
    source_*: the record's place in its own topic; None if that header is missing.
    code, message: the reason; empty if that header is missing.
    source_last_offset: the last place of several, with the code `clock_ahead`: the records there were applied, key and
    value are None. None with any other code.
    key, value: the record's, cut if too large: `truncated` is then the full size of the value in bytes, and
    `key_truncated` that of the key.
    headers: the record's own.
    """

    partition: int
    offset: int
    timestamp: int
    source_topic: str | None
    source_partition: int | None
    source_offset: int | None
    source_timestamp: int | None
    code: str
    message: str
    key: bytes | None
    value: bytes | None
    truncated: int | None = None
    key_truncated: int | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    source_last_offset: int | None = None

    @property
    def place(self) -> str:
        """Its own place, as people write it: `<partition>:<offset>`."""
        return f"{self.partition}:{self.offset}"

    @property
    def decoded(self) -> Record | None:
        """The decoded value; None if it holds no record that this version can read."""
        try:
            return codec.decode(self.value)
        except codec.BadRecordError:
            return None


class DeadLetterReader:
    """Reads `dead-letters` from its start, without joining a group; each call opens its own connection."""

    def __init__(self, settings: Settings, clients: Clients | None = None) -> None:
        self._settings = settings
        self._clients = clients or KafkaClients()

    def all(self, timeout: float = 30.0) -> list[DeadLetter]:
        """All dead letters, in the order in which they were written.

        Raises:
            BrokerUnavailableError: not read to the end within `timeout` seconds, or no broker at all.
            TopicMissingError: nothing to read from.
        """
        with tail(self._settings, self._clients, Topic.DEAD_LETTERS, goes_on=False) as letters:
            found = list(map(dead_letter, letters.read_to_end(timeout)))
        return sorted(found, key=lambda each: (each.timestamp, each.partition, each.offset))

    def follow(self) -> Iterator[DeadLetter]:
        """All dead letters, then each new one as it comes, without end.

        Raises:
            BrokerUnavailableError, TopicMissingError: there is nothing to read from.
        """
        return (letter for letter in self._follow() if letter is not None)

    def follow_async(self) -> AsyncGenerator[DeadLetter, None]:
        """Like `follow`, for `async for`; each call has one thread, which ends with it."""
        return in_a_thread(self._follow)

    def _follow(self) -> Iterator[DeadLetter | None]:
        with tail(self._settings, self._clients, Topic.DEAD_LETTERS) as letters:
            while True:
                yield from map(dead_letter, letters.poll())
                yield None


def brief(letter: DeadLetter) -> dict[str, Any]:
    """A dead letter as JSON, without the bad record; absent fields are left out."""
    told = {
        "place": letter.place,
        "timestamp": time_text(letter.timestamp),
        "code": letter.code,
        "message": letter.message,
        "key": text_or_base64(letter.key),
        "source_topic": letter.source_topic,
        "source_partition": letter.source_partition,
        "source_offset": letter.source_offset,
        "source_last_offset": letter.source_last_offset,
        "source_timestamp": None if letter.source_timestamp is None else time_text(letter.source_timestamp),
        "truncated_from": letter.truncated,
    }
    return {name: value for name, value in told.items() if value is not None}


def dead_letter(message: Any) -> DeadLetter:
    """The `DeadLetter` of a message of `dead-letters`, with its headers decoded."""
    headers = {name: (value or b"").decode(errors="replace") for name, value in headers_of(message)}
    return DeadLetter(
        partition=message.partition(),
        offset=message.offset(),
        timestamp=message.timestamp()[1],
        source_topic=headers.get("source-topic"),
        source_partition=_number(headers, "source-partition"),
        source_offset=_number(headers, "source-offset"),
        source_timestamp=_number(headers, "source-timestamp"),
        code=headers.get("error-code", ""),
        message=headers.get("error-message", ""),
        key=message.key(),
        value=message.value(),
        truncated=_number(headers, "value-truncated"),
        key_truncated=_number(headers, "key-truncated"),
        headers=tuple(
            (name.removeprefix(ORIGINAL), value) for name, value in headers_of(message) if name.startswith(ORIGINAL)
        ),
        source_last_offset=_number(headers, "source-last-offset"),
    )


def _number(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name, "")
    return int(text) if text.removeprefix("-").isdecimal() else None
