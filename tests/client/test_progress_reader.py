"""Reading the progress of batches on a real broker."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec
import pytest
from confluent_kafka import Producer

from streams import codec
from streams.client import (
    BatchTimeoutError,
    BrokerUnavailableError,
    ProgressReader,
    TopicMissingError,
    UnreadableProgressError,
)
from streams.config import Settings, Topic, load_settings
from streams.kafka import topics
from streams.model import Action, BatchProgress, BatchState, Filter, OnTimeout

if TYPE_CHECKING:
    from streams.broker import Broker

SAMPLE = BatchProgress(
    batch_id="b",
    action=Action.KILL,
    filter=Filter(match_all=True),
    dry_run=False,
    limit=None,
    max_rate=None,
    grace_ms=None,
    on_timeout=OnTimeout.KILL,
    standing_until=None,
    expires_at=None,
    reason=None,
    actor=None,
    invocation_ids_count=None,
    state=BatchState.RUNNING,
    error=None,
    partitions_total=4,
    partitions_done=0,
    scan_total=0,
    scanned=0,
    matched=0,
    done=0,
    pending=0,
    skipped=0,
    failed=0,
    rate=0.0,
    eta_ms=None,
    samples=(),
    failures=(),
    revision=1,
    created_at=1,
    updated_at=1,
)


def progress(revision: int, *, batch_id: str = "b", state: BatchState = BatchState.RUNNING) -> BatchProgress:
    """Progress at this revision."""
    return msgspec.structs.replace(SAMPLE, batch_id=batch_id, revision=revision, state=state)


@pytest.fixture
def settings(broker: Broker) -> Settings:
    """Settings with topics of their own."""
    made = load_settings(bootstrap_servers=broker.bootstrap, topic_prefix=f"progress-{uuid4().hex[:8]}.")
    topics.create(made)
    return made


class Batches:
    """Writes the `batches` topic, a transaction a record, so that each partition ends in a marker."""

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.topic(Topic.BATCHES)
        self._producer = Producer(
            {
                "bootstrap.servers": settings.bootstrap_servers,
                "transactional.id": f"test-{uuid4().hex[:8]}",
                "log_level": 0,
            }
        )
        self._producer.init_transactions(30)

    def write(self, *records: BatchProgress) -> None:
        """Each under its id."""
        for record in records:
            self.put(record.batch_id, codec.encode(record))

    def put(self, key: str, value: bytes | None, *, commit: bool = True) -> None:
        """One record, or a tombstone."""
        self._producer.begin_transaction()
        self._producer.produce(self._topic, value, key)
        self._producer.flush(30)
        if commit:
            self._producer.commit_transaction(30)
        else:
            self._producer.abort_transaction(30)


@pytest.fixture
def batches(settings: Settings) -> Batches:
    """The gateway's side."""
    return Batches(settings)


def test_latest_of_every_batch(settings: Settings, batches: Batches) -> None:
    """The highest revision of each wins, whatever came last; forgotten batches and aborted records do not show."""
    reader = ProgressReader(settings)
    assert reader.latest() == {}
    batches.write(progress(5), progress(9), progress(7), progress(1, batch_id="other"), progress(1, batch_id="gone"))
    batches.put("gone", None)
    batches.put("b", codec.encode(progress(100)), commit=False)
    assert reader.latest() == {"b": progress(9), "other": progress(1, batch_id="other")}


def test_following_begins_with_the_present_and_ends_with_the_batch(settings: Settings, batches: Batches) -> None:
    """History is passed over, older revisions and other batches are not shown, the final state is the last."""
    batches.write(progress(1), progress(2, state=BatchState.COMPLETED), progress(3, state=BatchState.PAUSED))
    following = ProgressReader(settings).follow("b", 30)
    assert next(following) == progress(3, state=BatchState.PAUSED)
    batches.write(progress(2), progress(8, batch_id="other"), progress(4))
    assert next(following) == progress(4)
    batches.write(progress(5, state=BatchState.COMPLETED))
    assert [each.revision for each in following] == [5]
    assert [each.revision for each in ProgressReader(settings).follow("b", 30)] == [5]


def test_following_waits_for_a_batch_to_appear(settings: Settings, batches: Batches) -> None:
    """A batch that nobody has heard of yet may still come."""
    later = threading.Timer(1.0, batches.write, [progress(1, state=BatchState.REJECTED)])
    later.start()
    assert [each.state for each in ProgressReader(settings).follow("b", 30)] == [BatchState.REJECTED]
    later.join()


def test_following_gives_up_in_time(settings: Settings, batches: Batches) -> None:
    """The message tells an unknown batch from one that goes on."""
    before = time.monotonic()
    with pytest.raises(BatchTimeoutError, match=r"batch b: no progress within 1 s; are a worker and a gateway running"):
        list(ProgressReader(settings).follow("b", 1))
    assert time.monotonic() - before < 10
    batches.write(progress(1))
    with pytest.raises(BatchTimeoutError, match=r"batch b has not ended within 1 s; it goes on"):
        list(ProgressReader(settings).follow("b", 1))


def test_unreadable_progress(settings: Settings, batches: Batches, caplog: pytest.LogCaptureFixture) -> None:
    """A record nobody here can read ends the following of its batch only; a list leaves it out and says so."""
    batches.write(progress(1, batch_id="other", state=BatchState.COMPLETED))
    batches.put("b", b"\xc3\x01" + b"\x00" * 8)
    with pytest.raises(UnreadableProgressError, match=r"progress of batch b: .*upgrade this program"):
        list(ProgressReader(settings).follow("b", 30))
    assert [each.revision for each in ProgressReader(settings).follow("other", 30)] == [1]
    assert list(ProgressReader(settings).latest()) == ["other"]
    assert "progress of batch b" in caplog.text


def test_nothing_to_read_from(broker: Broker) -> None:
    """Missing topics and a wrong address are named."""
    with pytest.raises(TopicMissingError, match=r"nowhere\.batches does not exist"):
        ProgressReader(load_settings(bootstrap_servers=broker.bootstrap, topic_prefix="nowhere.")).latest()
    with pytest.raises(BrokerUnavailableError, match=r"no Kafka broker at 127\.0\.0\.1:1"):
        list(ProgressReader(load_settings(bootstrap_servers="127.0.0.1:1")).follow("b", 1))
