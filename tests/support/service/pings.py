"""Pings: unrelated invocations, one after the other, and how long each takes to its START signal."""

from __future__ import annotations

import time
from itertools import count
from statistics import median
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from streams import codec
from streams.config import Topic
from streams.model import Signal
from streams.protocol.routing import partition_of, routing_key
from support.service.background import Background
from support.service.workload import invoke

if TYPE_CHECKING:
    from collections.abc import Collection

    from support.kafka.reading import TopicReader
    from support.service.harness import Service

TIMEOUT = 60.0


class Ping(NamedTuple):
    """When it was sent (monotonic), and how long it took, seconds."""

    sent: float
    took: float


class Pinger(Background):
    """A thread that pings some partitions in turn, `every` seconds at most."""

    def __init__(self, service: Service, partitions: Collection[int], every: float = 0.03) -> None:
        super().__init__()
        self._service = service
        self._partitions = sorted(partitions)
        self._every = every
        self.pings: list[Ping] = []

    def await_pings(self, number: int) -> list[Ping]:
        """The next pings."""
        begin = len(self.pings)
        deadline = time.monotonic() + TIMEOUT
        while len(self.pings) < begin + number:
            self.require_no_error()
            assert time.monotonic() < deadline, f"{len(self.pings) - begin} of {number} pings in {TIMEOUT:g} s"
            time.sleep(0.02)
        return self.pings[begin:]

    def since(self, moment: float) -> list[Ping]:
        """Pings that were under way at that moment (monotonic), or sent later."""
        return [ping for ping in self.pings if ping.sent + ping.took >= moment]

    def work(self) -> None:
        """Ping one partition after the other."""
        with self._service.reader(Topic.SIGNALS) as reader:
            reader.to_end()
            for number in count():
                if self._stop.wait(self._every):
                    break
                self._ping(reader, self._partitions[number % len(self._partitions)])

    def _ping(self, reader: TopicReader, partition: int) -> None:
        invocation_id = self._id_on(partition)
        sent = time.monotonic()
        self._service.send(invoke(invocation_id, "ping"))
        while True:
            for entry in reader.more(0.05):
                signal = codec.decode(entry.value)
                if isinstance(signal, Signal) and signal.invocation.invocation_id == invocation_id:
                    self.pings.append(Ping(sent, time.monotonic() - sent))
                    return
            assert time.monotonic() < sent + TIMEOUT, f"no answer to a ping of partition {partition}"

    def _id_on(self, partition: int) -> str:
        while True:
            found = f"ping-{uuid4().hex}"
            if partition_of(routing_key(found), self._service.partitions) == partition:
                return found


def summary(pings: list[Ping]) -> tuple[float, float]:
    """(median, worst), seconds."""
    return median(ping.took for ping in pings), max(ping.took for ping in pings)
