"""The gateway on a real broker, as a process of its own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from streams import codec
from streams.client import ProgressReader
from streams.config import Settings, Topic, load_settings
from streams.kafka import topics
from streams.model import BatchHeader, BatchState, SliceProgress, SliceState
from support.records.progress_records import header, slice_progress
from support.service.programs import Program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streams.broker import Broker

PATIENCE_S = 60.0
SESSION_MS = 6_000


@pytest.fixture
def settings(broker: Broker) -> Settings:
    """Settings with topics of their own."""
    made = load_settings(
        bootstrap_servers=broker.bootstrap, topic_prefix=f"gateway-{uuid4().hex[:8]}.", session_timeout_ms=SESSION_MS
    )
    topics.create(made)
    return made


@pytest.fixture
def gateway(settings: Settings, tmp_path: Path) -> Iterator[Program]:
    """The program, not yet started."""
    program = Program("gateway", ["gateway"], tmp_path, environment(settings))
    yield program
    program.end()


def environment(settings: Settings) -> dict[str, str]:
    """The settings as a process takes them."""
    return {
        "STREAMS_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "STREAMS_TOPIC_PREFIX": settings.topic_prefix,
        "STREAMS_SESSION_TIMEOUT_MS": str(settings.session_timeout_ms),
        "STREAMS_GATEWAY_HTTP": "127.0.0.1:0",
    }


class Slices:
    """Writes `batch-slices` as workers do: in transactions, each leaving a marker behind its records."""

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.topic(Topic.BATCH_SLICES)
        self._producer = Producer(
            {
                "bootstrap.servers": settings.bootstrap_servers,
                "transactional.id": f"test-{uuid4().hex[:8]}",
                "partitioner": "murmur2_random",
                "log_level": 0,
            }
        )
        self._partitions = len(self._producer.list_topics(timeout=10).topics[self._topic].partitions)
        self._producer.init_transactions(30)

    def write(self, *records: BatchHeader | SliceProgress, partition: int = 0) -> None:
        """A transaction a record."""
        for record in records:
            last = record.partition if isinstance(record, SliceProgress) else "lead"
            self.put(f"{record.batch_id}/{last}", codec.encode(record), partition)

    def put(self, key: str, value: bytes | None, partition: int = 0) -> None:
        """One record, or a tombstone."""
        self._producer.begin_transaction()
        self._producer.produce(self._topic, value, key, partition)
        self._producer.commit_transaction(30)


@pytest.fixture
def slices(settings: Settings) -> Slices:
    """The workers' side."""
    return Slices(settings)


def committed_and_ends(settings: Settings, group: str) -> tuple[dict[int, int], dict[int, int]]:
    """Committed offsets of the group, and where the partitions of `batch-slices` end; partitions with records only."""
    admin = AdminClient({"bootstrap.servers": settings.bootstrap_servers, "log_level": 0})
    [future] = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)]).values()
    committed = {each.partition: each.offset for each in future.result(10).topic_partitions if each.offset > 0}
    specs: Any = OffsetSpec  # its methods carry no types
    asked = {TopicPartition(settings.topic(Topic.BATCH_SLICES), each): specs.latest() for each in range(4)}
    found = admin.list_offsets(asked, isolation_level=IsolationLevel.READ_UNCOMMITTED)
    ends = {each.partition: future.result(10).offset for each, future in found.items()}
    return committed, {partition: end for partition, end in ends.items() if end > 0}


def started(gateway: Program) -> None:
    """Start it and wait until it works."""
    gateway.start()
    gateway.await_event("gateway ready")


def _group_is_gone(admin: AdminClient, group: str) -> bool:
    """Delete it, as long as it is there and nobody is in it."""
    try:
        admin.delete_consumer_groups([group])[group].result(10)
    except KafkaException as error:
        return bool(error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND)
    return True


def _merged_in(reader: ProgressReader, slices: Slices, batch_id: str, done: dict[str, Any]) -> float:
    """Seconds from a batch's last slice being written to its end being read."""
    following = reader.follow(batch_id, PATIENCE_S)
    slices.write(header(batch_id=batch_id), slice_progress(0, batch_id=batch_id, **done), partition=1)
    assert next(following).state is BatchState.STARTING
    before = time.monotonic()
    slices.write(slice_progress(1, batch_id=batch_id, **done), partition=1)
    *_, last = following
    assert last.state is BatchState.COMPLETED
    return time.monotonic() - before


def test_batches_of_before_and_after_the_start_are_merged(gateway: Program, settings: Settings, slices: Slices) -> None:
    """What stood in the topic before the gateway came is merged, and within a second what comes while it runs."""
    done: dict[str, Any] = {"state": SliceState.COMPLETED, "counters": (10, 0, 2, 1)}
    slices.write(header(batch_id="early"), *(slice_progress(each, batch_id="early", **done) for each in (0, 1)))
    started(gateway)
    reader = ProgressReader(settings)
    *_, last = reader.follow("early", PATIENCE_S)
    assert (last.state, last.done, last.skipped, last.failed, last.matched) == (BatchState.COMPLETED, 20, 4, 2, 26)
    # The quickest of a few: the machine that runs the tests has other things to do.
    assert min(_merged_in(reader, slices, f"late-{each}", done) for each in range(4)) < 1.0
    assert gateway.terminate() == 0
    committed, ends = committed_and_ends(settings, f"{settings.topic_prefix}gateway")
    assert committed.keys() == ends.keys()
    assert all(ends[partition] - committed[partition] <= 1 for partition in ends), (committed, ends)


