"""The loop's reports about itself, once per turn, for `/metrics` and the health checks."""

from __future__ import annotations

import threading
import time
from collections import Counter
from types import NoneType
from typing import TYPE_CHECKING, Any, Final

from streams.engine import counters
from streams.engine.effects import Count
from streams.health import Health, LoopProbe
from streams.metrics import OfWorker, build_info, counted
from streams.model import Status
from streams.state.oldest import OldestReady
from streams.worker.snapshot import WorkerSnapshot, gauges, snapshot_of
from streams.worker.task import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from prometheus_client import Metric

    from streams.engine.answers import PageSizes
    from streams.worker.snapshot import PartitionSnapshot
    from streams.worker.standstill import Place
    from streams.worker.task import PartitionTask
    from streams.worker.turn import Turn

LIVE_WITHIN_S: Final = 180.0
"""A loop that has not come round for this long is stuck. Without a broker a turn gives up after 60 s, and so does its
replacement producer; a step of a restore takes milliseconds."""

STANDS_S: Final = 30.0
"""A partition is not ready once its command log has stood at an open transaction for this long. A dead worker's
transaction is over in 20 s if `STREAMS_TRANSACTION_TIMEOUT_MS` is 10 s."""

_FOR_NEWER: Final = frozenset({"newer_engine", "unknown_schema"})
"""Codes of dead letters that call for an upgrade; health reports them until a restart, which an upgrade includes."""

_RECONCILED: Final = {
    counters.RECONCILED_FLOWS: "flows",
    counters.RECONCILED_MEMBERS: "members",
    counters.RECONCILED_IN_VAIN: "in_vain",
    counters.REMOVED_ENTRIES: "entries",
}
"""The value of the label by the name of the engine's counter."""

SNAPSHOT_EVERY_S: Final = 1.0
"""Greatest age of a snapshot, seconds."""


