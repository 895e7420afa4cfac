"""The gateway's reports about itself, for `/metrics` and the health checks."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import structlog

from streams.health import Health, LoopProbe
from streams.metrics import OfGateway, build_info, counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client import Metric

log = structlog.get_logger("streams.gateway")

LIVE_WITHIN_S: Final = 60.0
"""A loop that has not come round for this long, in seconds, is stuck: nothing in the gateway takes even one second."""

LOOK_EVERY_S: Final = 1.0
"""Greatest age of a snapshot, seconds."""


class GatewaySnapshot(NamedTuple):
    """A snapshot of the gateway; `lag` is by partition of `batch-slices`, for those it has."""

    lag: dict[int, int]
    batches: int
    hindered_by: str | None


class GatewayObserver(LoopProbe):
    """A gateway's metrics and health.

    `merged`, `started`, `watch` and `look` are for the event loop, the others for the server's threads. `clock` is in
    seconds, for ages only.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(LIVE_WITHIN_S, clock)
        self._snapshot = GatewaySnapshot({}, 0, "it starts")
        self._app: Any = None
        self._topic = ""
        self._rebalanced = 0
        self._records = OfGateway.RECORDS.total()
        self._published = OfGateway.PUBLISHED.total()
        self._merge_seconds = OfGateway.MERGE_SECONDS.distribution()
        self._rebalances = OfGateway.REBALANCES.total()
        self.registry.register(self)

    def merged(self, records: int, published: int, took_s: float) -> None:
        """Count a merge: its records of `batch-slices`, the resulting records of `batches`, and its time in seconds."""
        self._records.add(records)
        self._published.add(published)
        self._merge_seconds.observe(took_s)

    def started(self, app: Any, topic: str) -> None:
        """Note that the Faust app has its table and reads `topic`: from now on, `look` examines it."""
        self._app, self._topic = app, topic
        self.look()

    async def watch(self) -> None:
        """Call `look` periodically until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    def look(self) -> None:
        """Note that the loop has come round, and take a snapshot of the app."""
        self._came_round = self._clock()
        if self._app is None:
            return
        try:
            self._rebalances.add(self._app.rebalancing_count - self._rebalanced)
            self._rebalanced = self._app.rebalancing_count
            self._snapshot = _snapshot_of(self._app, self._topic)
        except Exception as error:  # noqa: BLE001 - Faust is in the middle of a change: the next look will succeed
            log.debug("the gateway cannot be looked at now", error=repr(error))

    def collect(self) -> Iterator[Metric]:
        """The counters, and the gauges as of the last snapshot."""
        yield build_info("gateway")
        yield from counted(self)
        age, lag, batches = OfGateway.LOOP_AGE.family(), OfGateway.LAG.family(), OfGateway.BATCHES.family()
        age.add_metric([], self._age_s())
        batches.add_metric([], self._snapshot.batches)
        for partition, records in self._snapshot.lag.items():
            lag.add_metric([str(partition)], records)
        yield from (age, lag, batches)

    def ready(self) -> Health:
        """True if its table is complete and it merges new records; False without a partition."""
        now = self._snapshot
        why = now.hindered_by if self.live().ok else "the loop does not come round"
        reasons = {} if why is None else {"why": why}
        return Health(why is None, {"ready": why is None, **reasons, "partitions": sorted(now.lag)})


def _snapshot_of(app: Any, topic: str) -> GatewaySnapshot:
    consumer = app.consumer
    lag = {}
    for place in consumer.assignment():
        if place.topic == topic:
            # As it reads committed records only, this is the last stable offset; None before the first fetch.
            end, last = consumer.highwater(place), consumer._read_offset.get(place)  # noqa: SLF001 - not public
            lag[place.partition] = max(0, (end or 0) - (0 if last is None else last + 1))
    batches = sum(len(table) for table in app.tables.values())
    return GatewaySnapshot(lag, batches, _hindrance(app, lag))


def _hindrance(app: Any, lag: dict[int, int]) -> str | None:
    if app.rebalancing:
        return "the group rebalances"
    if app.in_recovery:
        return "the table is being recovered"
    return None if lag else "no partitions assigned"
