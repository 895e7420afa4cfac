"""The way of a command into the log: checked, encoded, queued, and reported as delivered or failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, assert_never

from confluent_kafka import KafkaError, KafkaException

from streams import codec
from streams.client.errors import InvalidCommandError
from streams.config import Topic
from streams.kafka.admin import metadata
from streams.kafka.clients import Trouble, command_producer
from streams.kafka.topics import require
from streams.model import Act, CancelFlow, ControlBatch, Invoke, ReportTransition, StartBatch
from streams.protocol import batch_validation, validation
from streams.protocol.routing import command_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from confluent_kafka import Message

    from streams.config import Settings
    from streams.kafka.clients import Clients
    from streams.model import ClientCommand


BY_KEY: Final = -1
"""The partition of a record that goes where its key says."""


class Delivery(NamedTuple):
    """The place of a command in the log, or the error that kept it out."""

    key: str
    partition: int | None
    offset: int | None
    error: str | None

    @property
    def place(self) -> dict[str, int | None]:
        """Partition and offset by their names."""
        return {"partition": self.partition, "offset": self.offset}


class Outlet:
    """A producer of commands; whoever holds it must call `serve` to hear of deliveries.

    `own`: default librdkafka properties, with `_` for the dots; the settings may change them.
    """

    def __init__(self, settings: Settings, clients: Clients, **own: Any) -> None:
        self._settings = settings
        self._topic = settings.topic(Topic.COMMANDS)
        self._trouble = Trouble()
        self._producer = clients.producer(command_producer(settings, self._trouble, **own))

    def require_topics(self, *topics: Topic) -> dict[str, Any]:
        """Like `streams.kafka.topics.require`; `commands` is always included. The first command then goes at once."""
        found = require(self._producer, self._settings, self._trouble, Topic.COMMANDS, *topics)
        # librdkafka sends nothing without a producer id, and asks for one whenever metadata arrives, else each 500 ms.
        # After the first metadata it leaves the connection by which they came, so that often nobody is there to ask.
        metadata(self._producer, self._settings, self._trouble)
        return found

    def put(self, command: ClientCommand, then: Callable[[Delivery], None]) -> None:
        """Queue a command. `then` is called once: within a later `serve` or `flush`, or here if the producer refuses.

        Raises:
            BufferError: the local queue is full: call `serve`, then try again.
            InvalidCommandError: it breaks a rule of the protocol.
        """
        self.put_record(*encode(command), then)

    def put_record(
        self,
        key: str | bytes | None,
        value: bytes | None,
        then: Callable[[Delivery], None],
        partition: int = BY_KEY,
        headers: list[tuple[str, bytes | None]] | None = None,
    ) -> None:
        """Like `put`, for a record that is sent as it is.

        Raises:
            BufferError: the local queue is full.
        """
        name = key.decode(errors="replace") if isinstance(key, bytes) else key or ""

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is None:
                then(Delivery(name, message.partition(), message.offset(), None))
            else:
                # What a broker has answered is the whole cause; its code is no librdkafka's own, which are negative.
                cause = f" ({self._trouble.last})" if self._trouble.last and error.code() < 0 else ""
                then(Delivery(name, None, None, f"{error.str()}{cause}"))

        try:
            self._producer.produce(self._topic, value, key, partition, on_delivery=delivered, headers=headers)
        except KafkaException as error:
            then(Delivery(name, None, None, error.args[0].str()))

    def serve(self, timeout: float = 0) -> int:
        """Run waiting delivery callbacks; wait at most `timeout` seconds for the first. Returns their number."""
        return int(self._producer.poll(timeout))

    def flush(self, timeout: float) -> int:
        """Wait for deliveries, at most `timeout` seconds; returns the number still awaited."""
        return int(self._producer.flush(timeout))


def encode(command: ClientCommand) -> tuple[str, bytes]:
    """Routing key and record of a command.

    Raises:
        InvalidCommandError: it breaks a rule; the message names the field, the rule and the way out.
    """
    kind = type(command).__name__
    try:
        check_command(command)
        value = codec.encode(command)
    except validation.CommandRefusedError as refusal:
        raise InvalidCommandError(refusal.code, f"{kind}.{refusal.message}") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidCommandError("malformed", f"{kind} holds a value of a wrong type or size: {error!r}") from error
    if len(value) > validation.MAX_COMMAND:
        raise InvalidCommandError(
            "too_large",
            f"{kind} {command_key(command)} has {len(value)} bytes, at most {validation.MAX_COMMAND} are allowed: "
            "use fewer labels or a smaller filter",
        )
    return command_key(command), value


def check_command(command: ClientCommand) -> None:
    """Check a command against the rules of its fields; raises `CommandRefusedError`."""
    match command:
        case Invoke():
            validation.check_invoke(command)
        case ReportTransition():
            validation.check_report(command)
        case Act():
            validation.check_act(command)
        case StartBatch():
            batch_validation.check_start_batch(command)
        case ControlBatch():
            validation.check_control_batch(command)
        case CancelFlow():
            validation.check_cancel_flow(command)
        case _:
            assert_never(command)
