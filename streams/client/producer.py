"""A producer of commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

from confluent_kafka import Producer

from streams import codec
from streams.client.connection import MAX_RECORD_BYTES, Trouble, properties, require_topics
from streams.client.errors import DeliveryError
from streams.client.ids import ClientCommand, command_key
from streams.config import Topic

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from confluent_kafka import KafkaError, Message

    from streams.config import Settings
    from streams.model import Invoke, StartBatch

_KEYS_KEPT = 20
_WAIT = 0.2


class Delivery(NamedTuple):
    """Where a command stands in the log, or why it does not."""

    key: str
    partition: int | None
    offset: int | None
    error: str | None


class Client:
    """Sends commands to the log, each to the partition of its routing key.

    Nothing is dropped in silence: a command the broker did not take makes the next `flush` or `close` raise. Use it
    as a context manager, or call `close`. Not safe for use by several threads at once.

    Raises:
        BrokerUnavailableError: on creation, when no broker answers within 10 s.
        TopicMissingError: on creation, when the command topic does not exist.
    """

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.topic(Topic.COMMANDS)
        self._trouble = Trouble()
        self._failed = 0
        self._failed_keys: list[str] = []
        self._cause = ""
        own = {
            "partitioner": "murmur2_random",
            "enable_idempotence": True,
            "message_max_bytes": MAX_RECORD_BYTES,
            **({} if "linger.ms" in settings.kafka_properties() else {"linger_ms": 5}),
        }
        self._producer = Producer(properties(settings, self._trouble, **own))
        require_topics(self._producer, settings, self._trouble, Topic.COMMANDS)

    def invoke(self, invoke: Invoke, on_delivery: Callable[[Delivery], None] | None = None) -> None:
        """Queue an `Invoke`; like `send`."""
        self.send(invoke, on_delivery)

    def send(self, command: ClientCommand, on_delivery: Callable[[Delivery], None] | None = None) -> None:
        """Queue a command; returns before the broker has it, and waits only while the local queue is full.

        `on_delivery` is called once, from within a later call of this client, with the place in the log or the error.

        Raises:
            KafkaException: the record can never be sent, being larger than 2 MiB.
        """
        key = command_key(command)
        value = codec.encode(command)

        def delivered(error: KafkaError | None, message: Message) -> None:
            self._delivered(key, error, message, on_delivery)

        while True:
            try:
                self._producer.produce(self._topic, value, key, on_delivery=delivered)
            except BufferError:
                self._producer.poll(_WAIT)
            else:
                break
        self._producer.poll(0)

    def start_batch(self, start: StartBatch) -> str:
        """Start a batch and return its id once the command stands in the log.

        Sent again with the same id and content it changes nothing, so a failed call may be repeated.

        Raises:
            DeliveryError: the broker did not take it, or another command queued before it.
        """
        self.send(start)
        self.flush()
        return start.batch_id

    def flush(self) -> None:
        """Wait until the broker has every queued command.

        Ends at the latest when librdkafka gives up, after `message.timeout.ms` (5 minutes unless set otherwise).

        Raises:
            DeliveryError: some did not get there, since the last `flush`.
        """
        while self._producer.flush(_WAIT):
            pass
        if self._failed:
            error = DeliveryError(self._failed, tuple(self._failed_keys), self._cause)
            self._failed, self._failed_keys = 0, []
            raise error

    def close(self) -> None:
        """Flush. Raises as `flush` does; afterwards the client must not be used."""
        self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        try:
            self.close()
        except DeliveryError as undelivered:
            error.add_note(str(undelivered))

    def _delivered(
        self, key: str, error: KafkaError | None, message: Message, then: Callable[[Delivery], None] | None
    ) -> None:
        if error is not None:
            self._failed += 1
            self._cause = f"{error.str()}{f' ({self._trouble.last})' if self._trouble.last else ''}"
            if len(self._failed_keys) < _KEYS_KEPT:
                self._failed_keys.append(key)
        if then is not None:
            place = (message.partition(), message.offset()) if error is None else (None, None)
            then(Delivery(key, *place, None if error is None else error.str()))
