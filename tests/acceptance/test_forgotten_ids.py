"""Kafka forgets transactional ids and producer ids that were idle for long: nobody ends, or waits, because of it."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from streams.broker import apache
from streams.client import ProgressReader
from streams.config import Topic
from streams.model import Action, BatchState, Filter, Invocation, Invoke, StartBatch
from support.kafka.reading import TopicReader
from support.service.programs import Program

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.broker import Broker
    from support.service.harness import Service

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]

FORGETFUL = {
    "transactional.id.expiration.ms": "1500",
    "transaction.remove.expired.transaction.cleanup.interval.ms": "300",
    "producer.id.expiration.ms": "1000",
    "producer.id.expiration.check.interval.ms": "300",
}
EXECUTOR = Path(__file__).parents[1] / "support" / "service" / "executor_program.py"


@pytest.fixture
def _forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, setting in FORGETFUL.items():
        monkeypatch.setitem(apache.SETTINGS, name, setting)


@pytest.fixture
def forgetful(_forgetful: None, own_broker: Broker) -> Broker:
    """A broker that forgets within seconds what others forget within days."""
    if own_broker.kind not in {"apache", "docker"}:
        pytest.skip(f"{own_broker.label} forgets nothing")
    return own_broker


def _await_forgotten(broker: Broker, *ids: str) -> None:
    """Until Kafka has dropped these transactional ids: tombstones in its own topic of them."""
    deadline = time.monotonic() + 60
    with TopicReader(broker.bootstrap, "__transaction_state") as reader:
        while True:
            reader.more(0.2)
            known = {entry.key: entry.value is not None for entry in reader.entries}
            if all(any(key.endswith(each) and not alive for key, alive in known.items()) for each in ids):
                return
            assert time.monotonic() < deadline, f"{ids} are not forgotten: {known}"


def _await_lines(notes: Path, count: int) -> None:
    """Until this number of handlers has begun."""
    deadline = time.monotonic() + 30
    while not notes.exists() or len(notes.read_text().splitlines()) < count:
        assert time.monotonic() < deadline, f"{count} handlers have not begun"
        time.sleep(0.05)


def _killed_in(service: Service, batch_id: str) -> float:
    """Seconds until a gateway has published the end of a batch."""
    before = time.monotonic()
    service.start_batch(StartBatch(batch_id, Action.KILL, Filter(match_all=True)))
    *_, last = ProgressReader(service.settings).follow(batch_id, 60)
    assert last.state is BatchState.COMPLETED
    return time.monotonic() - before


def test_worker_executor_and_gateway_go_on_after_their_ids_are_forgotten(
    forgetful: Broker, service_on: Callable[..., Service]
) -> None:
    """Twice idle for long enough, the same processes do the next work at once."""
    service = service_on(forgetful.bootstrap, partitions=1)
    worker = service.worker("w")
    gateway = service.program("gateway", ["gateway"])
    executor = Program("executor", [], service.folder, service.environment)
    notes = service.folder / "notes"
    executor._args = [sys.executable, str(EXECUTOR), str(notes)]
    service.programs["executor"] = executor
    executor.start()
    gateway.await_event("gateway ready")
    ids = [f"{service.settings.topic_prefix}w", f"{service.settings.topic_prefix}gateway-0-0"]
    for life in range(3):
        service.send(Invoke(Invocation(f"slow-{life}", "billing", "slow")))
        _await_lines(notes, life + 1)
        took = _killed_in(service, f"kill-{life}")
        assert life == 0 or took < 8, took
        service.settle()
        _await_forgotten(forgetful, *ids)
    assert not gateway.events("gateway starts again")
    assert len(gateway.events("Kafka has forgotten an idle transactional id: it is taken again")) >= 2
    assert len(worker.events("producer replaced")) >= 2
    assert not worker.events("turn aborted, its input is read again")
    assert [each.terminate() for each in (worker, gateway, executor)] == [0, 0, 0]
    assert len(notes.read_text().splitlines()) == 3
    service.verify()
    assert service.read(Topic.DEAD_LETTERS) == []
