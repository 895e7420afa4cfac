"""A list paged to its end over HTTP: rows of one created_at end, go and arrive, and partitions change owners."""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from confluent_kafka import Producer

from streams import codec
from streams.cli.gateway import Gateway
from streams.config import Topic
from streams.model import Action, Filter, StartBatch
from streams.protocol.routing import command_key
from support.service.harness import Service
from support.service.scrape import Served
from support.service.worker_world import invocations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from streams.broker import Broker

ROWS = int(10_000 * float(os.environ.get("STREAMS_TEST_SCALE", "0.2")))
LIMIT = 25
TENTH = [f"tenth-{number}" for number in range(10)]
"""The services, with a tenth of the rows each."""
ALL = Filter(match_all=True)


@pytest.fixture
def service(broker: Broker, tmp_path: Path) -> Iterator[Service]:
    """Two workers, whose partitions hold rows of one created_at each, and a gateway."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"0123456789abcdef")
    secret.chmod(0o600)
    serving = {"STREAMS_WORKER_HTTP": "127.0.0.1:0", "STREAMS_WORKER_QUERY_SECRET_FILE": str(secret)}
    with Service(broker.bootstrap, tmp_path, 4, **serving) as made:
        made.await_partitions(made.worker("a"), made.worker("b"))
        at_once(made)
        made.settle()
        made.program("gateway", ["gateway"])
        yield made


@pytest.fixture
def gateway(service: Service) -> Iterator[Gateway]:
    """The gateway as the command line asks it."""
    served = Served(service.programs["gateway"])
    served.await_ready()
    with httpx.Client(timeout=30) as http:
        yield Gateway(service.settings.model_copy(update={"gateway_url": served.address}), http)


def at_once(service: Service) -> None:
    """The rows, in one batch of records for each partition: the broker stamps a batch with one time."""
    producer = Producer(
        {
            "bootstrap.servers": service.settings.bootstrap_servers,
            "partitioner": "murmur2_random",
            "linger.ms": 60_000,
            "batch.size": 1_000_000,
            "log_level": 0,
        }
    )
    for number in range(ROWS):
        (command,) = invocations([number], service=TENTH[number % 10])
        producer.produce(service.settings.topic(Topic.COMMANDS), codec.encode(command), command_key(command))
    assert producer.flush(30) == 0


class Changes:
    """What happens beside the list, one step after the other, on a thread of its own."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._arrived = 0
        self.steps: list[Callable[[], None]] = [
            lambda: self._end(TENTH[6]),
            self._stop_a_worker,
            lambda: self._purge(TENTH[6]),
            lambda: self._end(TENTH[7]),
            self._start_it_again,
            lambda: self._purge(TENTH[7]),
            lambda: self._end(TENTH[8]),
        ]

    def _end(self, service: str) -> None:
        self._batch(Action.KILL, service)
        self._service.send_many(invocations(range(self._arrived, self._arrived + 100), "new", TENTH[0]))
        self._arrived += 100

    def _purge(self, service: str) -> None:
        self._batch(Action.PURGE, service)

    def _batch(self, action: Action, service: str) -> None:
        name = self._service.start_batch(StartBatch(f"{action}-{service}", action, Filter(services=(service,))))
        assert self._service.await_batch(name).total("done") == ROWS // 10

    def _stop_a_worker(self) -> None:
        assert self._service.programs["a"].terminate() == 0
        self._service.await_partitions(self._service.programs["b"])

    def _start_it_again(self) -> None:
        a, b = self._service.programs["a"], self._service.programs["b"]
        a.start()
        a.await_event("partition running")
        self._service.await_partitions(a, b)


@pytest.mark.timeout(300)
def test_rows_that_stand_throughout_are_listed_once_over_http(service: Service, gateway: Gateway) -> None:
    """Page by page, each change being made while the list goes on."""
    changes, found, cursor = Changes(service), list[dict[str, Any]](), None
    every = max(1, ROWS // LIMIT // (len(changes.steps) + 2))
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(lambda: None)
        for number in count():
            page = next(gateway.pages(ALL, LIMIT, cursor))
            found += page.items
            cursor = page.next_cursor
            if cursor is None:
                break
            if number % every == 0 and changes.steps:
                pending.result()
                pending = pool.submit(changes.steps.pop(0))
        pending.result()
    assert not changes.steps, "the list has ended before everything was changed"
    times = {(each["partition"], each["created_at"]) for each in found}
    assert len(times) == service.partitions, "the rows of a partition have one created_at"
    listed = Counter(each["invocation_id"] for each in found)
    assert set(listed.values()) == {1}
    stood = {f"i-{number}" for number in range(ROWS) if number % 10 < 6 or number % 10 == 9}
    assert stood <= listed.keys() <= {f"i-{number}" for number in range(ROWS)}
    service.settle()
    service.verify()
    counts = gateway.counts(ALL)
    assert (counts["exact"], counts["total"]) == (True, ROWS - 2 * (ROWS // 10) + 300)
