"""Metrics and health of real processes on a real broker."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from streams.client import ProgressReader
from streams.config import Topic
from streams.model import Action, BatchState, Filter, Invocation, Invoke, StartBatch
from support.service.harness import Service
from support.service.scrape import Served
from support.service.worker_world import invocations

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streams.broker import Broker

PARTITIONS = 4
ANYWHERE = "127.0.0.1:0"


@pytest.fixture
def service(broker: Broker, tmp_path: Path) -> Iterator[Service]:
    """Topics, and nothing that runs."""
    with Service(broker.bootstrap, tmp_path, PARTITIONS) as made:
        yield made


def test_a_worker_tells_when_it_is_ready_and_what_it_does(service: Service) -> None:
    """Live from its start, ready once its partitions run; then its metrics are those of the table and the topics."""
    worker = service.worker("w", STREAMS_WORKER_HTTP=ANYWHERE)
    served = Served(worker)
    status, body = served.health("ready")
    assert (status, body["ready"], body["why"]) == (503, False, "no partitions assigned")
    assert served.health("live")[0] == 200
    assert served.await_ready()["partitions"] == {str(each): "RUNNING" for each in range(PARTITIONS)}
    service.send(*invocations(range(500)))
    service.send_raw(b"garbage")
    service.start_batch(StartBatch("kill", Action.KILL, Filter(services=("orders",))))
    assert service.await_batch("kill").total("done") == 500
    log = service.settle()
    time.sleep(2.5)  # what stands rather than happens is looked at once a second
    assert sum(served.samples("streams_invocations").values()) == 500
    assert served.samples("streams_batches")[("COMPLETED",)] == 1
    letters = served.samples("streams_dead_letters_total")
    assert {code: count for code, count in letters.items() if count} == {("not_avro",): 1}
    commands = served.samples("streams_commands_total")
    assert (commands[("Invoke",)], commands[("StartBatch",)]) == (500, 1)
    assert sum(commands.values()) == len(log) - 1
    written = served.samples("streams_written_total")
    assert written[(Topic.SIGNALS,)] == len(service.read(Topic.SIGNALS)) == 1_000
    assert served.samples("streams_restore_ratio") == {(str(each),): 1 for each in range(PARTITIONS)}
    lag = served.samples("streams_lag_records")
    assert len(lag) == PARTITIONS
    assert all(each <= 10 for each in lag.values()), lag
    assert served.samples("streams_turn_seconds_count")[()] > 0
    assert served.samples("process_resident_memory_bytes")[()] > 0
    assert worker.terminate() == 0


def test_a_second_worker_with_the_same_address_ends_with_a_line_that_says_so(service: Service) -> None:
    """The setting is named, and what to do; the first goes on."""
    first = service.worker("first", STREAMS_WORKER_HTTP=ANYWHERE)
    served = Served(first)
    taken = served.address.removeprefix("http://")
    second = service.worker("second", STREAMS_WORKER_HTTP=taken)
    assert second.wait() == 1
    assert f"STREAMS_WORKER_HTTP={taken}: Address already in use; each process" in second.output()
    assert "Traceback" not in second.output()
    assert served.health("live")[0] == 200


def test_a_gateway_tells_when_it_is_ready_and_what_it_merges(service: Service) -> None:
    """Live from its start, ready once it merges; then its metrics are those of the topics."""
    gateway = service.program("gateway", ["gateway"], STREAMS_GATEWAY_HTTP=ANYWHERE)
    served = Served(gateway)
    assert served.health("live")[0] == 200
    status, body = served.health("ready")
    assert (status, body["ready"], "merge" in body["missing"]) == (503, False, True)
    assert served.await_ready()["partitions"]
    service.worker("w")
    service.send(Invoke(Invocation("i", "orders", "run")))
    service.start_batch(StartBatch("kill", Action.KILL, Filter(services=("orders",))))
    *_, last = ProgressReader(service.settings).follow("kill", 60)
    assert (last.state, last.done) == (BatchState.COMPLETED, 1)
    time.sleep(2.5)
    assert served.samples("streams_gateway_records_total")[()] == len(service.read(Topic.BATCH_SLICES))
    assert served.samples("streams_gateway_published_total")[()] == len(service.read(Topic.BATCHES))
    assert served.samples("streams_gateway_batches")[()] == 1
    lag = served.samples("streams_gateway_lag_records")
    assert lag.keys() == {(str(each),) for each in served.await_ready()["partitions"]}
    assert all(each <= 10 for each in lag.values()), lag
    assert gateway.terminate() == 0
