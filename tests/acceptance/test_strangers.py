"""A worker as a process, and a log to which strangers write: by other libraries, whatever they like."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import KafkaError, Producer

from streams import codec
from streams.config import Topic
from streams.model import BatchProgress, BatchState, Filter
from support.records.strangers import Strangers
from support.service.workload import invoke, kill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from support.kafka.reading import Entry
    from support.records.strangers import Strange
    from support.service.harness import Service
    from support.service.programs import Program

pytestmark = [pytest.mark.broker, pytest.mark.durable, pytest.mark.chaos, pytest.mark.timeout(1_200)]

SEED = "STREAMS_TEST_SEED"
"""Variable that repeats a run of the full size; each has a seed of its own, which it prints."""
FULL, SHORT = 100_000, 3_000
WARM = 0.3
"""Part of the records after which the worker has all that it is going to keep."""
GROWTH_MIB = 40
LAST = 200

Place = tuple[int, int]


def test_strangers_neither_stop_a_worker_nor_hold_it_up(make_service: Callable[..., Service], scale: float) -> None:
    """Each record is applied or a dead letter, once; what comes behind them is applied; memory is flat; it replays."""
    full = scale >= 1
    count = FULL if full else SHORT
    seed = int(os.environ.get(SEED) or (random.SystemRandom().randrange(2**32) if full else 1))
    print(f"{count} records of strangers, {SEED}={seed}")  # noqa: T201 - beside a failure
    service = make_service()
    worker, gateway = service.worker("a"), service.program("gateway", ["gateway"])
    service.await_partitions(worker)
    records = Strangers(seed, service.partitions).records(count)
    kinds: dict[Place, str] = {}
    used = []
    for _ in range(10):
        kinds |= _send(service, islice(records, count // 10))
        service.settle(timeout=300)
        used.append(_memory_mib(worker))
    _check_goes_on(service, "last")
    assert len(kinds) == count
    assert len(service.settle()) < 3 * count, "records of workers cause records of workers, without end"
    _check_dead_letters(service, kinds)
    assert max(used[int(10 * WARM) :]) - used[int(10 * WARM) - 1] < GROWTH_MIB, f"MiB, after each tenth: {used}"
    assert not worker.events("turn aborted, its input is read again")
    assert len(worker.events("partition running")) == service.partitions
    assert gateway.running
    assert not gateway.events("gateway starts again")
    service.verify()
    worker.kill9()
    service.await_partitions(service.worker("b"))
    _check_goes_on(service, "restored")


def _check_goes_on(service: Service, name: str) -> None:
    """What is invoked now gets its row, a batch ends it, and the gateway says so."""
    service.send_many(invoke(f"{name}-{number}", name) for number in range(LAST))
    service.settle()
    found = {entry.key for entry in service.read(Topic.CHANGELOG) if entry.value is not None}
    assert {f"i/{name}-{number}" for number in range(LAST)} <= found
    service.await_batch(service.start_batch(kill(name, Filter(services=(name,)))))
    with service.reader(Topic.BATCHES) as batches:
        deadline = time.monotonic() + 30
        while not any(_over(entry, name) for entry in batches.entries):
            assert time.monotonic() < deadline, f"the gateway never says that {name} is over"
            batches.more(0.2)


def _over(entry: Entry, batch_id: str) -> bool:
    if entry.key != batch_id or entry.value is None:
        return False
    progress = codec.decode(entry.value)
    return isinstance(progress, BatchProgress) and progress.state is BatchState.COMPLETED


def _send(service: Service, records: Iterable[Strange]) -> dict[Place, str]:
    """Write the records as they are, compressed in batches; returns where each stands, and of which kind it is."""
    places: dict[Place, str] = {}
    producer = Producer(
        {
            "bootstrap.servers": service.settings.bootstrap_servers,
            "compression.type": "gzip",
            "linger.ms": 20,
            "message.max.bytes": 8 * 1024 * 1024,
            "log_level": 0,
        }
    )
    for record in records:

        def delivered(error: KafkaError | None, message: Any, kind: str = record.kind) -> None:
            assert error is None, f"{kind}: {error}"
            places[message.partition(), message.offset()] = kind

        topic = service.settings.topic(Topic.COMMANDS)
        producer.produce(topic, record.value, record.key, record.partition, delivered, headers=record.headers)
        producer.poll(0)
    assert producer.flush(120) == 0
    return places


def _check_dead_letters(service: Service, kinds: dict[Place, str]) -> None:
    """Each stands for one record, and what nobody can read is among them."""
    codes: dict[Place, str] = {}
    letters = [letter.headers for letter in service.read(Topic.DEAD_LETTERS)]
    for headers in letters:
        codes[int(headers["source-partition"]), int(headers["source-offset"])] = headers["error-code"]
    assert len(codes) == len(letters), "a record is a dead letter twice"
    assert not [place for place, kind in kinds.items() if kind == "foreign" and place not in codes]
    refused = Counter(codes[place] for place, kind in kinds.items() if kind.startswith("valid") and place in codes)
    assert set(refused) <= {"conflicting_invoke", "batch_id_conflict", "unknown_batch"}, refused


def _memory_mib(worker: Program) -> float:
    """What the process has in memory now; 0 where the system does not say it in /proc."""
    assert worker.process is not None
    file = Path(f"/proc/{worker.process.pid}/status")
    if not file.exists():
        return 0.0
    fields = dict(line.split(":", 1) for line in file.read_text(encoding="utf-8").splitlines() if ":" in line)
    return int(fields["VmRSS"].split()[0]) / 1_024
