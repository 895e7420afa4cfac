"""Questions and orders to the brokers about topics and their configuration. Each failure is one clear line."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from streams.errors import StreamsError

if TYPE_CHECKING:
    from streams.config import Settings

TIMEOUT_S = 10.0
"""Longest time for an answer of Kafka, seconds."""

_UNREACHABLE = {"_TRANSPORT", "_TIMED_OUT", "_ALL_BROKERS_DOWN", "_RESOLVE"}


class _Silent(logging.Handler):
    """Drops librdkafka's log lines: the error says in one line what matters in them."""

    def emit(self, record: logging.LogRecord) -> None:
        """Drop the line."""


class Admin:
    """An admin client whose failures are one clear line."""

    def __init__(self, settings: Settings) -> None:
        self._servers = settings.bootstrap_servers
        self._reasons: list[str] = []
        quiet = logging.Logger("streams.kafka.admin")  # noqa: LOG001 - not part of the tree: it must reach no handler
        quiet.addHandler(_Silent())
        properties: dict[str, Any] = {
            **settings.kafka_properties(),
            "error_cb": lambda error: self._reasons.append(error.str()),
        }
        try:
            self._client = AdminClient(properties, logger=quiet)
        except KafkaException as error:
            raise StreamsError(f"Kafka client: {error.args[0].str()}; see STREAMS_KAFKA_* in the settings") from error

    def broker_count(self) -> int:
        """Number of brokers in the cluster."""
        return max(1, len(self._metadata().brokers))

    def partition_counts(self) -> dict[str, int]:
        """Number of partitions of every existing topic, by name."""
        # All topics are asked for: asking for one by name may create it.
        return {name: len(each.partitions) for name, each in self._metadata().topics.items() if each.error is None}

    def create(self, topics: list[NewTopic]) -> None:
        """Create topics. One that another program has just created is not an error."""
        if not topics:
            return
        for name, future in self._client.create_topics(topics, request_timeout=TIMEOUT_S).items():
            try:
                future.result(TIMEOUT_S + 1)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise self._failure(error, f"topic {name} cannot be created") from error

    def delete(self, topics: list[str]) -> None:
        """Delete topics and all their records."""
        for name, future in (self._client.delete_topics(topics, request_timeout=TIMEOUT_S) if topics else {}).items():
            try:
                future.result(TIMEOUT_S + 1)
            except KafkaException as error:
                raise self._failure(error, f"topic {name} cannot be deleted") from error

    def configs(self, topics: list[str]) -> list[dict[str, str]]:
        """The configuration of each topic, defaults included."""
        if not topics:
            return []
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in topics]
        futures = self._client.describe_configs(resources, request_timeout=TIMEOUT_S)
        found: dict[str, dict[str, str]] = {}
        for resource, future in futures.items():
            try:
                entries = future.result(TIMEOUT_S + 1)
            except KafkaException as error:
                raise self._failure(error, f"topic {resource.name}: its configuration cannot be read") from error
            found[resource.name] = {name: entry.value for name, entry in entries.items()}
        return [found[name] for name in topics]

    def _metadata(self) -> Any:
        try:
            return self._client.list_topics(timeout=TIMEOUT_S)
        except KafkaException as error:
            raise self._failure(error, "the topics cannot be listed") from error

    def _failure(self, error: KafkaException, what: str) -> StreamsError:
        cause: KafkaError = error.args[0]
        if cause.name() not in _UNREACHABLE:
            return StreamsError(f"{what}: {cause.str()}")
        self._client.poll(0.2)
        reason = self._reasons[0] if self._reasons else cause.str()
        return StreamsError(
            f"cannot reach Kafka at {self._servers} within {TIMEOUT_S:.0f} s: {reason}; is it running? "
            "Otherwise set STREAMS_BOOTSTRAP_SERVERS"
        )
