"""Connections of clients to the broker, and the errors when there is none."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from streams.client.errors import BrokerUnavailableError, TopicMissingError
from streams.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.config import Settings, Topic

MAX_RECORD_BYTES = 2 * 1024 * 1024
CONNECT_TIMEOUT = 10.0

_FOR_GOOD = frozenset(
    {
        KafkaError._FATAL,  # noqa: SLF001 - the only name it has; a consumer's fatal error is not marked as such
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
    }
)
"""Errors of a consumer that waiting does not cure; all others pass when a broker comes back."""

log = logging.getLogger(__name__)


class Clients(Protocol):
    """Makes Kafka clients; tests pass those of an in-memory cluster."""

    def consumer(self, properties: dict[str, Any], /) -> Any:
        """A consumer with confluent_kafka's interface."""

    def producer(self, properties: dict[str, Any], /) -> Any:
        """A producer with confluent_kafka's interface."""

    def admin(self, properties: dict[str, Any], /) -> Any:
        """An admin client with confluent_kafka's interface."""


class KafkaClients:
    """Makes real clients.

    Raises from each method:
        ConfigError: a property that librdkafka does not know, or refuses in combination with the others.
    """

    def consumer(self, properties: dict[str, Any], /) -> Consumer:
        """A consumer of confluent_kafka."""
        with _refused_by_name():
            return Consumer(properties)

    def producer(self, properties: dict[str, Any], /) -> Producer:
        """A producer of confluent_kafka."""
        with _refused_by_name():
            return Producer(properties)

    def admin(self, properties: dict[str, Any], /) -> AdminClient:
        """An admin client of confluent_kafka."""
        with _refused_by_name():
            return AdminClient(properties)


@contextlib.contextmanager
def _refused_by_name() -> Iterator[None]:
    """Turn a refusal of librdkafka to make a client into a `ConfigError` of one line."""
    try:
        yield
    except KafkaException as error:
        raise ConfigError(f"Kafka client: {error.args[0].str()}; see STREAMS_KAFKA_* in the settings") from error


class _Client(Protocol):
    def list_topics(self, *, timeout: float) -> Any: ...

    def poll(self, timeout: float) -> Any: ...


class Trouble:
    """The last complaint of librdkafka, kept so that an error can name the cause."""

    def __init__(self) -> None:
        self.last: str | None = None

    def __call__(self, error: KafkaError) -> None:
        """Callback of librdkafka, which keeps trying by itself."""
        if self.last is None or error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - the only name it has
            self.last = error.str()
        log.debug("kafka client: %s", error.str())


def properties(settings: Settings, trouble: Trouble, **own: Any) -> dict[str, Any]:
    """Properties of a librdkafka client: those of the settings, overridden by its `own`, with `_` for the dots."""
    fixed = {name.replace("_", "."): value for name, value in own.items()}
    # Without this, a client that cannot connect would write librdkafka's own lines beside the one clear line.
    return {"log_level": 0, **settings.kafka_properties(), **fixed, "error_cb": trouble}


def is_record(message: Any) -> bool:
    """Whether a consumed message is a record, not the report of an error that passes.

    Raises:
        KafkaException: the message reports an error that does not pass.
    """
    error = message.error()
    if error is None:
        return True
    if error.fatal() or error.code() in _FOR_GOOD:
        raise KafkaException(error)
    log.warning("kafka consumer: %s", error.str())
    return False


def require_topics(
    client: _Client, settings: Settings, trouble: Trouble, *topics: Topic, timeout: float = CONNECT_TIMEOUT
) -> dict[str, Any]:
    """Metadata of each topic, by full name.

    Asks for all topics: a question for one by name could create it, with the broker's defaults.

    Raises:
        BrokerUnavailableError: no answer within `timeout` seconds.
        TopicMissingError: one of them does not exist.
    """
    try:
        found = client.list_topics(timeout=timeout).topics
    except KafkaException as error:
        client.poll(0)
        cause = trouble.last or error.args[0].str()
        raise BrokerUnavailableError(
            f"no Kafka broker at {settings.bootstrap_servers} ({cause}): start one or set STREAMS_BOOTSTRAP_SERVERS"
        ) from None
    names = [settings.topic(topic) for topic in topics]
    missing = [name for name in names if name not in found]
    if missing:
        raise TopicMissingError(
            f"topic {', '.join(missing)} does not exist at {settings.bootstrap_servers}: run `streams topics create`"
        )
    return {name: found[name] for name in names}
