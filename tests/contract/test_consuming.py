"""What intake and restore rely on: positions, seeks, resets, ends."""

from __future__ import annotations

import time
from uuid import uuid4

import pytest
from confluent_kafka import OFFSET_INVALID, KafkaError, TopicPartition

from support.kafka.broker_world import World, code_of, error_of


def test_consume_waits_for_the_timeout(world: World, request: pytest.FixtureRequest) -> None:
    """Consume waits its whole timeout when fewer messages come than it asked for."""
    if world.fake is not None:
        request.applymarker(pytest.mark.xfail(reason="the fake never waits"))
    topic = world.topic()
    world.commit(world.producer(), topic, b"one")
    reader = world.reader(topic)
    began = time.monotonic()
    assert len(reader.consume(10, 1.0)) == 1
    assert time.monotonic() - began > 0.9


def test_consume_returns_when_it_has_enough(world: World) -> None:
    """Consume returns at once when as many messages are there as it asked for, and never gives more."""
    topic = world.topic()
    world.commit(world.producer(), topic, b"one", b"two", b"three")
    reader = world.reader(topic)
    world.take(reader, 1)
    began = time.monotonic()
    assert [message.value() for message in reader.consume(1, 20)] == [b"two"]
    assert time.monotonic() - began < 10


def test_position_passes_markers(world: World) -> None:
    """The position is unknown before the first message; then it reaches the log's end, markers included."""
    topic, producer = world.topic(), world.producer()
    world.commit(producer, topic, b"one", b"two")
    world.until(lambda: world.end(topic) == 3)
    reader = world.reader(topic)
    assert world.position(reader, topic) == OFFSET_INVALID
    assert [message.offset() for message in world.take(reader, 2)] == [0, 1]
    world.until(lambda: (reader.consume(1, 0.1), world.position(reader, topic) == 3)[1])


def test_position_passes_aborted_records(world: World) -> None:
    """A log that ends in an aborted transaction is read to its end too, though no message comes."""
    topic, producer = world.topic(), world.producer()
    producer.begin_transaction()
    producer.produce(topic, b"dropped", partition=0)
    producer.flush(10)
    producer.abort_transaction(30)
    world.until(lambda: world.end(topic) == 2)
    reader = world.reader(topic)
    world.until(lambda: (reader.consume(1, 0.1), world.position(reader, topic) == 2)[1])


def test_ends_under_an_open_transaction(world: World) -> None:
    """The end counts what is still open; the last stable offset and a committed reader's watermark do not."""
    topic, producer = world.topic(), world.producer()
    world.commit(producer, topic, b"one")
    world.until(lambda: world.end(topic) == 2)
    producer.begin_transaction()
    producer.produce(topic, b"open", partition=0)
    producer.flush(10)
    assert world.end(topic) == 3
    assert world.end(topic, stable=True) == 2
    assert world.reader(topic).get_watermark_offsets(TopicPartition(topic, 0), 10) == (0, 2)
    producer.abort_transaction(30)


def test_reset_error_below_the_start(world: World) -> None:
    """With auto.offset.reset=error a partition read below its log's start gives one error; then it is dead."""
    topic, producer = world.topic(), world.producer()
    world.commit(producer, topic, b"one", b"two", b"three")
    for future in world.admin.delete_records([TopicPartition(topic, 0, 2)]).values():
        future.result(30)
    reader = world.reader(topic, auto_offset_reset="error")
    (message,) = world.take(reader, 1)
    assert code_of(message) == KafkaError._AUTO_OFFSET_RESET
    assert (message.topic(), message.partition()) == (topic, 0)
    assert world.nothing(reader)
    assert error_of(lambda: reader.seek(TopicPartition(topic, 0, 2))).code() == KafkaError._STATE


@pytest.mark.parametrize("offset", [OFFSET_INVALID, 100])
def test_reset_error_without_an_offset(world: World, offset: int) -> None:
    """With auto.offset.reset=error a missing committed offset, or one above the end, is an error too."""
    topic = world.topic()
    reader = world.reader(topic, offset=offset, auto_offset_reset="error")
    (message,) = world.take(reader, 1)
    assert code_of(message) == KafkaError._AUTO_OFFSET_RESET


def test_abort_then_seek_back(world: World) -> None:
    """After an abort the same records are read again from where one seeks to."""
    topic, producer = world.topic(), world.producer()
    world.commit(producer, topic, b"one", b"two")
    reader = world.reader(topic)
    first = [message.offset() for message in world.take(reader, 2)]
    producer.begin_transaction()
    producer.produce(topic, b"dropped", partition=0)
    producer.abort_transaction(30)
    reader.seek(TopicPartition(topic, 0, 0))
    assert world.position(reader, topic) == OFFSET_INVALID
    assert [message.offset() for message in world.take(reader, 2)] == first


def test_seek_needs_an_assignment(world: World) -> None:
    """Seeking on a partition that is not assigned is refused; pausing one is ignored."""
    topic = world.topic(2)
    reader = world.reader(topic, 0)
    assert error_of(lambda: reader.seek(TopicPartition(topic, 1, 0))).code() == KafkaError._STATE
    reader.pause([TopicPartition(topic, 1)])


def test_paused_partitions_give_nothing(world: World) -> None:
    """A paused partition gives nothing, and goes on where it stood when it is resumed."""
    topic, producer = world.topic(), world.producer()
    reader = world.reader(topic)
    world.commit(producer, topic, b"one")
    world.take(reader, 1)
    reader.pause([TopicPartition(topic, 0)])
    world.commit(producer, topic, b"two")
    assert world.nothing(reader)
    reader.resume([TopicPartition(topic, 0)])
    assert world.take(reader, 1)[0].value() == b"two"


def test_assigned_one_by_one(world: World) -> None:
    """incremental_assign and incremental_unassign add and take partitions and leave the others going."""
    topic, producer = world.topic(2), world.producer(None)
    for partition in (0, 1):
        producer.produce(topic, b"%d" % partition, partition=partition)
    producer.flush(10)
    reader = world.consumer(uuid4().hex)
    reader.incremental_assign([TopicPartition(topic, 0, 0)])
    assert world.take(reader, 1)[0].partition() == 0
    reader.incremental_assign([TopicPartition(topic, 1, 0)])
    assert world.take(reader, 1)[0].partition() == 1
    reader.incremental_unassign([TopicPartition(topic, 0)])
    assert reader.assignment() == [TopicPartition(topic, 1)]


def test_end_of_partition_events(world: World) -> None:
    """With enable.partition.eof the end of a partition is told once for each time it is reached."""
    topic = world.topic()
    world.commit(world.producer(), topic, b"one")
    world.until(lambda: world.end(topic) == 2)
    reader = world.reader(topic, enable_partition_eof=True)
    assert world.take(reader, 1)[0].value() == b"one"
    (message,) = world.take(reader, 1)
    assert (code_of(message), message.offset()) == (KafkaError._PARTITION_EOF, 2)
    assert world.nothing(reader)


def test_closed_consumers_refuse(world: World) -> None:
    """A closed consumer raises RuntimeError; closing it again does nothing."""
    reader = world.reader(world.topic())
    reader.close()
    reader.close()
    with pytest.raises(RuntimeError):
        reader.consume(1, 0)
