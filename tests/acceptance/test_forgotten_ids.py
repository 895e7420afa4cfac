"""Kafka forgets transactional ids and producer ids that were idle for long: nobody ends, or waits, because of it."""

from __future__ import annotations

import contextlib
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


class _Ids:
    """Transactional ids, by the topic in which Kafka notes each change of one, and a tombstone when it drops one."""

    def __init__(self, broker: Broker, *ids: str) -> None:
        self._reader = TopicReader(broker.bootstrap, "__transaction_state", wait_ms=200)
        self._forgotten = dict.fromkeys(ids, 0)

    def await_forgotten(self) -> None:
        """Until Kafka knows none of them, and each has been known since the last call.

        A gateway publishes the end of a batch first, and takes its id again later: what is forgotten until then is from
        the time before.
        """
        deadline = time.monotonic() + 60
        while True:
            self._reader.more(0.2)
            entries = self._reader.to_end()
            known = {each: [x.value is not None for x in entries if x.key.endswith(each)] for each in self._forgotten}
            forgotten = {each: alive.count(False) for each, alive in known.items()}
            if all(forgotten[each] > self._forgotten[each] and not known[each][-1] for each in known):
                self._forgotten = forgotten
                return
            assert time.monotonic() < deadline, f"not forgotten since {self._forgotten}: {known}"

    def close(self) -> None:
        """Close the connection."""
        self._reader.close()


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


def _taken_again(worker: Program, gateway: Program) -> tuple[int, int]:
    """How often each has taken its id again, by its own log."""
    renewed = gateway.events("Kafka has forgotten an idle transactional id: it is taken again")
    return len(worker.events("producer replaced")), len(renewed)


def test_worker_executor_and_gateway_go_on_after_their_ids_are_forgotten(
    forgetful: Broker, service_on: Callable[..., Service]
) -> None:
    """Thrice idle for long enough, the same processes do the next work at once, with ids that they take again."""
    service = service_on(forgetful.bootstrap, partitions=1)
    worker = service.worker("w")
    gateway = service.program("gateway", ["gateway"])
    executor = Program("executor", [], service.folder, service.environment)
    notes = service.folder / "notes"
    executor._args = [sys.executable, str(EXECUTOR), str(notes)]
    service.programs["executor"] = executor
    executor.start()
    gateway.await_event("gateway ready")
    prefix = service.settings.topic_prefix
    with contextlib.closing(_Ids(forgetful, f"{prefix}w", f"{prefix}gateway-0-0")) as ids:
        ids.await_forgotten()
        for life in range(3):
            before = _taken_again(worker, gateway)
            service.send(Invoke(Invocation(f"slow-{life}", "billing", "slow")))
            _await_lines(notes, life + 1)
            took = _killed_in(service, f"kill-{life}")
            assert life == 0 or took < 8, took
            service.settle()
            ids.await_forgotten()
            after = _taken_again(worker, gateway)
            assert after[0] > before[0], f"the worker has not taken its id again in life {life}"
            assert after[1] > before[1], f"the gateway has not taken its id again in life {life}"
    assert not gateway.events("gateway starts again")
    assert not worker.events("turn aborted, its input is read again")
    assert [each.terminate() for each in (worker, gateway, executor)] == [0, 0, 0]
    assert len(notes.read_text().splitlines()) == 3
    service.verify()
    assert service.read(Topic.DEAD_LETTERS) == []
