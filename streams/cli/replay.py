"""The replay of dead letters: their originals are sent again, byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from streams.client import DeliveryError
from streams.client.connection import MAX_RECORD_BYTES, KafkaClients, Trouble, properties, require_topics
from streams.config import Topic
from streams.model import ClientCommand, Internal
from streams.protocol.routing import command_key

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

    from streams.client import DeadLetter
    from streams.config import Settings

_BY_KEY = -1
_CLIENTS = get_args(ClientCommand)
_WORKERS = get_args(Internal)


APPLIED = "with the code clock_ahead, the records were applied and there is nothing to send"


def was_applied(letter: DeadLetter) -> bool:
    """Whether it only names places of records that were applied although their timestamps were too far ahead."""
    return letter.code == "clock_ahead"


def why_not(letter: DeadLetter) -> str | None:
    """The reason why a dead letter cannot be sent again; None if it can."""
    if was_applied(letter):
        return APPLIED
    if letter.truncated is not None:
        return f"its value was cut, of {letter.truncated:,} bytes: send the original from where it came from"
    if letter.key_truncated is not None:
        return f"its key was cut, of {letter.key_truncated:,} bytes: send the original from where it came from"
    if letter.source_partition is None:
        return "its header source-partition is missing: nobody knows where it belongs"
    return None


class Replay:
    """A producer of unchanged records."""

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.topic(Topic.COMMANDS)
        self._trouble = Trouble()
        own = {"partitioner": "murmur2_random", "enable_idempotence": True, "message_max_bytes": MAX_RECORD_BYTES}
        self._producer = KafkaClients().producer(properties(settings, self._trouble, **own))
        require_topics(self._producer, settings, self._trouble, Topic.COMMANDS)
        self._failed: list[str] = []

    def send(self, letters: list[DeadLetter]) -> None:
        """Send the originals in this order; returns once all are in the log.

        Raises:
            DeliveryError: the broker did not take some.
        """
        for letter in letters:
            key, partition = place_of(letter)
            while not self._queued(letter, key, partition):
                self._producer.poll(0.1)
        self._producer.flush()
        if self._failed:
            cause = self._trouble.last or "see the broker's log"
            raise DeliveryError(len(self._failed), tuple(self._failed), cause)

    def _queued(self, letter: DeadLetter, key: bytes | None, partition: int) -> bool:
        def told(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                self._failed.append((key or b"").decode(errors="replace"))

        try:
            headers: list[tuple[str, str | bytes | None]] = [*letter.headers]
            self._producer.produce(self._topic, letter.value, key, partition, on_delivery=told, headers=headers)
        except BufferError:
            return False
        return True


def place_of(letter: DeadLetter) -> tuple[bytes | None, int]:
    """Key and partition of the replay. A routed command goes where its value says, all else back to its old place."""
    command = letter.decoded
    if isinstance(command, _CLIENTS):
        return command_key(command).encode(), _BY_KEY
    if isinstance(command, _WORKERS):
        return letter.key, command.partition
    return letter.key, _BY_KEY if letter.source_partition is None else letter.source_partition
