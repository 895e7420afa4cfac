"""Bulk load of invocations into the log."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from streams import codec
from streams.client import DeliveryError, routing_key
from streams.config import Topic
from streams.kafka.clients import KafkaClients, Trouble, command_producer
from streams.kafka.errors import QUEUE_FULL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from confluent_kafka import KafkaError, Message

    from streams.config import Settings
    from streams.model import Invoke

_CHUNK = 2_000


class Loader:
    """Sends invocations in chunks, without checks: the caller knows that they break no rule.

    advance: called with the number of further invocations in the log.
    """

    def __init__(self, settings: Settings, advance: Callable[[int], None]) -> None:
        self._topic = settings.topic(Topic.COMMANDS)
        self._producer = KafkaClients().producer(command_producer(settings, Trouble(), linger_ms=20))
        self._advance = advance
        self._failed: list[tuple[str, str]] = []
        self._arrived = 0

    def load(self, invokes: Iterable[Invoke]) -> None:
        """Send all invocations; returns once the broker has them.

        Raises:
            DeliveryError: the broker did not take some.
        """
        left = iter(invokes)
        while chunk := list(islice(left, _CHUNK)):
            messages = [
                {"key": routing_key(each.invocation.invocation_id), "value": codec.encode(each)} for each in chunk
            ]
            while messages := self._refused(messages):
                self._producer.poll(0.05)
            self._producer.poll(0)
            self._tell()
        while self._producer.flush(0.2):
            self._tell()
        self._tell()
        if self._failed:
            raise DeliveryError(len(self._failed), tuple(key for key, _ in self._failed[:20]), self._failed[0][1])

    def _refused(self, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Queue these records; returns those for which there was no room."""
        self._producer.produce_batch(self._topic, messages, on_delivery=self._told)
        again = []
        for each in messages:
            error = each.pop("_error", None)
            if error is None:
                continue
            if error.code() == QUEUE_FULL:
                again.append(each)
            else:
                self._failed.append((each["key"], error.str()))
        return again

    def _tell(self) -> None:
        self._advance(self._arrived)
        self._arrived = 0

    def _told(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._arrived += 1
        else:
            self._failed.append(((message.key() or b"").decode(), error.str()))
