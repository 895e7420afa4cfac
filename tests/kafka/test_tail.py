"""A topic read to its end: where it begins, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, KafkaError, TopicPartition

from streams.config import Topic
from streams.errors import StreamsError
from streams.kafka.errors import BrokerUnavailableError
from streams.kafka.tail import Tail, tail
from support.kafka.fake_consumer import FakeConsumer
from support.kafka.fake_faults import failure
from support.service.client_world import ClientWorld


class Silent(FakeConsumer):
    """A consumer of brokers that are out of reach: a question takes as long as it may, and nothing arrives."""

    now = 0.0

    def clock(self) -> float:
        """Seconds; some pass between two looks."""
        self.now += 0.1
        return self.now

    def get_watermark_offsets(self, partition: TopicPartition, timeout: float = -1, *, cached: bool = False) -> Any:
        """Raises, when the time is up."""
        del partition, cached
        self.now += timeout
        raise failure(KafkaError._TIMED_OUT)


@pytest.mark.parametrize(
    ("begin", "read"),
    [
        ({}, ["a", "b", "c", "other"]),
        ({"last": 1}, ["c", "other"]),
        ({"last": 9, "partition": 0}, ["a", "b", "c"]),
        ({"since": {0: 2}}, ["c", "other"]),
    ],
)
def test_a_tail_begins_where_it_is_told(begin: dict[str, Any], read: list[str]) -> None:
    """At the start, so many offsets before each end, or at offsets by partition; of one partition or of all."""
    world = ClientWorld()
    for key in "abc":
        world.write(Topic.SIGNALS, key, b"")
    world.cluster.append(("t.signals", 3), b"other", b"")
    with tail(world.settings, world.cluster, Topic.SIGNALS, **begin) as records:
        assert sorted(message.key().decode() for message in records.read_to_end(60)) == read
        assert records.ends()[0] == 3


def test_the_end_is_that_of_the_beginning_however_fast_a_topic_grows() -> None:
    """A reader that waits to meet the end of a topic that is written to all the time would wait forever."""
    world = ClientWorld()
    began = 3_000
    for number in range(began):
        world.write(Topic.SIGNALS, str(number), b"")
    seconds = iter(range(1_000))
    own = {"group.id": "reader", "enable.partition.eof": True, "isolation.level": "read_committed"}
    consumer = world.cluster.consumer({**own, "auto.offset.reset": "earliest", "enable.auto.commit": False})
    records = Tail(consumer, [TopicPartition("t.signals", 0, OFFSET_BEGINNING)], lambda: float(next(seconds)))
    read = 0
    while not records.caught_up:
        assert read <= 2 * began
        read += sum(1 for _ in records.poll())
        for _ in range(2_000):
            world.write(Topic.SIGNALS, "later", b"")
    assert read >= began


def test_what_arrives_is_read_until_the_end_however_long_it_takes() -> None:
    """A second of reading passes with each record; what counts is the time without any."""
    world = ClientWorld()
    for number in range(20):
        world.write(Topic.SIGNALS, str(number), b"")
    seconds = 0.0

    def clock() -> float:
        return seconds

    own = {"group.id": "reader", "enable.partition.eof": True, "isolation.level": "read_committed"}
    consumer = world.cluster.consumer({**own, "auto.offset.reset": "earliest", "enable.auto.commit": False})
    read = 0
    for messages in Tail(consumer, [TopicPartition("t.signals", 0, OFFSET_BEGINNING)], clock).until_end(3):
        read += len(messages)
        seconds += 100
    assert read == 20


def test_brokers_that_say_nothing_end_a_reading_without_a_limit() -> None:
    """It names the topic."""
    consumer = Silent(ClientWorld().cluster, {"group.id": "reader"})
    records = Tail(consumer, [TopicPartition("t.signals", 0, OFFSET_BEGINNING)], consumer.clock)
    with pytest.raises(BrokerUnavailableError, match=r"t\.signals could not be read to its end: no word"):
        list(records.until_end(3))


def test_brokers_that_do_not_answer_keep_no_reader_long_beyond_its_timeout() -> None:
    """To ask where the end is takes two seconds at most, whatever other questions may take."""
    consumer = Silent(ClientWorld().cluster, {"group.id": "reader"})
    records = Tail(consumer, [TopicPartition("t.signals", 0, OFFSET_BEGINNING)], consumer.clock)
    with pytest.raises(BrokerUnavailableError, match=r"t\.signals could not be read to its end within 3 s"):
        list(records.read_to_end(3))
    assert consumer.now < 6


def test_a_partition_that_is_not_there_is_refused_by_name() -> None:
    """The line says which there are."""
    world = ClientWorld()
    reading = tail(world.settings, world.cluster, Topic.SIGNALS, partition=4)
    with pytest.raises(StreamsError, match=r"t\.signals has no partition 4: it has 0 to 3"), reading:
        raise AssertionError("nothing can be read")
