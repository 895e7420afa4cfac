"""One way to talk to the fake cluster and to a real broker, for the suite that both must pass."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import confluent_kafka
from confluent_kafka import IsolationLevel, KafkaError, KafkaException, Message, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from support.kafka.fake_cluster import FakeCluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from streams.kafka.clients import Clients

_SPECS: Any = OffsetSpec  # its methods carry no types
EARLIEST, LATEST = _SPECS.earliest(), _SPECS.latest()
LIVELY = {"session.timeout.ms": 6000, "max.poll.interval.ms": 6000, "heartbeat.interval.ms": 200}
QUIET = logging.getLogger("support.kafka.broker_world")
QUIET.setLevel(logging.CRITICAL + 1)


class RealClients:
    """confluent_kafka's clients; librdkafka's own log is of no interest here."""

    def __init__(self, bootstrap: str) -> None:
        self._base: dict[str, Any] = {"bootstrap.servers": bootstrap, "log_level": 0}

    def consumer(self, properties: Mapping[str, Any]) -> Any:
        """A consumer."""
        return confluent_kafka.Consumer({**self._base, **properties}, logger=QUIET)

    def producer(self, properties: Mapping[str, Any]) -> Any:
        """A producer."""
        return confluent_kafka.Producer({**self._base, **properties}, logger=QUIET)

    def admin(self, properties: Mapping[str, Any]) -> Any:
        """An admin client."""
        return AdminClient({**self._base, **properties}, logger=QUIET)


class World:
    """A broker, and the few things that tests do with it over and over."""

    def __init__(self, clients: Clients, patience_s: float) -> None:
        self.clients = clients
        self.patience_s = patience_s
        self.admin = clients.admin({})
        self._consumers: list[Any] = []

    @property
    def fake(self) -> FakeCluster | None:
        """The cluster in memory, if that is what this is."""
        return self.clients if isinstance(self.clients, FakeCluster) else None

    def topic(self, partitions: int = 1, **config: str) -> str:
        """A new topic; underscores in the names of its settings stand for dots."""
        name = f"contract-{uuid4().hex[:10]}"
        settings = {key.replace("_", "."): value for key, value in config.items()}
        for future in self.admin.create_topics([NewTopic(name, partitions, 1, config=settings)]).values():
            future.result(30)
        self._await_known(name)
        return name

    def _await_known(self, name: str) -> None:
        """A real broker says that a topic is made a moment before it can describe it."""
        deadline = time.monotonic() + 30
        while True:
            try:
                self.admin.describe_topics(TopicCollection([name]))[name].result(30)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return

    def producer(self, transactional_id: str | None = "", **conf: Any) -> Any:
        """A producer ready for transactions, of an id of its own unless one is given; None: without."""
        settings = {"linger.ms": 0} | {key.replace("_", "."): value for key, value in conf.items()}
        if transactional_id is None:
            return self.clients.producer(settings)
        made = self.clients.producer(settings | {"transactional.id": transactional_id or uuid4().hex})
        made.init_transactions(30)
        return made

    def consumer(self, group: str | None = None, **conf: Any) -> Any:
        """A cooperative consumer of committed data that starts at the beginning."""
        settings = {
            "group.id": group or uuid4().hex,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "partition.assignment.strategy": "cooperative-sticky",
            **LIVELY,
            **{key.replace("_", "."): value for key, value in conf.items()},
        }
        made = self.clients.consumer(settings)
        self._consumers.append(made)
        return made

    def reader(self, topic: str, partition: int = 0, offset: int = 0, **conf: Any) -> Any:
        """A consumer of one partition, without a group's assignment."""
        made = self.consumer(**conf)
        made.assign([TopicPartition(topic, partition, offset)])
        return made

    def member(self, group: str, topic: str, **conf: Any) -> Any:
        """A consumer that has joined its group and reads something."""
        made = self.consumer(group, **conf)
        made.subscribe([topic])
        self.until(lambda: (made.consume(1, 0), made.assignment())[1])
        return made

    def until(self, condition: Callable[[], Any]) -> Any:
        """What the condition gives, as soon as that is true; fails when it does not come to be."""
        deadline = time.monotonic() + self.patience_s
        while not (found := condition()):
            assert time.monotonic() < deadline, "it did not come to be"
            time.sleep(0.02)
        return found

    def take(self, consumer: Any, count: int) -> list[Message]:
        """The next `count` messages."""
        found: list[Message] = []
        while len(found) < count:
            found += self.until(partial(consumer.consume, count - len(found), 0.2))
        return found

    def nothing(self, consumer: Any) -> bool:
        """Whether no message comes for a while."""
        return not consumer.consume(1, 0.7)

    def end(self, topic: str, partition: int = 0, *, stable: bool = False) -> int:
        """The latest offset: of all records, or of those that readers of committed data may see."""
        asked = {TopicPartition(topic, partition): LATEST}
        level = IsolationLevel.READ_COMMITTED if stable else IsolationLevel.READ_UNCOMMITTED
        (future,) = self.admin.list_offsets(asked, isolation_level=level).values()
        return int(future.result(30).offset)

    def committed(self, consumer: Any, topic: str, partition: int = 0, timeout: float = 10) -> int:
        """The group's offset, or OFFSET_INVALID."""
        (found,) = consumer.committed([TopicPartition(topic, partition)], timeout)
        assert found.error is None
        return int(found.offset)

    def position(self, consumer: Any, topic: str, partition: int = 0) -> int:
        """Where the application stands, or OFFSET_INVALID."""
        (found,) = consumer.position([TopicPartition(topic, partition)])
        return int(found.offset)

    def commit(self, producer: Any, topic: str, *values: bytes, partition: int = 0) -> None:
        """One committed transaction with these records."""
        producer.begin_transaction()
        for value in values:
            producer.produce(topic, value, partition=partition)
        producer.commit_transaction(30)

    def close(self) -> None:
        """Close what was opened."""
        for consumer in self._consumers:
            consumer.close()


def worlds(bootstrap: Callable[[], str], *, real: bool) -> Iterator[World]:
    """A fresh fake, or the real broker."""
    world = World(RealClients(bootstrap()), 20.0) if real else World(FakeCluster(), 1.0)
    try:
        yield world
    finally:
        world.close()


def code_of(message: Message) -> int | None:
    """The code of the error that a message stands for, if it does."""
    error = message.error()
    return None if error is None else error.code()


def error_of(call: Callable[[], Any]) -> KafkaError:
    """The error that a call raises."""
    try:
        call()
    except KafkaException as raised:
        error: KafkaError = raised.args[0]
        return error
    raise AssertionError("it raised nothing")
