"""Lists over real workers whose partitions change owners, signed and by the addresses that they publish."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from streams import codec
from streams.config import Topic
from streams.listing.fanout import FanOut
from streams.listing.query import CountQuery, ListQuery, OneQuery
from streams.listing.signing import QuerySecret
from streams.model import Action, Filter, StartBatch, Status, WorkerAddress
from support.service.harness import Service
from support.service.scrape import Served
from support.service.worker_world import invocations

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streams.broker import Broker
    from support.kafka.reading import TopicReader

PARTITIONS = 4
ROWS = 2_000


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """The file that workers and gateway share."""
    file = tmp_path / "secret"
    file.write_bytes(b"0123456789abcdef")
    file.chmod(0o600)
    return file


@pytest.fixture
def service(broker: Broker, tmp_path: Path, secret: Path) -> Iterator[Service]:
    """Topics, and nothing that runs; workers serve queries."""
    serving = {"STREAMS_WORKER_HTTP": "127.0.0.1:0", "STREAMS_WORKER_QUERY_SECRET_FILE": str(secret)}
    with Service(broker.bootstrap, tmp_path, PARTITIONS, **serving) as made:
        yield made


class Addresses:
    """The newest address of each partition, by the topic itself."""

    def __init__(self, reader: TopicReader) -> None:
        self._reader = reader
        self._read = 0
        self._newest: dict[int, WorkerAddress] = {}

    def __call__(self) -> dict[int, WorkerAddress]:
        """As known now."""
        self._reader.more()
        for entry in self._reader.entries[self._read :]:
            address = codec.decode(entry.value)
            assert isinstance(address, WorkerAddress)
            known = self._newest.get(address.partition)
            if known is None or known.revision <= address.revision:
                self._newest[address.partition] = address
        self._read = len(self._reader.entries)
        return self._newest


def test_a_list_goes_on_while_partitions_change_owners(service: Service, secret: Path) -> None:
    """A second worker takes half of them, and the first is killed; rows are ended meanwhile: each is listed once."""
    first = service.worker("a")
    service.await_partitions(first)
    service.send(*invocations(range(ROWS)))
    service.settle()
    with service.reader(Topic.WORKERS, 20) as reader:
        asyncio.run(_walk(service, Addresses(reader), QuerySecret(secret)))
    service.verify()


async def _walk(service: Service, addresses: Addresses, secret: QuerySecret) -> None:
    fan, found, pages = FanOut(addresses, lambda: PARTITIONS, secret), Counter[str](), 0
    query = ListQuery(Filter(match_all=True), limit=50)
    while True:
        page = await fan.page(query)
        found.update(view.invocation_id for view in page.items)
        pages += 1
        if page.next_cursor is None:
            break
        query = replace(query, cursor=page.next_cursor)
        match pages:
            case 5:
                second = service.worker("b")
                await asyncio.to_thread(service.await_partitions, service.programs["a"], second)
            case 10:
                service.start_batch(StartBatch("kill", Action.KILL, Filter(services=("orders",)), limit=500))
            case 20:
                service.programs["a"].kill9()
        if page.missing_partitions:
            await asyncio.sleep(0.2)
        assert pages < 1_000, page.missing_partitions
    assert found == dict.fromkeys((f"i-{number}" for number in range(ROWS)), 1)
    await asyncio.to_thread(service.await_batch, "kill")
    counts = await fan.counts(CountQuery())
    assert counts.exact
    assert counts.groups[0].counts == {Status.READY: ROWS - 500, Status.KILLED: 500}
    killed = await fan.page(ListQuery(Filter(batch_ids=("kill",)), limit=1))
    one = await fan.one(OneQuery(killed.items[0].invocation_id))
    assert one.view is not None
    assert (one.view.status, one.view.batch_id) == (Status.KILLED, "kill")
    assert {address.worker_id[-1] for address in addresses().values()} == {"b"}
    await fan.close()


def test_a_partition_without_rows_is_answered_for_and_verified(service: Service, secret: Path) -> None:
    """A fresh service counts nothing, exactly; its idle partitions have addresses and stay whole."""
    worker = service.worker("a")
    Served(worker).await_ready()
    with service.reader(Topic.WORKERS, 20) as reader:
        addresses = Addresses(reader)
        while len(addresses()) < PARTITIONS:
            service.require_programs("addresses are awaited")
        fan = FanOut(addresses, lambda: PARTITIONS, QuerySecret(secret))

        async def count() -> None:
            counts = await fan.counts(CountQuery())
            assert (counts.exact, counts.missing_partitions) == (True, ())
            assert sum(sum(group.counts.values()) for group in counts.groups) == 0
            await fan.close()

        asyncio.run(count())
    service.verify()
