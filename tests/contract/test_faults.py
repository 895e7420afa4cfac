"""What the fake cluster does on demand: crashes, lost answers, late markers, moved partitions, the log cleaner."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, TopicPartition

from support.kafka.broker_world import World, error_of
from support.kafka.fake_cluster import Crash, FakeCluster, failure


@pytest.fixture
def cluster() -> FakeCluster:
    """One topic `t` with two partitions."""
    made = FakeCluster()
    made.create_topic("t", 2)
    return made


@pytest.fixture
def world(cluster: FakeCluster) -> World:
    """Its clients."""
    return World(cluster, 1.0)


def _values(cluster: FakeCluster) -> list[bytes | None]:
    return [record.value for record in cluster.records("t")]


@pytest.mark.parametrize("step", range(4))
def test_a_crash_at_each_step(cluster: FakeCluster, world: World, step: int) -> None:
    """A crash before the commit took effect leaves nothing, one after it leaves all; the next producer goes on."""
    producer = world.producer("id")
    steps = ["begin", "produce", "commit:before", "commit:after"]
    cluster.faults.crash_at(step)
    with pytest.raises(Crash):
        world.commit(producer, "t", b"value")
    assert cluster.faults.steps[-1] == steps[step]
    world.commit(world.producer("id"), "t", b"next")
    assert _values(cluster) == ([b"value", b"next"] if steps[step] == "commit:after" else [b"next"])


def test_a_lost_answer_may_be_asked_for_again(cluster: FakeCluster, world: World) -> None:
    """After a retriable error of commit_transaction only the commit may be repeated, and it takes effect once."""
    producer = world.producer()
    cluster.faults.fail("commit:after", failure(KafkaError._TIMED_OUT, retriable=True))
    assert error_of(lambda: world.commit(producer, "t", b"value")).retriable()
    assert error_of(producer.abort_transaction).code() == KafkaError._CONFLICT
    producer.commit_transaction()
    world.commit(producer, "t", b"next")
    assert _values(cluster) == [b"value", b"next"]


def test_a_fatal_answer_after_the_commit(cluster: FakeCluster, world: World) -> None:
    """A commit may have taken effect although all that its producer ever says is a fatal error."""
    producer = world.producer()
    cluster.faults.fail("commit:after", failure(KafkaError._FENCED, fatal=True))
    assert error_of(lambda: world.commit(producer, "t", b"value")).fatal()
    assert error_of(producer.commit_transaction).fatal()
    assert _values(cluster) == [b"value"]


def test_late_markers(cluster: FakeCluster, world: World) -> None:
    """Between a commit and its markers readers see nothing and committed() waits; a new transaction brings them."""
    member, producer = world.member("g", "t"), world.producer()
    cluster.delay_markers = True
    producer.begin_transaction()
    producer.produce("t", b"value", partition=0)
    producer.send_offsets_to_transaction([TopicPartition("t", 0, 1)], member.consumer_group_metadata())
    producer.commit_transaction()
    assert _values(cluster) == []
    assert error_of(lambda: world.committed(member, "t")).code() == KafkaError._TIMED_OUT
    cluster.write_markers()
    assert _values(cluster) == [b"value"]
    assert world.committed(member, "t") == 1
    world.commit(producer, "t", b"next")
    producer.begin_transaction()
    producer.produce("t", b"open", partition=0)
    assert _values(cluster) == [b"value", b"next"]


def test_expired_transactions(cluster: FakeCluster, world: World) -> None:
    """A transaction open for too long is aborted, and its producer is fenced."""
    producer = world.producer()
    producer.begin_transaction()
    producer.produce("t", b"dropped", partition=0)
    cluster.expire_transactions()
    assert error_of(producer.commit_transaction).fatal()
    assert _values(cluster) == []


def test_moved_partitions(cluster: FakeCluster, world: World) -> None:
    """A test may give one partition to a member of its choice; each lets go before the other is given anything."""
    first, second = world.member("g", "t"), world.consumer("g")
    second.subscribe(["t"])
    world.until(lambda: (first.consume(1), second.consume(1), second.assignment())[2])
    (had,), (wanted,) = first.assignment(), second.assignment()
    cluster.group("g").move(("t", wanted.partition), first)
    first.consume(1)
    assert first.assignment() == []
    second.consume(1)
    assert second.assignment() == [had]
    first.consume(1)
    assert first.assignment() == [wanted]


def test_the_log_cleaner(cluster: FakeCluster, world: World) -> None:
    """Compaction keeps the last record of each key at its offset; tombstones go when told."""
    producer = world.producer(None)
    for key, value in ((b"a", b"1"), (b"b", b"2"), (b"a", b"3"), (b"b", None)):
        producer.produce("t", value, key=key, partition=0)
    cluster.compact("t")
    assert [(record.offset, record.value) for record in cluster.records("t", 0)] == [(2, b"3"), (3, None)]
    cluster.compact("t", drop_tombstones=True)
    reader = world.reader("t")
    assert [message.value() for message in world.take(reader, 1)] == [b"3"]
    assert world.position(reader, "t") == world.end("t") == 4
