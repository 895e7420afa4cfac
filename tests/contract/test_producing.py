"""What the outbox relies on: batches that do not raise, limits, partitions, stamps."""

from __future__ import annotations

import pytest
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError, murmur2

from support.kafka.broker_world import World, error_of


def test_batch_ignores_partitions_of_messages(world: World) -> None:
    """produce_batch sends all its messages to the partition of the call; one given with a message means nothing."""
    topic, producer = world.topic(2), world.producer()
    producer.begin_transaction()
    messages = [{"value": b"%d" % number, "key": b"k%d" % number, "partition": 0} for number in range(6)]
    assert producer.produce_batch(topic, messages, partition=1) == 6
    producer.commit_transaction(30)
    assert [message.value() for message in world.take(world.reader(topic, 1), 6)] == [b"%d" % n for n in range(6)]


def test_batch_marks_what_is_too_large(world: World) -> None:
    """A record too large for the client is not queued, marked `_error`, and the rest commits without a word."""
    topic, producer = world.topic(), world.producer()
    messages: list[dict[str, object]] = [{"value": b"x" * 2_000_000}, {"value": b"fits"}]
    producer.begin_transaction()
    assert producer.produce_batch(topic, messages, partition=0) == 1
    error = messages[0]["_error"]
    assert isinstance(error, KafkaError)
    assert error.code() == KafkaError.MSG_SIZE_TOO_LARGE
    assert "_error" not in messages[1]
    producer.commit_transaction(30)
    assert [message.value() for message in world.take(world.reader(topic), 1)] == [b"fits"]


def test_batch_marks_what_finds_the_queue_full(world: World) -> None:
    """When the queue is full the rest of a batch is marked `_error`; after serving reports it can be queued again."""
    topic, producer = world.topic(), world.producer(queue_buffering_max_messages=10)
    messages: list[dict[str, object]] = [{"value": b"%d" % number} for number in range(15)]
    producer.begin_transaction()
    assert producer.produce_batch(topic, messages, partition=0) == 10
    left = [message for message in messages if message.pop("_error", None) is not None]
    assert [message["value"] for message in left] == [b"%d" % number for number in range(10, 15)]
    world.until(lambda: producer.flush(1) == 0)
    assert producer.produce_batch(topic, left, partition=0) == 5
    producer.commit_transaction(30)
    assert len(world.take(world.reader(topic), 15)) == 15


def test_produce_raises(world: World) -> None:
    """Produce raises where produce_batch marks: too large, queue full, no such partition."""
    topic, producer = world.topic(), world.producer(None, queue_buffering_max_messages=2)
    too_large = error_of(lambda: producer.produce(topic, b"x" * 2_000_000, partition=0))
    assert too_large.code() == KafkaError.MSG_SIZE_TOO_LARGE
    producer.produce(topic, b"one", partition=0)
    producer.produce(topic, b"two", partition=0)
    with pytest.raises(BufferError):
        producer.produce(topic, b"three", partition=0)
    producer.flush(10)
    assert error_of(lambda: producer.produce(topic, b"x", partition=9)).code() == KafkaError._UNKNOWN_PARTITION


def test_murmur2_partitions(world: World) -> None:
    """With partitioner=murmur2_random a key goes where confluent_kafka.murmur2 and Kafka's Java clients say."""
    topic, producer = world.topic(4), world.producer(None, partitioner="murmur2_random")
    keys = [b"order-%d" % number for number in range(12)]
    for key in keys:
        producer.produce(topic, b"x", key=key)
    producer.flush(10)
    for partition in range(4):
        expected = [key for key in keys if murmur2(key, 4) == partition]
        reader = world.reader(topic, partition)
        assert [message.key() for message in world.take(reader, len(expected))] == expected


def test_log_append_time(world: World) -> None:
    """On a topic with LogAppendTime the broker stamps the records, whatever the producer says."""
    topic, producer = world.topic(message_timestamp_type="LogAppendTime"), world.producer(None)
    producer.produce(topic, b"x", partition=0, timestamp=1)
    producer.flush(10)
    (message,) = world.take(world.reader(topic), 1)
    kind, stamp = message.timestamp()
    assert kind == TIMESTAMP_LOG_APPEND_TIME
    assert stamp > 1_600_000_000_000


def test_headers_keys_and_tombstones(world: World) -> None:
    """Headers, key and an absent value arrive as they were sent."""
    topic, producer = world.topic(), world.producer(None)
    producer.produce(topic, None, key=b"key", partition=0, headers={"error-code": b"malformed"})
    producer.flush(10)
    (message,) = world.take(world.reader(topic), 1)
    assert (message.topic(), message.partition(), message.offset()) == (topic, 0, 0)
    assert (message.key(), message.value(), message.error()) == (b"key", None, None)
    assert message.headers() == [("error-code", b"malformed")]
