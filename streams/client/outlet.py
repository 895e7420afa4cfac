"""The way of a command into the log: checked, encoded, queued, and reported as delivered or failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, assert_never

from confluent_kafka import KafkaError, KafkaException

from streams import codec
from streams.client.connection import MAX_RECORD_BYTES, Trouble, properties, require_topics
from streams.client.errors import InvalidCommandError
from streams.config import Topic
from streams.model import Act, CancelFlow, ControlBatch, Invoke, ReportTransition, StartBatch
from streams.protocol import batch_validation, validation
from streams.protocol.routing import command_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from confluent_kafka import Message

    from streams.client.connection import Clients
    from streams.config import Settings
    from streams.model import ClientCommand


class Delivery(NamedTuple):
    """The place of a command in the log, or the error that kept it out."""

    key: str
    partition: int | None
    offset: int | None
    error: str | None


class Outlet:
    """A producer of commands; whoever holds it must call `serve` to hear of deliveries.

    `own`: default librdkafka properties, with `_` for the dots; the settings may change them.
    """

    def __init__(self, settings: Settings, clients: Clients, **own: Any) -> None:
        self._settings = settings
        self._topic = settings.topic(Topic.COMMANDS)
        self._trouble = Trouble()
        chosen = settings.kafka_properties()
        wished = {"linger_ms": 5, **own}
        free = {name: value for name, value in wished.items() if name.replace("_", ".") not in chosen}
        fixed = {"partitioner": "murmur2_random", "enable_idempotence": True, "message_max_bytes": MAX_RECORD_BYTES}
        self._producer = clients.producer(properties(settings, self._trouble, **free, **fixed))

    def require_topics(self, *topics: Topic) -> dict[str, Any]:
        """Like `streams.client.connection.require_topics`; `commands` is always included."""
        return require_topics(self._producer, self._settings, self._trouble, Topic.COMMANDS, *topics)

    def put(self, command: ClientCommand, then: Callable[[Delivery], None]) -> None:
        """Queue a command. `then` is called once: within a later `serve` or `flush`, or here if the producer refuses.

        Raises:
            BufferError: the local queue is full: call `serve`, then try again.
            InvalidCommandError: it breaks a rule of the protocol.
        """
        key, value = encode(command)

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is None:
                then(Delivery(key, message.partition(), message.offset(), None))
            else:
                cause = f" ({self._trouble.last})" if self._trouble.last else ""
                then(Delivery(key, None, None, f"{error.str()}{cause}"))

        try:
            self._producer.produce(self._topic, value, key, on_delivery=delivered)
        except KafkaException as error:
            then(Delivery(key, None, None, error.args[0].str()))

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
        check(command)
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


def check(command: ClientCommand) -> None:
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
