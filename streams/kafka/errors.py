"""Kafka's errors: their codes by name, those that pass and those that do not, and what the programs raise for them."""

from __future__ import annotations

import logging
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException

from streams.errors import StreamsError

log = logging.getLogger(__name__)

# librdkafka's own codes, for which the client library has no public names.
ALL_BROKERS_DOWN: Final = KafkaError._ALL_BROKERS_DOWN
AUTO_OFFSET_RESET: Final = KafkaError._AUTO_OFFSET_RESET
FATAL: Final = KafkaError._FATAL
NOENT: Final = KafkaError._NOENT
NO_OFFSET: Final = KafkaError._NO_OFFSET
PARTITION_EOF: Final = KafkaError._PARTITION_EOF
QUEUE_FULL: Final = KafkaError._QUEUE_FULL
RESOLVE: Final = KafkaError._RESOLVE
STATE: Final = KafkaError._STATE
TIMED_OUT: Final = KafkaError._TIMED_OUT
TRANSPORT: Final = KafkaError._TRANSPORT
WAIT_COORD: Final = KafkaError._WAIT_COORD

UNREACHABLE_ERRORS: Final = frozenset({TRANSPORT, TIMED_OUT, ALL_BROKERS_DOWN, RESOLVE})
"""Errors of a question that no broker answered."""
COORDINATOR_ERRORS: Final = frozenset(
    {KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.NOT_COORDINATOR}
)
"""Errors given for a moment after a start or an election, while a group has no coordinator."""
TRANSIENT_ERRORS: Final = COORDINATOR_ERRORS | {
    TIMED_OUT,
    TRANSPORT,
    ALL_BROKERS_DOWN,
    WAIT_COORD,
    NOENT,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.OFFSET_NOT_AVAILABLE,
}
"""Errors while a broker is away or has just come back. None of them is marked retriable."""
PERMANENT_ERRORS: Final = frozenset(
    {
        FATAL,  # a consumer's fatal error is not marked as such
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
    }
)
"""Errors of a consumer that waiting does not cure; all others pass when a broker comes back."""


class BrokerUnavailableError(StreamsError):
    """No broker answered in time at the address of the settings."""


class TopicMissingError(StreamsError):
    """A topic that the program needs does not exist. Only `streams topics create` creates one."""


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


def is_record(message: Any) -> bool:
    """True if a consumed message is a record, not the report of an error that passes.

    Raises:
        KafkaException: the message reports an error that does not pass.
    """
    error = message.error()
    if error is None:
        return True
    if error.fatal() or error.code() in PERMANENT_ERRORS:
        raise KafkaException(error)
    log.warning("kafka consumer: %s", error.str())
    return False
