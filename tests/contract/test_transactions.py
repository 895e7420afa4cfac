"""What the checkpoint relies on: transactions, their markers, and who is shut out of them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from confluent_kafka import OFFSET_INVALID, KafkaError, KafkaException, TopicPartition

from support.kafka.broker_world import error_of

if TYPE_CHECKING:
    from confluent_kafka import Message

    from support.kafka.broker_world import World


def test_markers_take_offsets(world: World) -> None:
    """The end of a transaction takes one offset in each partition it touched, committed or aborted."""
    topic, producer = world.topic(2), world.producer()
    world.commit(producer, topic, b"kept")
    world.until(lambda: world.end(topic) == 2)
    producer.begin_transaction()
    producer.produce(topic, b"dropped", partition=0)
    producer.flush(10)
    producer.abort_transaction(30)
    world.until(lambda: world.end(topic) == 4)
    assert world.end(topic, 1) == 0


def test_delivery_before_commit_returns(world: World) -> None:
    """The delivery report of every record, with its offset, has run when commit_transaction returns."""
    topic, producer = world.topic(), world.producer()
    offsets: list[int | None] = []

    def delivered(error: KafkaError | None, message: Message) -> None:
        assert error is None
        offsets.append(message.offset())

    producer.begin_transaction()
    producer.produce(topic, b"one", partition=0, on_delivery=delivered)
    producer.produce_batch(topic, [{"value": b"two", "callback": delivered}], partition=0)
    producer.commit_transaction(30)
    assert offsets == [0, 1]


def test_read_committed_hides_open_and_aborted(world: World) -> None:
    """Committed readers see neither an aborted record nor, until that is decided, anything behind an open one."""
    topic, producer, plain = world.topic(), world.producer(), world.producer(None)
    reader = world.reader(topic)
    producer.begin_transaction()
    producer.produce(topic, b"dropped", partition=0)
    producer.flush(10)
    plain.produce(topic, b"behind", partition=0)
    plain.flush(10)
    assert world.nothing(reader)
    producer.abort_transaction(30)
    assert [message.value() for message in world.take(reader, 1)] == [b"behind"]


def test_read_uncommitted_sees_all(world: World) -> None:
    """Readers of uncommitted data see open transactions, and aborted ones for ever."""
    topic, producer = world.topic(), world.producer()
    producer.begin_transaction()
    producer.produce(topic, b"dropped", partition=0)
    producer.flush(10)
    reader = world.reader(topic, isolation_level="read_uncommitted")
    assert [message.value() for message in world.take(reader, 1)] == [b"dropped"]
    producer.abort_transaction(30)
    again = world.reader(topic, isolation_level="read_uncommitted")
    assert [message.value() for message in world.take(again, 1)] == [b"dropped"]


@pytest.mark.durable
def test_offsets_and_records_together(world: World) -> None:
    """The group's offset moves with the records of its transaction, or not at all."""
    source, target, group = world.topic(), world.topic(), uuid4().hex
    member = world.member(group, source)
    producer, reader = world.producer(), world.reader(target)
    for end in (producer.abort_transaction, producer.commit_transaction):
        producer.begin_transaction()
        producer.produce(target, end.__name__.encode(), partition=0)
        producer.send_offsets_to_transaction([TopicPartition(source, 0, 7)], member.consumer_group_metadata(), 30)
        end(30)
        expected = 7 if end == producer.commit_transaction else OFFSET_INVALID
        assert world.committed(member, source) == expected
    assert [message.value() for message in world.take(reader, 1)] == [b"commit_transaction"]


@pytest.mark.durable
def test_committed_waits_for_stable_offsets(world: World) -> None:
    """While a transaction carries an offset of the partition, committed() times out; then it gives the outcome."""
    topic, group = world.topic(), uuid4().hex
    member, producer = world.member(group, topic), world.producer()
    assert world.committed(member, topic) == OFFSET_INVALID
    producer.begin_transaction()
    producer.send_offsets_to_transaction([TopicPartition(topic, 0, 5)], member.consumer_group_metadata(), 30)
    error = error_of(lambda: world.committed(member, topic, timeout=0.5))
    assert error.code() == KafkaError._TIMED_OUT
    producer.commit_transaction(30)
    assert world.committed(member, topic) == 5


