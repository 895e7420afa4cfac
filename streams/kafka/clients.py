"""Kafka clients: their construction and their properties."""

from __future__ import annotations

import atexit
import logging
import threading
from functools import cache, lru_cache
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from streams.errors import ConfigError
from streams.kafka.errors import ALL_BROKERS_DOWN
from streams.logs import Seldom

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from confluent_kafka import KafkaError

    from streams.config import Settings

_Client = TypeVar("_Client")

log = logging.getLogger("streams.kafka")
# librdkafka logs each attempt to connect; the kind of line comes first.
log.addFilter(Seldom(("streams.kafka",), seconds=10.0, telling=1))

MAX_RECORD_BYTES: Final = 2 * 1024 * 1024
"""Largest record that any program of the service writes, bytes."""
TIMEOUT_S: Final = 10.0
"""Longest time for an answer of Kafka, seconds."""


_HEARTBEAT_MS: Final = 500
"""Longest time between two heartbeats of a group's member, which learns of a rebalance by the answer to one."""
_AGAIN: Final = {"reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 1_000}
"""When librdkafka connects again, unless the settings say one of the two. With its default of 10 s, clients stand still
for that long after Kafka is back; and the first of the two is twice the time after which a new client connects to the
broker that leads what it reads."""
_PROMPT: Final = {"fetch.wait.max.ms": 100, "fetch.error.backoff.ms": 50, "fetch.queue.backoff.ms": 5}
"""How long a consumer leaves a partition aside while it waits for others, or after an error, or for a full queue. The
defaults are half a second, and a second."""


class Clients(Protocol):
    """Makes Kafka clients; tests pass those of an in-memory cluster."""

    def consumer(self, properties: Mapping[str, Any]) -> Any:
        """A consumer with confluent_kafka's interface."""

    def producer(self, properties: Mapping[str, Any]) -> Any:
        """A producer with confluent_kafka's interface."""

    def admin(self, properties: Mapping[str, Any]) -> Any:
        """An admin client with confluent_kafka's interface."""


_LET_GO: SimpleQueue[object] = SimpleQueue()
_DONE: Final = object()
_ENDS_WITHIN_S: Final = 10.0


class _FreedAside:
    """A client that another thread than the main one frees.

    confluent_kafka takes signals while it frees a client: an interrupt that is raised there has no caller, and is
    lost, or another call fails because of it. Other threads take no signals.
    """

    # A method without a line of Python: an interrupt that came in one would free the client here after all.
    __del__ = lru_cache(maxsize=0)(_LET_GO.put)


class _Consumer(_FreedAside, Consumer): ...


class _Producer(_FreedAside, Producer): ...


class _AdminClient(_FreedAside, AdminClient): ...


@cache
def _freeing() -> threading.Thread:
    """The thread that frees clients; at the program's end it gets some time for the last ones."""
    thread = threading.Thread(target=_free, name="freeing Kafka clients", daemon=True)
    thread.start()
    atexit.register(_freed)
    return thread


def _free() -> None:
    while _LET_GO.get() is not _DONE:
        pass  # it was the last reference


def _freed() -> None:
    _LET_GO.put(_DONE)
    _freeing().join(_ENDS_WITHIN_S)


class KafkaClients:
    """Makes real clients; librdkafka's own log lines go to the log.

    Raises from each method:
        ConfigError: a property that librdkafka does not know, or refuses in combination with the others.
    """

    def consumer(self, properties: Mapping[str, Any]) -> Consumer:
        """A consumer of confluent_kafka."""
        return _made(_Consumer, properties)

    def producer(self, properties: Mapping[str, Any]) -> Producer:
        """A producer of confluent_kafka."""
        return _made(_Producer, properties)

    def admin(self, properties: Mapping[str, Any]) -> AdminClient:
        """An admin client of confluent_kafka."""
        return _made(_AdminClient, properties)


def _made(kind: Callable[..., _Client], properties: Mapping[str, Any]) -> _Client:
    _freeing()
    again = {} if _AGAIN.keys() & properties.keys() else _AGAIN
    try:
        return kind({**again, **properties}, logger=log)
    except KafkaException as error:
        raise ConfigError(f"Kafka client: {error.args[0].str()}; see STREAMS_KAFKA_* in the settings") from error


class Trouble:
    """The last complaint of librdkafka, kept so that an error can name the cause."""

    def __init__(self) -> None:
        self.last: str | None = None

    def __call__(self, error: KafkaError) -> None:
        """Callback of librdkafka, which keeps trying by itself."""
        if self.last is None or error.code() != ALL_BROKERS_DOWN:
            self.last = error.str()
        log.debug("kafka client: %s", error.str())


def client_properties(settings: Settings, trouble: Trouble, **own: Any) -> dict[str, Any]:
    """Properties of a client outside the worker: the settings', overridden by its `own`, with `_` for the dots."""
    fixed = {name.replace("_", "."): value for name, value in own.items()}
    # Without this, a client that cannot connect would write librdkafka's own lines beside the one clear line.
    return {"log_level": 0, **settings.kafka_properties(), **fixed, "error_cb": trouble}


def reader_properties(settings: Settings, trouble: Trouble, **own: Any) -> dict[str, Any]:
    """Properties of a consumer outside the worker, likewise."""
    return {**_PROMPT, **client_properties(settings, trouble, **own)}


def heartbeat_ms(settings: Settings) -> int:
    """Time between two heartbeats of a member of a group, ms."""
    return max(100, min(_HEARTBEAT_MS, settings.session_timeout_ms // 5))


def command_producer(settings: Settings, trouble: Trouble, **own: Any) -> dict[str, Any]:
    """Properties of a client's producer of commands. The settings override what is its `own`."""
    chosen = settings.kafka_properties()
    wished = {"linger_ms": 5, **own}
    free = {name: value for name, value in wished.items() if name.replace("_", ".") not in chosen}
    fixed = {"partitioner": "murmur2_random", "enable_idempotence": True, "message_max_bytes": MAX_RECORD_BYTES}
    return client_properties(settings, trouble, **free, **fixed)


def command_consumer(settings: Settings, worker_id: str | None) -> dict[str, Any]:
    """Properties of the group's consumer of `commands`.

    `auto.offset.reset=error`: below the log's start the worker stops; librdkafka's default would silently read the
    whole log again. The local queue is small.
    """
    properties: dict[str, Any] = {
        "group.id": settings.group_id,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": settings.session_timeout_ms,
        "heartbeat.interval.ms": heartbeat_ms(settings),
        "max.poll.interval.ms": 300_000,
        "queued.max.messages.kbytes": 16_384,
        **_PROMPT,
        "fetch.message.max.bytes": 2 * MAX_RECORD_BYTES,
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
        **_PROMPT,
        "fetch.wait.max.ms": 10,
        "fetch.message.max.bytes": 2 * MAX_RECORD_BYTES,
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
        "message.max.bytes": MAX_RECORD_BYTES,
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
