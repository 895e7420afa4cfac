"""Partitions' tables in files, and workers that answer queries about them over HTTP; partitions move between these."""

from __future__ import annotations

from contextlib import ExitStack
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self, cast

from streams.clock import wall_clock
from streams.codec import encode_invocation
from streams.config import Settings
from streams.engine.answers import At, PageSizes
from streams.engine.effects import InsertRow
from streams.health import LoopProbe, serving
from streams.listing.fanout import FanOut
from streams.model import Invocation, Row, Status
from streams.protocol.routing import partition_of, routing_key
from streams.state.store import Store
from streams.state.table import Table
from streams.worker.queries import Queries

if TYPE_CHECKING:
    from pathlib import Path

    from streams.engine.effects import Effect
    from streams.listing.signing import QuerySecret
    from streams.model import WorkerAddress
    from streams.worker.task import PartitionTask

SIZES = PageSizes(100, 100)


class _Probe(LoopProbe):
    def collect(self) -> Any:
        return iter(())

    def ready(self) -> Any:
        return self.live()


class ServedPartitions:
    """Tables of `partitions` partitions, and `workers` workers; at first the first worker has all."""

    def __init__(self, folder: Path, partitions: int, workers: int, secret: Path | None = None) -> None:
        self.settings = Settings(worker_query_secret_file=secret)
        self.stores = [Store.open(folder / f"{number}.sqlite3", number) for number in range(partitions)]
        self.tables = [Table(store, number, partitions, SIZES) for number, store in enumerate(self.stores)]
        self.workers = [Queries(self.settings, wall_clock, clock=lambda: 0.0) for _ in range(workers)]
        self.tasks: dict[int, SimpleNamespace] = {}
        self.addresses: dict[int, WorkerAddress] = {}
        self.next_seq = 0
        self._stack = ExitStack()
        for worker in self.workers:
            place = self._stack.enter_context(serving("127.0.0.1:0", "X", _Probe(9), {"/queries/": worker.app}))
            assert place is not None
            worker.served_at(place)
        for number in range(partitions):
            self.move(number, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for partition in list(self.tasks):
            self.take_away(partition)
        self._stack.close()
        for store in self.stores:
            store.close()

    def fan_out(self, secret: QuerySecret | None = None) -> FanOut:
        """A gateway's queries."""
        return FanOut(lambda: self.addresses, lambda: len(self.tables), secret)

    def take_away(self, partition: int) -> None:
        """Nobody has it any longer; its address stays."""
        task = self.tasks.pop(partition, None)
        if task is not None:
            task.listing.close()

    def move(self, partition: int, worker: int) -> None:
        """Another worker has it, and says so."""
        self.take_away(partition)
        store = self.stores[partition]
        task = self.tasks[partition] = SimpleNamespace(partition=partition, file=store.path, store=store)
        self.workers[worker].serve(cast("PartitionTask", task), f"w-{worker}")
        self.addresses[partition] = task.address

    def invoke(self, *names: str, created_at: int = 0, **fields: Any) -> list[Row]:
        """New rows on their partitions."""
        rows = []
        for name in names:
            partition, self.next_seq = partition_of(routing_key(name), len(self.tables)), self.next_seq + 1
            invocation = Invocation(name, "mail", "send", labels={"name": name})
            row = Row(name, encode_invocation(invocation), self.next_seq, 0, Status.RUNNING, 1, -1, created_at, 0)
            self.turn(partition, InsertRow(row, invocation, **fields))
            rows.append(row)
        return rows

    def turn(self, partition: int, *effects: Effect) -> None:
        """A turn of these effects, committed."""
        table = self.tables[partition]
        table.begin()
        table.absorb(effects, At(partition, self.next_seq, 0))
        table.set_position(self.next_seq + 1, 0)
        table.flush()
        table.commit(self.next_seq, 1)
