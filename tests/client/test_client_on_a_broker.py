"""The producer of commands on a real broker."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from confluent_kafka import Producer

from streams import codec
from streams.client import (
    BrokerUnavailableError,
    Client,
    Delivery,
    DeliveryError,
    TopicMissingError,
    new_batch_id,
    new_invocation_id,
)
from streams.client.outlet import Outlet
from streams.config import Settings, Topic, load_settings
from streams.kafka import topics
from streams.kafka.clients import KafkaClients
from streams.model import Action, Filter, Invoke, StartBatch
from streams.protocol import validation
from streams.protocol.routing import partition_of
from support.kafka.reading import Entry, TopicReader
from support.service.workload import invoke

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.broker import Broker


def settings_for(broker: Broker, **kafka: str) -> Settings:
    """Settings with topics of their own; underscores in the names of Kafka's properties stand for dots."""
    properties = {name.replace("_", "."): value for name, value in kafka.items()}
    settings = load_settings(
        bootstrap_servers=broker.bootstrap, topic_prefix=f"client-{uuid4().hex[:8]}.", kafka=properties
    )
    topics.create(settings)
    return settings


class _Talking(KafkaClients):
    """Makes producers that log what they do about their ids."""

    def producer(self, properties: Mapping[str, Any]) -> Producer:
        return Producer({**properties, "debug": "eos", "log_level": 7}, logger=logging.getLogger("talking"))


def commands_of(settings: Settings) -> list[Entry]:
    """All that stands in the command log."""
    with TopicReader(settings.bootstrap_servers, settings.topic(Topic.COMMANDS)) as reader:
        return reader.to_end()


def test_the_first_command_does_not_wait_for_a_producer_id(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    """Each client has asked for one before its first command: librdkafka by itself often tries after half a second."""
    settings = settings_for(broker)
    caplog.set_level("DEBUG", "talking")
    for number in range(60):
        caplog.clear()
        outlet = Outlet(settings, _Talking())
        outlet.require_topics()
        outlet.serve()
        assert "Acquiring ProducerId" in caplog.text, f"client {number}: {caplog.text}"


def test_commands_reach_the_partition_of_their_routing_key(broker: Broker) -> None:
    """Every command arrives once, on the partition the engine expects; the callback tells its place."""
    settings = settings_for(broker)
    deliveries: list[Delivery] = []
    ids = [new_invocation_id() for _ in range(50)] + [f"cart/{number}~{new_invocation_id()}" for number in range(50)]
    with Client(settings) as client:
        for invocation_id in ids:
            client.send(invoke(invocation_id), deliveries.append)
        batch_id = client.start_batch(
            StartBatch(batch_id=new_batch_id(), action=Action.KILL, filter=Filter(services=("s",)))
        )
    entries = commands_of(settings)
    decoded = [codec.decode(entry.value or b"") for entry in entries]
    assert sorted(each.invocation.invocation_id for each in decoded if isinstance(each, Invoke)) == sorted(ids)
    assert [each.batch_id for each in decoded if isinstance(each, StartBatch)] == [batch_id]
    assert all(entry.partition == partition_of(entry.key, 4) for entry in entries)
    assert len({entry.partition for entry in entries}) == 4
    places = {(entry.partition, entry.offset): entry.key for entry in entries}
    assert len(deliveries) == 100
    assert all(each.error is None for each in deliveries)
    assert all(places[each.partition or 0, each.offset or 0] == each.key for each in deliveries)


def test_a_full_local_queue_makes_the_client_wait(broker: Broker) -> None:
    """More commands than the queue holds: none is lost, and no error reaches the caller."""
    settings = settings_for(broker, queue_buffering_max_messages="10", linger_ms="50")
    with Client(settings) as client:
        for number in range(200):
            client.send(invoke(f"i-{number}"))
    assert len(commands_of(settings)) == 200


@pytest.fixture
def lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that lets pass what the broker will refuse: the log takes 1 MiB a record."""
    monkeypatch.setattr(validation, "MAX_PAYLOAD", 2**21)
    monkeypatch.setattr(validation, "MAX_COMMAND", 2**21)


@pytest.mark.usefixtures("lenient")
def test_a_command_the_broker_refuses_is_told_at_flush(broker: Broker) -> None:
    """What the log does not take fails by name, what stands beside it arrives, and it is told once."""
    settings = settings_for(broker)
    deliveries: list[Delivery] = []
    client = Client(settings)
    client.send(invoke("small"))
    client.send(invoke("large", payload=b"x" * 1_500_000), deliveries.append)
    with pytest.raises(DeliveryError, match=r"1 command\(s\) did not reach the log \(large\): .*too large") as caught:
        client.flush()
    assert (caught.value.count, caught.value.keys) == (1, ("large",))
    assert [(each.key, each.partition, each.offset) for each in deliveries] == [("large", None, None)]
    assert deliveries[0].error is not None
    client.close()
    assert [entry.key for entry in commands_of(settings)] == ["small"]


@pytest.mark.usefixtures("lenient")
def test_leaving_with_an_error_tells_both(broker: Broker) -> None:
    """The error that ended the block stays the error; what did not arrive is noted on it."""
    settings = settings_for(broker)

    def block() -> None:
        with Client(settings) as client:
            client.send(invoke("large", payload=b"x" * 1_500_000))
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine") as caught:
        block()
    assert any("did not reach the log (large)" in note for note in caught.value.__notes__)


def test_missing_topic_is_named_and_not_created(broker: Broker) -> None:
    """The client says how to make it, and leaves the broker as it was."""
    settings = load_settings(bootstrap_servers=broker.bootstrap, topic_prefix=f"missing-{uuid4().hex[:8]}.")
    for _ in range(2):
        with pytest.raises(TopicMissingError, match=f"{settings.topic_prefix}commands does not exist .*topics create"):
            Client(settings)


@pytest.mark.broker  # it waits ten seconds for one
def test_wrong_address_is_named_with_the_reason() -> None:
    """One line, within the connect timeout."""
    with pytest.raises(BrokerUnavailableError, match=r"no Kafka broker at 127\.0\.0\.1:1 \(.*refused.*\)"):
        Client(load_settings(bootstrap_servers="127.0.0.1:1"))