class WorkerObserver(LoopProbe):
    """A worker's metrics and health.

    The loop calls `came_round`, `committed`, `rebalanced` and `gave_up`. The other methods are for the server's
    threads, which only read what the loop has published. `clock` is in seconds, for ages only.
    """

    def __init__(self, wall_clock: Callable[[], int], clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(LIVE_WITHIN_S, clock)
        self._wall_clock = wall_clock
        self._snapshot: WorkerSnapshot | None = None
        self._standing: Sequence[Place] = ()
        self._for_newer: Counter[str] = Counter()
        self._snapshot_at = self._came_round
        self._looking = threading.Lock()
        self._oldest: dict[int, OldestReady] = {}
        self._make_counters()
        self.registry.register(self)

    def _make_counters(self) -> None:
        self._commands = OfWorker.COMMANDS.total()
        self._dead_letters = OfWorker.DEAD_LETTERS.total()
        self._clock_ahead = OfWorker.CLOCK_AHEAD.total()
        self._forwarded = OfWorker.FORWARDED.total()
        self._without_effect = OfWorker.WITHOUT_EFFECT.total()
        self._reconciled = OfWorker.RECONCILED.total()
        self._ended = OfWorker.ENDED.total()
        self._start_seconds = OfWorker.START_SECONDS.distribution()
        self._written = OfWorker.WRITTEN.total()
        self._turn_seconds = OfWorker.TURN_SECONDS.distribution()
        self._transaction_seconds = OfWorker.TRANSACTION_SECONDS.distribution()
        self._page_seconds = OfWorker.PAGE_SECONDS.distribution()
        self._page_scanned = OfWorker.PAGE_SCANNED.distribution()
        self._page_matched = OfWorker.PAGE_MATCHED.distribution()
        self._rebalances = OfWorker.REBALANCES.total()
        self._partition_changes = OfWorker.PARTITION_CHANGES.total()
        self._faults = OfWorker.FAULTS.total()
        for count in vars(counters).values():
            if isinstance(count, Count):
                self._without_effect.add(0, count.name)

    # --- called by the loop ---

    def came_round(
        self,
        tasks: Iterable[PartitionTask],
        page_sizes: PageSizes,
        log_end: Callable[[int], int | None],
        standing: Sequence[Place] = (),
    ) -> None:
        """Note that the loop has come round; about once a second, take a snapshot of its state.

        `log_end` returns the end of a partition's log, if known; `standing`: the places where logs stand still.
        """
        now = self._came_round = self._clock()
        self._standing = standing
        if now >= self._snapshot_at:
            self._snapshot_at = now + SNAPSHOT_EVERY_S
            self._snapshot = snapshot_of(tasks, page_sizes, log_end)

    def committed(self, turn: Turn, turn_s: float, transaction_s: float) -> None:
        """Note a committed turn: it took `turn_s` seconds, `transaction_s` of them for its Kafka transaction."""
        self._turn_seconds.observe(turn_s)
        self._transaction_seconds.observe(transaction_s)
        for kind, count in turn.records.items():
            if kind is not NoneType:
                self._commands.add(count, kind.__name__)
        for name, count in turn.counts.items():
            what = _RECONCILED.get(name)
            if what is None:
                self._without_effect.add(count, name)
            else:
                self._reconciled.add(count, what)
        self._forwarded.add(turn.forwarded)
        self._note_lives(turn)
        self._clock_ahead.add(sum(run.records for run in turn.ahead))
        outbox = turn.outbox
        for topic, count in outbox.sizes().items():
            self._written.add(count, topic)
        for letter in outbox.dead_letters:
            self._dead_letters.add(1, letter.code)
            if letter.code in _FOR_NEWER:
                self._for_newer[letter.code] += 1
        for page in turn.pages:
            self._page_seconds.observe(page.took_ms / 1_000)
            self._page_scanned.observe(page.looks)
            self._page_matched.observe(page.matched)

    def _note_lives(self, turn: Turn) -> None:
        """Count the invocations that it has started and ended."""
        for (status, service), count in turn.ended.items():
            self._ended.add(count, status, service)
        now = self._wall_clock()
        for at, count in Counter(turn.outbox.started_at).items():
            self._start_seconds.observe(max(0, now - at) / 1_000, count)

    def rebalanced(self, assigned: Collection[int], revoked: Collection[int], lost: Collection[int]) -> None:
        """Count a rebalance, if the group's coordinator gave or took partitions."""
        if not (assigned or revoked or lost):
            return
        self._snapshot_at = self._came_round
        self._rebalances.add()
        for change, partitions in (("assigned", assigned), ("revoked", revoked), ("lost", lost)):
            self._partition_changes.add(len(partitions), change)

    def gave_up(self, fault: str) -> None:
        """Count a turn, producer, consumer or partition (a value of the label `fault`) that had to be given up."""
        self._snapshot_at = self._came_round
        self._faults.add(1, fault)

    # --- called by others ---

    def collect(self) -> Iterator[Metric]:
        """The counters, and the gauges as of the loop's last snapshot."""
        yield build_info("worker")
        yield from counted(self)
        age = OfWorker.LOOP_AGE.family()
        age.add_metric([], self._age_s())
        yield age
        if self._snapshot is not None:
            yield from gauges(self._snapshot, self._wall_clock())
            yield self._oldest_ready(self._snapshot)

    def _oldest_ready(self, snapshot: WorkerSnapshot) -> Metric:
        """The age of each partition's oldest READY row; absent where it could not be found in time."""
        family, now = OfWorker.OLDEST_READY.family(), self._wall_clock()
        running = [each for each in snapshot.partitions if each.phase is Phase.RUNNING and each.meta is not None]
        with self._looking:
            known = self._oldest
            self._oldest = {each.partition: known.get(each.partition) or OldestReady(each.file) for each in running}
            for each in running:
                ready = 0 if each.meta is None else each.meta.counts.get(Status.READY, 0)
                since = self._oldest[each.partition].since() if ready else now
                if since is not None:
                    family.add_metric([str(each.partition)], max(0, now - since) / 1_000)
        return family

    def lag(self, partition: int) -> int | None:
        """Offsets between a partition's last checkpoint and the end of its log at the last snapshot, if known."""
        partitions = () if self._snapshot is None else self._snapshot.partitions
        return next((each.lag for each in partitions if each.partition == partition), None)

    def ready(self) -> Health:
        """True if every partition given to this worker applies commands; False without partitions.

        A partition whose log stands at an open transaction does not.
        """
        partitions = () if self._snapshot is None else self._snapshot.partitions
        waiting = [each for each in partitions if each.phase is not Phase.RUNNING]
        given_up = [each for each in waiting if each.phase is Phase.GIVEN_UP]
        stands = [each for each in self._standing if each.seconds >= STANDS_S]
        if not self.live().ok:
            why: str | None = "the loop does not come round"
        elif not partitions:
            why = "no partitions assigned"
        elif given_up:
            why = f"{len(given_up)} of {len(partitions)} partitions cannot go on"
        elif waiting:
            why = f"{len(waiting)} of {len(partitions)} partitions are not running yet"
        elif any(each.of_commands for each in stands):
            why = f"{len(stands)} logs wait for a transaction that is open"
        else:
            why = None
        told: dict[str, Any] = {**_told(partitions), **({"waits_at": [str(each) for each in stands]} if stands else {})}
        if self._for_newer:
            told["dead_letters"] = dict(self._for_newer)
        if why is None:
            return Health(True, {"ready": True, **told})
        return Health(False, {"ready": False, "why": why, **told})


def _told(partitions: Collection[PartitionSnapshot]) -> dict[str, Any]:
    told: dict[str, Any] = {"partitions": {str(each.partition): _phase(each) for each in partitions}}
    if faults := {str(each.partition): each.fault for each in partitions if each.fault}:
        told["given_up"] = faults
    backlogs = [each.backlog for each in partitions if each.backlog is not None]
    if flows := sum(each.flows for each in backlogs):
        told["flows"] = {"cancelling": flows, "members_pending": sum(each.members for each in backlogs)}
    stand = {str(each.partition): _stands(each.ahead_ms) for each in partitions if each.ahead_ms}
    return {**told, "clock_ahead": stand} if stand else told


def _phase(each: PartitionSnapshot) -> str:
    return each.phase.name if each.phase is not Phase.RESTORING else f"RESTORING {each.restore_ratio:.0%}"


def _stands(ahead_ms: int) -> str:
    return f"time stands still: the broker's clock is {ahead_ms / 1_000:.0f} s ahead of this worker's"
