"""The worker's Kafka clients: their construction, their properties, and their errors."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from streams.logs import Seldom

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.config import Settings

log = logging.getLogger("streams.kafka")
# librdkafka logs each attempt to connect; the kind of line comes first.
log.addFilter(Seldom(("streams.kafka",), seconds=10.0, telling=1))

COORDINATOR_COMES: Final = frozenset(
    {KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.NOT_COORDINATOR}
)
"""Errors given for a moment after a start or an election, while a group has no coordinator."""
MAX_MESSAGE_BYTES = 2 * 1024 * 1024
"""Largest record a worker writes, bytes."""


class Clients(Protocol):
    """Makes Kafka clients; tests pass those of an in-memory cluster."""

    def consumer(self, properties: Mapping[str, Any]) -> Any:
        """A consumer with confluent_kafka's interface."""

    def producer(self, properties: Mapping[str, Any]) -> Any:
        """A producer with confluent_kafka's interface."""

    def admin(self, properties: Mapping[str, Any]) -> Any:
        """An admin client with confluent_kafka's interface."""


class KafkaClients:
    """Makes real clients; librdkafka's own log lines go to the log."""

    def consumer(self, properties: Mapping[str, Any]) -> Consumer:
        """A consumer of confluent_kafka."""
        return Consumer(dict(properties), logger=log)

    def producer(self, properties: Mapping[str, Any]) -> Producer:
        """A producer of confluent_kafka."""
        return Producer(dict(properties), logger=log)

    def admin(self, properties: Mapping[str, Any]) -> AdminClient:
        """An admin client of confluent_kafka."""
        return AdminClient(dict(properties), logger=log)


def command_consumer(settings: Settings, worker_id: str | None) -> dict[str, Any]:
    """Properties of the group's consumer of `commands`.

    `auto.offset.reset=error`: below the log's start the worker stops; librdkafka's default would silently read the
    whole log again. The local queue is small, and a full one is checked again after 5 ms: the default of 1 s would
    stall a busy partition.
    """
    properties: dict[str, Any] = {
        "group.id": settings.group_id,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": settings.session_timeout_ms,
        "heartbeat.interval.ms": max(100, settings.session_timeout_ms // 5),
        "max.poll.interval.ms": 300_000,
        "queued.max.messages.kbytes": 16_384,
        "fetch.queue.backoff.ms": 5,
        "fetch.wait.max.ms": 100,
        "fetch.error.backoff.ms": 50,
        "fetch.message.max.bytes": 2 * MAX_MESSAGE_BYTES,
        **settings.kafka_properties(),
    }
    if worker_id is not None:
        properties["group.instance.id"] = worker_id
    return properties


def changelog_reader(settings: Settings) -> dict[str, Any]:
    """Properties of the consumer that restores: it never joins a group and commits nothing.

    Only one more, empty fetch moves its position past the final transaction marker. That fetch must not wait for
    librdkafka's default of 500 ms.
    """
    return {
        "group.id": f"{settings.group_id}-restore",
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": False,
        "queued.max.messages.kbytes": 32_768,
        "fetch.queue.backoff.ms": 5,
        "fetch.wait.max.ms": 10,
        "fetch.message.max.bytes": 2 * MAX_MESSAGE_BYTES,
        **settings.kafka_properties(),
    }


def transactional_producer(settings: Settings, transactional_id: str) -> dict[str, Any]:
    """Properties of the worker's producer.

    The retry backoff is 1 ms: the coordinator answers the first requests of a transaction with "concurrent
    transactions" while the last one's markers are being written, and the default of 100 ms would be paid each turn.

    Sending offsets ignores its timeout: if the group's coordinator restarts meanwhile, librdkafka keeps waiting for the
    old connection until it has forgotten that coordinator (the metadata's age) and a connection changes its state (idle
    ones are closed). With the defaults, 15 minutes and never, a broker's restart hangs the worker.
    """
    return {
        "transactional.id": transactional_id,
        "transaction.timeout.ms": settings.transaction_timeout_ms,
        "enable.idempotence": True,
        "message.max.bytes": MAX_MESSAGE_BYTES,
        "linger.ms": 1,
        "batch.size": 1_000_000,
        "batch.num.messages": 100_000,
        "queue.buffering.max.messages": 1_000_000,
        "queue.buffering.max.kbytes": 262_144,
        "retry.backoff.ms": 1,
        "retry.backoff.max.ms": 20,
        "topic.metadata.refresh.interval.ms": 4_000,
        "metadata.max.age.ms": 5_000,
        "connections.max.idle.ms": 8_000,
        **settings.kafka_properties(),
    }


class TransactionAbortedError(Exception):
    """The transaction cannot be committed: abort it, and read its input again."""


class RecordRefusedError(TransactionAbortedError):
    """Kafka refuses a record of the transaction, and always will."""


class ProducerFencedError(Exception):
    """The producer is unusable or the outcome of its commit unknown: a new one must take over."""


class ProducerForgottenError(ProducerFencedError):
    """Kafka has forgotten the transactional id, as it does after days without use; no transaction was open."""


class ConsumerFencedError(Exception):
    """The consumer has lost its place in the group for good: a new consumer must take it."""


class KafkaFailureError(Exception):
    """An answer of Kafka that no rule covers; the worker stops with it."""


def kafka_error(exc: KafkaException | BufferError) -> KafkaError | None:
    """The `KafkaError` in an exception; None if there is none."""
    first = exc.args[0] if exc.args else None
    return first if isinstance(first, KafkaError) else None
