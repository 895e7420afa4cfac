"""Flows of a service on a real broker: what is published, what the gauges say, and what the changelog keeps."""

from __future__ import annotations

import time
from collections import Counter
from http.client import HTTPException
from itertools import count
from typing import TYPE_CHECKING, Self

from streams import codec
from streams.config import Topic
from streams.model import FlowProgress, Signal
from streams.protocol.routing import partition_of
from support.service.background import Background
from support.service.scrape import Served

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from streams.model import Invocation, SignalKind
    from support.kafka.reading import Entry
    from support.service.harness import Service
    from support.service.oracle import Table
    from support.service.programs import Program

METRICS = {"STREAMS_WORKER_HTTP": "127.0.0.1:0"}
"""Workers with gauges that `Gauges` can ask for."""


class FlowWatch:
    """The newest record of each flow. The numbers of every record add up."""

    def __init__(self, service: Service) -> None:
        self.newest: dict[str, FlowProgress] = {}
        self._service = service
        self._reader = service.reader(Topic.FLOWS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()

    def look(self) -> dict[str, FlowProgress]:
        """The flows, after what has come since."""
        for entry in self._reader.more(0.1):
            if entry.value is None:
                del self.newest[entry.key]
                continue
            flow = codec.decode(entry.value)
            assert isinstance(flow, FlowProgress)
            assert flow.members == flow.live + flow.pending + flow.ended + flow.kept + flow.failed
            self.newest[entry.key] = flow
        return self.newest

    def until(self, reached: Callable[[dict[str, FlowProgress]], bool], timeout: float = 120.0) -> None:
        """Wait until the flows are so."""
        deadline = time.monotonic() + timeout
        while not reached(self.look()):
            states = Counter(flow.state.value for flow in self.newest.values())
            self._service.require_programs(f"the flows are {states}")
            assert time.monotonic() < deadline, f"after {timeout:g} s the flows are {states}: {self.newest}"

    def until_each(
        self, flow_ids: Collection[str], reached: Callable[[FlowProgress], bool], timeout: float = 120.0
    ) -> list[FlowProgress]:
        """Wait until each of these flows is so; returns them."""
        self.until(lambda flows: all(each in flows and reached(flows[each]) for each in flow_ids), timeout)
        return [self.newest[each] for each in flow_ids]


def backlog(worker: Program) -> dict[str, float]:
    """The reconciler's backlog in flows and members; empty while the worker does not run, or does not know it."""
    if not worker.running or not worker.events("serving metrics and health"):
        return {}
    try:
        samples = Served(worker).samples("streams_reconciler_backlog")
    except (OSError, HTTPException):  # killed while it was asked
        return {}
    return {what: value for (what,), value in samples.items()}


class Gauges(Background):
    """The reconciler's backlog of these workers, asked for again and again; `most` is the highest of one worker."""

    def __init__(self, *workers: Program) -> None:
        super().__init__()
        self.most: Counter[str] = Counter()
        self._workers = workers

    def work(self) -> None:
        """Ask until it is told to end."""
        while not self._stop.wait(0.2):
            for worker in self._workers:
                for what, value in backlog(worker).items():
                    self.most[what] = max(self.most[what], round(value))

    def require_risen_and_fallen(self, timeout: float = 60.0) -> None:
        """The gauges have been up, and come back to zero in each worker."""
        assert self.most["flows"] > 0
        assert self.most["members"] > 0
        deadline = time.monotonic() + timeout
        while any(backlog(worker) != {"flows": 0, "members": 0} for worker in self._workers):
            assert time.monotonic() < deadline, [backlog(worker) for worker in self._workers]
            time.sleep(0.1)


def shared(service: Service, *workers: Program) -> dict[str, set[int]]:
    """Wait until these workers have the partitions between them; returns those of each."""
    deadline = time.monotonic() + 60
    while len(names := set((owners := service.await_partitions(*workers)).values())) < len(workers):
        assert time.monotonic() < deadline, owners
        time.sleep(0.1)
    return {name: {partition for partition, owner in owners.items() if owner == name} for name in names}


def ids_on(partitions: Collection[int], of: int, prefix: str) -> Iterator[str]:
    """Ids of flows or invocations that lie on these of `of` partitions."""
    assert partitions
    return (name for number in count() if partition_of(name := f"{prefix}-{number}", of) in partitions)


def quiet(service: Service, timeout: float = 300.0) -> list[Entry]:
    """The log, once every command is applied, and those that these have caused."""
    length = -1
    while len(log := service.settle(timeout)) != length:
        length = len(log)
    return log


def kept(changelog: Iterable[Entry], kinds: str) -> set[str]:
    """Keys of these kinds that compaction would keep."""
    newest = {(entry.partition, entry.key): entry.value for entry in changelog if entry.key[0] in kinds}
    return {key for (_, key), value in newest.items() if value is not None}


def check_reasons(table: Table, reason_of: Callable[[Invocation], str]) -> None:
    """Each row has ended, for the reason that it must have."""
    wrong = [
        (row.invocation.invocation_id, row.status, row.reason)
        for row in table.rows.values()
        if row.status.value not in {"KILLED", "CANCELLED"} or row.reason != reason_of(row.invocation)
    ]
    assert not wrong, f"{len(wrong)} of {len(table.rows)} rows, such as {wrong[:5]}"


def signals_of(entries: Iterable[Entry], kind: SignalKind) -> list[Signal]:
    """The signals of a kind."""
    found = [codec.decode(entry.value or b"") for entry in entries]
    return [each for each in found if isinstance(each, Signal) and each.kind is kind]
