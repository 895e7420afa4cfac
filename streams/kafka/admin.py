"""Questions and orders to the brokers about topics and their configuration. Each failure is one clear line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import ConfigResource, NewTopic, ResourceType

from streams.errors import StreamsError
from streams.kafka.clients import TIMEOUT_S, KafkaClients, Trouble, client_properties
from streams.kafka.errors import UNREACHABLE_ERRORS, BrokerUnavailableError

if TYPE_CHECKING:
    from streams.config import Settings
    from streams.kafka.clients import Clients


class Admin:
    """An admin client whose failures are one clear line; `client` is the client itself, `trouble` its error callback.

    Raises:
        ConfigError: a Kafka property that librdkafka does not know.
    """

    def __init__(self, settings: Settings, clients: Clients | None = None) -> None:
        self._settings = settings
        self.trouble = Trouble()
        self.client = (clients or KafkaClients()).admin(client_properties(settings, self.trouble))

    def broker_count(self) -> int:
        """Number of brokers in the cluster."""
        return max(1, len(self._metadata().brokers))

    def partition_counts(self) -> dict[str, int]:
        """Number of partitions of every existing topic, by name."""
        return {name: len(each.partitions) for name, each in self._metadata().topics.items() if each.error is None}

    def create(self, topics: list[NewTopic]) -> None:
        """Create topics. One that another program has just created is not an error."""
        if not topics:
            return
        for name, future in self.client.create_topics(topics, request_timeout=TIMEOUT_S).items():
            try:
                future.result(TIMEOUT_S + 1)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise self._failure(error, f"topic {name} cannot be created") from error

    def delete(self, topics: list[str]) -> None:
        """Delete topics and all their records."""
        for name, future in (self.client.delete_topics(topics, request_timeout=TIMEOUT_S) if topics else {}).items():
            try:
                future.result(TIMEOUT_S + 1)
            except KafkaException as error:
                raise self._failure(error, f"topic {name} cannot be deleted") from error

    def configs(self, topics: list[str]) -> list[dict[str, str]]:
        """The configuration of each topic, defaults included."""
        if not topics:
            return []
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in topics]
        futures = self.client.describe_configs(resources, request_timeout=TIMEOUT_S)
        found: dict[str, dict[str, str]] = {}
        for resource, future in futures.items():
            try:
                entries = future.result(TIMEOUT_S + 1)
            except KafkaException as error:
                raise self._failure(error, f"topic {resource.name}: its configuration cannot be read") from error
            found[resource.name] = {name: entry.value for name, entry in entries.items()}
        return [found[name] for name in topics]

    def _metadata(self) -> Any:
        return metadata(self.client, self._settings, self.trouble)

    def _failure(self, error: KafkaException, what: str) -> StreamsError:
        if error.args[0].code() in UNREACHABLE_ERRORS:
            return _unreachable(self.client, self._settings, self.trouble, error)
        return StreamsError(f"{what}: {error.args[0].str()}")


def metadata(client: Any, settings: Settings, trouble: Trouble, timeout: float = TIMEOUT_S) -> Any:
    """The cluster's metadata, as any client with confluent_kafka's interface gets it.

    All topics are asked for: a question for one by name could create it, with the broker's defaults.

    Raises:
        BrokerUnavailableError: no answer within `timeout` seconds.
    """
    try:
        return client.list_topics(timeout=timeout)
    except KafkaException as error:
        raise _unreachable(client, settings, trouble, error) from None


def _unreachable(client: Any, settings: Settings, trouble: Trouble, error: KafkaException) -> BrokerUnavailableError:
    client.poll(0)
    cause = trouble.last or error.args[0].str()
    return BrokerUnavailableError(
        f"no Kafka broker at {settings.bootstrap_servers} ({cause}): start one or set STREAMS_BOOTSTRAP_SERVERS"
    )