def test_new_producer_fences_old(world: World) -> None:
    """init_transactions aborts what an older producer of the id left open and shuts that one out for good."""
    topic, name = world.topic(), uuid4().hex
    member, old = world.member(uuid4().hex, topic), world.producer(name)
    old.begin_transaction()
    old.produce(topic, b"zombie", partition=0)
    old.flush(10)
    new = world.producer(name)
    world.commit(new, topic, b"alive")
    offsets = [TopicPartition(topic, 0, 1)]
    error = error_of(lambda: old.send_offsets_to_transaction(offsets, member.consumer_group_metadata(), 30))
    assert (error.code(), error.fatal()) == (KafkaError._FENCED, True)
    assert error_of(lambda: old.commit_transaction(30)).fatal()
    assert error_of(lambda: old.produce(topic, b"more", partition=0)).code() == KafkaError._FATAL
    assert error_of(lambda: old.flush(10)).fatal()
    assert [message.value() for message in world.take(world.reader(topic), 1)] == [b"alive"]


def test_fenced_by_commit(world: World) -> None:
    """A fenced producer without offsets to send learns of it by commit_transaction at the latest."""
    topic, name = world.topic(), uuid4().hex
    old = world.producer(name)
    old.begin_transaction()
    old.produce(topic, b"zombie", partition=0)
    old.flush(10)
    world.producer(name)
    error = error_of(lambda: old.commit_transaction(30))
    assert (error.code(), error.fatal()) == (KafkaError._FENCED, True)
    after = error_of(lambda: old.abort_transaction(30))
    assert after.code() in {KafkaError._CONFLICT, KafkaError._FENCED}, "only a new producer is of use"
    assert world.nothing(world.reader(topic))


@pytest.mark.durable
def test_old_generation_is_abortable(world: World) -> None:
    """Metadata of an earlier generation makes the transaction fail so that it must, and can, be aborted."""
    topic, group = world.topic(2), uuid4().hex
    first, producer = world.member(group, topic), world.producer()
    old = first.consumer_group_metadata()
    second = world.consumer(group)
    second.subscribe([topic])
    world.until(lambda: (first.consume(1, 0), second.consume(1, 0), second.assignment())[2])
    producer.begin_transaction()
    producer.produce(topic, b"dropped", partition=0)
    error = error_of(lambda: producer.send_offsets_to_transaction([TopicPartition(topic, 0, 3)], old, 30))
    assert (error.code(), error.txn_requires_abort()) == (KafkaError.ILLEGAL_GENERATION, True)
    assert error_of(lambda: producer.commit_transaction(30)).txn_requires_abort()
    producer.abort_transaction(30)
    world.commit(producer, topic, b"works again")


def test_current_member_may_commit_foreign_partitions(world: World) -> None:
    """The broker does not check who owns a partition: the worker must drop the records of those it lost."""
    topic, other, group = world.topic(), world.topic(), uuid4().hex
    member, producer = world.member(group, topic), world.producer()
    producer.begin_transaction()
    producer.send_offsets_to_transaction([TopicPartition(other, 0, 3)], member.consumer_group_metadata(), 30)
    producer.commit_transaction(30)
    assert world.committed(member, other) == 3


def test_calls_out_of_turn(world: World) -> None:
    """Beginning twice, or producing, committing or aborting outside a transaction, is refused."""
    topic, producer = world.topic(), world.producer()
    for call in (producer.commit_transaction, producer.abort_transaction, lambda: producer.produce(topic, b"x")):
        assert error_of(call).code() == KafkaError._STATE
    producer.begin_transaction()
    assert error_of(producer.begin_transaction).code() == KafkaError._STATE
    producer.commit_transaction(30)


def test_too_large_for_the_topic(world: World) -> None:
    """A record larger than its topic allows fails by its delivery report, and the transaction must be aborted.

    librdkafka may have the next one aborted too (`OUT_OF_ORDER_SEQUENCE_NUMBER`): the sequence has a gap.
    """
    topic, producer = world.topic(max_message_bytes="2000"), world.producer()
    errors: list[int] = []

    def delivered(error: KafkaError | None, message: Message) -> None:
        del message
        errors.append(0 if error is None else error.code())

    producer.begin_transaction()
    producer.produce(topic, b"x" * 5000, partition=0, on_delivery=delivered)
    error = error_of(lambda: producer.commit_transaction(30))
    assert (error.code(), error.txn_requires_abort()) == (KafkaError.MSG_SIZE_TOO_LARGE, True)
    assert errors == [KafkaError.MSG_SIZE_TOO_LARGE]
    producer.abort_transaction(30)
    try:
        world.commit(producer, topic, b"fits")
    except KafkaException as again:
        if not again.args[0].txn_requires_abort():
            raise
        producer.abort_transaction(30)
        world.commit(producer, topic, b"fits")
    assert [message.value() for message in world.take(world.reader(topic), 1)] == [b"fits"]


def test_empty_transaction(world: World) -> None:
    """A transaction in which nothing happened commits, and leaves no marker."""
    topic, producer = world.topic(), world.producer()
    world.commit(producer, topic)
    assert world.end(topic) == 0
