"""The executor's reports about itself, for `/metrics` and the health checks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import structlog

from streams.client.executor.run import Stop
from streams.client.executor.watch import Load, Watch
from streams.clock import wall_clock
from streams.config import variable
from streams.health import Health, LoopProbe, serving
from streams.metrics import OfExecutor, build_info, counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from prometheus_client import Metric

    from streams.client.executor.run import Outcome, Run

LIVE_WITHIN_S: Final = 120.0
"""A loop that has not come round for this long is stuck: it waits for a broker for at most a minute."""

LOOK_EVERY_S: Final = 1.0
"""Greatest age of a look at the executor, seconds."""


class ExecutorObserver(LoopProbe, Watch):
    """An executor's metrics and health, served at `address`; `places`: most handlers at once.

    The executor's thread calls `began`, `over` and `came_round`, the server's threads the rest. `clock`: seconds.
    """

    def __init__(self, address: str, places: int, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(LIVE_WITHIN_S, clock)
        self._address = address
        self._places = places
        self._load: Load | None = None
        self._look_at = self._came_round
        self._began: dict[Run, float] = {}
        self._started = OfExecutor.STARTED.total()
        self._ended = OfExecutor.ENDED.total()
        self._start_seconds = OfExecutor.START_SECONDS.distribution()
        self._run_seconds = OfExecutor.RUN_SECONDS.distribution()
        self.registry.register(self)

    # --- called by the executor ---

    def began(self, run: Run) -> None:
        """Count a handler that has begun; those that stop an invocation elsewhere are none."""
        if not run.starts:
            return
        self._began[run] = self._clock()
        self._started.add(1, run.context.invocation.service)
        self._start_seconds.observe(max(0, wall_clock() - run.context.at) / 1_000)

    def over(self, run: Run, outcome: Outcome) -> None:
        """Count a run that is over, by what becomes of its invocation."""
        if not run.starts:
            return
        began = self._began.pop(run, None)
        if began is not None:
            self._run_seconds.observe(self._clock() - began)
        told = "LEFT" if outcome.to is None else outcome.to
        self._ended.add(1, "KILLED" if run.stop is Stop.KILL else told, run.context.invocation.service)

    def came_round(self, load: Callable[[], Load]) -> None:
        """Note that the loop has come round; about once a second, look at the executor."""
        now = self._came_round = self._clock()
        if now >= self._look_at:
            self._look_at = now + LOOK_EVERY_S
            self._load = load()

    def serving(self) -> AbstractContextManager[object]:
        """Serve metrics and health while the context lasts."""
        if not structlog.is_configured():
            # It would write to stdout: the program's own logging decides where lines go.
            structlog.configure(
                [structlog.stdlib.filter_by_level, structlog.processors.KeyValueRenderer(key_order=["event"])],
                structlog.stdlib.BoundLogger,
                logger_factory=structlog.stdlib.LoggerFactory(),
            )
        return serving(self._address, variable("executor_http"), self)

    # --- called by the server ---

    def collect(self) -> Iterator[Metric]:
        """The counters, and the gauges as of the last look."""
        yield build_info("executor")
        yield from counted(self)
        age, places = OfExecutor.LOOP_AGE.family(), OfExecutor.PLACES.family()
        age.add_metric([], self._age_s())
        places.add_metric([], self._places)
        yield from (age, places)
        if self._load is None:
            return
        now = self._load
        for metric, amount in (
            (OfExecutor.RUNNING, now.running),
            (OfExecutor.WAITING, now.waiting),
            (OfExecutor.HELD_BYTES, now.held_bytes),
        ):
            family = metric.family()
            family.add_metric([], amount)
            yield family
        lag = OfExecutor.LAG.family()
        for partition, records in now.lag.items():
            lag.add_metric([str(partition)], records)
        yield lag

    def ready(self) -> Health:
        """True if it has partitions and its loop comes round."""
        partitions = 0 if self._load is None else self._load.partitions
        why = "the loop does not come round" if not self.live().ok else None if partitions else "no partitions assigned"
        reasons = {} if why is None else {"why": why}
        return Health(why is None, {"ready": why is None, **reasons, "partitions": partitions})