@pytest.mark.durable
def test_a_killed_gateway_goes_on_where_it_was(gateway: Program, settings: Settings, slices: Slices) -> None:
    """Half of a batch before `kill -9`, half while it was gone: the counters at the end are exact."""
    started(gateway)
    slices.write(header(batch_id="b"), slice_progress(0, batch_id="b", revision=30, counters=(7, 0, 0, 0)))
    following = ProgressReader(settings).follow("b", 2 * PATIENCE_S)
    progress = next(each for each in following if each.done == 7)
    assert progress.state is BatchState.STARTING
    gateway.kill9()
    finished: dict[str, Any] = {"batch_id": "b", "state": SliceState.COMPLETED, "revision": 40}
    slices.write(slice_progress(1, counters=(5, 0, 0, 0), **finished))
    started(gateway)
    progress = next(each for each in following if each.done == 12)
    assert progress.state is BatchState.RUNNING
    slices.write(slice_progress(0, counters=(9, 0, 0, 0), **finished))
    *_, progress = following
    assert (progress.state, progress.done) == (BatchState.COMPLETED, 14)
    assert gateway.terminate() == 0


def test_a_forgotten_batch_disappears(gateway: Program, settings: Settings, slices: Slices) -> None:
    """The header's tombstone removes the batch from `batches`, and its id may be used again."""
    started(gateway)
    finished: dict[str, Any] = {"batch_id": "b", "state": SliceState.COMPLETED}
    slices.write(header(batch_id="b", partitions=1), slice_progress(0, counters=(1, 0, 0, 0), **finished))
    reader = ProgressReader(settings)
    *_, progress = reader.follow("b", PATIENCE_S)
    slices.put("b/lead", None)
    slices.put("b/0", None)
    deadline = time.monotonic() + PATIENCE_S
    while reader.latest():
        assert time.monotonic() < deadline
        time.sleep(0.2)
    slices.write(header(batch_id="b", partitions=1, revision=5))
    again = next(reader.follow("b", PATIENCE_S))
    assert (progress.done, again.done, again.state) == (1, 0, BatchState.STARTING)


def test_a_record_of_a_newer_version_stops_it(gateway: Program, settings: Settings, slices: Slices) -> None:
    """Left out, it could leave its batch without an end: one line says what to do, and its offset is not passed."""
    slices.write(header(batch_id="b"))
    slices.put("b/0", b"\xc3\x01" + b"\x00" * 8)
    gateway.start()
    assert gateway.wait(PATIENCE_S) == 1
    topic = settings.topic(Topic.BATCH_SLICES)
    assert f"{topic}, partition 0, offset 2 was written by a newer version: upgrade this gateway" in gateway.output()
    assert "Traceback" not in gateway.output()
    committed, _ = committed_and_ends(settings, f"{settings.topic_prefix}gateway")
    assert committed.get(0, 0) <= 2


def test_slices_created_again_under_a_running_gateway_stop_it_by_name(
    gateway: Program, settings: Settings, slices: Slices
) -> None:
    """It would go on from its old offset in the new topic: one line says how it is built again."""
    started(gateway)
    slices.write(header(batch_id="old"), slice_progress(0, batch_id="old", counters=(1, 0, 0, 0)))
    next(each for each in ProgressReader(settings).follow("old", PATIENCE_S) if each.done == 1)
    topic = settings.topic(Topic.BATCH_SLICES)
    admin = AdminClient({"bootstrap.servers": settings.bootstrap_servers, "log_level": 0})
    admin.delete_topics([topic])[topic].result(10)
    topics.create(settings)
    assert gateway.wait(PATIENCE_S) == 1
    assert f"topic {topic} was " in gateway.output()
    assert "while the gateway ran: with all gateways stopped, delete the topic" in gateway.output()
    assert "Traceback" not in gateway.output()
    prefix = settings.topic_prefix
    admin.delete_topics([f"{prefix}gateway-progress-changelog"])[f"{prefix}gateway-progress-changelog"].result(10)
    group = f"{prefix}gateway"
    deadline = time.monotonic() + PATIENCE_S
    while not _group_is_gone(admin, group):  # its session is not over yet
        assert time.monotonic() < deadline
        time.sleep(0.5)
    started(gateway)
    Slices(settings).write(header(batch_id="new", partitions=1), slice_progress(0, batch_id="new"))
    assert next(ProgressReader(settings).follow("new", PATIENCE_S)).batch_id == "new"
    assert gateway.terminate() == 0


def test_it_says_in_one_line_why_it_cannot_start(broker: Broker, tmp_path: Path) -> None:
    """A wrong address and missing topics: exit code 1, the thing named, no traceback."""
    for name, address, message in (
        ("nobody", "127.0.0.1:1", "no Kafka broker at 127.0.0.1:1"),
        ("topicless", broker.bootstrap, "topics topicless.batch-slices, topicless.batches do not exist"),
    ):
        place = {"STREAMS_BOOTSTRAP_SERVERS": address, "STREAMS_TOPIC_PREFIX": f"{name}."}
        program = Program(name, ["gateway"], tmp_path, place)
        program.start()
        assert program.wait(PATIENCE_S) == 1
        assert message in program.output()
        assert "Traceback" not in program.output()
