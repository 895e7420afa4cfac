"""One partition's task in a worker."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from streams.model import ENGINE_VERSION, Tick
from streams.state.table import Table
from streams.worker.cycle import Cycle
from streams.worker.flow_outlet import EVERY_MS, FlowOutlet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from streams.config import Settings
    from streams.engine.answers import PageSizes
    from streams.model import WorkerAddress
    from streams.state.listing import Listing
    from streams.state.store import Store
    from streams.worker.clock_ahead import Places
    from streams.worker.items import Item
    from streams.worker.topics import Topics

MIN_TICK_GAP_MS = 50
"""Pause between two ticks for a partition: a broker whose clock is behind must not cause a storm of them."""

STANDING_TICK_GAP_MS = 5_000
"""The same while the broker's clock is so far ahead that no partition clock follows it: such a tick only checks
whether it is right again."""

_TOGETHER_S = 5.0
"""Longest wait of newly taken-over partitions for one another before time acts on them, seconds."""

RETENTION_CHECK_MS = 5_000
"""Interval at which a partition looks for something to forget."""


class Phase(Enum):
    """The progress of a takeover. It only moves forwards, to GIVEN_UP, or back to CLAIMED after an abort or a pause."""

    CLAIMED = "waits for its committed offset"
    RESTORING = "replays the changelog"
    RUNNING = "applies commands"
    GIVEN_UP = "cannot go on, and is tried again later"


_NEXT = {Phase.CLAIMED: Phase.RESTORING, Phase.RESTORING: Phase.RUNNING}


@dataclass
class Replay:
    """The replay of a takeover: the offsets asked of Kafka, and its progress in the changelog."""

    committed: int | None = None
    """The group's offset; None if there is none."""
    log_start: int = 0
    """The first offset of the partition's commands."""
    changelog_begin: int = 0
    """The first offset of its changelog."""
    begin: int = 0
    target: int = 0
    position: int = 0
    """The offset after the last record applied."""
    records: int = 0
    saved_at: int = 0
    """Wall-clock ms of the commit that the store started from."""

    @property
    def ratio(self) -> float:
        """The replayed part of the missing changelog, 0 to 1."""
        missing = self.target - self.begin
        return min(1.0, max(0, self.position - self.begin) / missing) if missing > 0 else 0.0


class PartitionTask:
    """A partition's store and table, the records consumed but not applied yet, and its ticks."""

    def __init__(self, partition: int, store: Store, file: Path, leave: Callable[[], None] = lambda: None) -> None:
        self.partition = partition
        self.store = store
        self.file = file
        self.leave = leave
        """Leaves the file, once it is closed, to other processes."""
        self._phase = Phase.CLAIMED
        self.backlog: deque[Item] = deque()
        self.table: Table | None = None
        self.claims = 0
        """Number of claims so far."""
        self.replay = Replay()
        """The latest takeover's."""
        self.doubted: tuple[int, int] | None = None
        """The last pair of committed offset and table's offset that disagreed."""
        self.stood_to = 0
        """The end of `commands` when the partition was claimed; 0 once the commands up to there are applied."""
        self.runs_since = 0.0
        """When it began to apply commands, by the monotonic clock."""
        self.fault: str | None = None
        """Why it was given up."""
        self.again_at = 0.0
        """When it is tried again, by the monotonic clock."""
        self.tick_outstanding: int | None = None
        self.flows = FlowOutlet()
        self.cycle = Cycle()
        self.page_turn = -1
        self.ahead_ms = 0
        """By how much its last record was stamped too far ahead, ms: its time stands still. 0 otherwise."""
        self.listing: Listing | None = None
        """The queries on its table; open while it runs."""
        self.address: WorkerAddress | None = None
        """Where its queries are answered; None: nowhere."""
        self.address_published = False
        self.known_ahead: Places | None = None
        """If the log is applied once more: the records that were found to be stamped too far ahead the first time."""
        self._last_tick_at = 0
        self._last_retention_check = 0

    @property
    def phase(self) -> Phase:
        """The progress of its takeover; moved by `transit`, `claim` and `give_up`."""
        return self._phase

    def transit(self, to: Phase) -> None:
        """Go on with the takeover: from CLAIMED to RESTORING, and then to RUNNING."""
        if _NEXT.get(self._phase) is not to:
            raise AssertionError(f"partition {self.partition}: {self._phase.name} is not followed by {to.name}")
        self._phase = to

    @property
    def restore_ratio(self) -> float:
        """The replayed part of the missing changelog, 0 to 1; 1 once it runs."""
        return 1.0 if self.phase is Phase.RUNNING else self.replay.ratio

    @property
    def running_table(self) -> Table:
        """The table of a RUNNING partition."""
        if self.table is None:
            raise AssertionError(f"partition {self.partition} is not running")
        return self.table

    def open_table(self, topics: Topics, page_sizes: PageSizes) -> None:
        """Make the table on the restored store; `page_sizes`: as for `Table`."""
        self.table = Table(
            self.store,
            self.partition,
            topics.partitions,
            page_sizes,
            commands_topic_id=topics.commands_id,
            changelog_topic_id=topics.changelog_id,
        )
        self.flows.note(self.table.flows_since(self.table.meta.clock - EVERY_MS))

    def claim(self) -> None:
        """Go back to CLAIMED: all that is cached, left over or outstanding is void."""
        self._phase = Phase.CLAIMED
        self._end_queries()
        self.claims += 1
        self.fault = None
        self.backlog.clear()
        self.table = None
        self.tick_outstanding = None
        self.flows = FlowOutlet()
        self.ahead_ms = 0

    @property
    def comes(self) -> bool:
        """True if it is being taken over."""
        return self.phase in (Phase.CLAIMED, Phase.RESTORING)

    def give_up(self, why: str, again_at: float) -> None:
        """Stop the partition until it is claimed again."""
        self.store.rollback()
        self.claim()
        self._phase, self.fault, self.again_at = Phase.GIVEN_UP, why, again_at

    def caught_up(self, position: int) -> bool:
        """True if the log up to its end at the takeover is applied: time must not act before a kill that was in there.

        `position`: that of the reader of commands, which passes markers, too.
        """
        if self.stood_to:
            reached = self.running_table.meta.next_offset
            if not self.backlog:
                reached = max(reached, position)
            if reached >= self.stood_to:
                self.stood_to = 0
        return not self.stood_to

    def tick_due(self, now: int, settings: Settings) -> bool:
        """True if something is due that no outstanding `Tick` will do; `now`: wall-clock ms."""
        table = self.running_table
        # A clock that was set back gives a negative difference: waiting for it to catch up would stop time.
        gap = STANDING_TICK_GAP_MS if self.ahead_ms else MIN_TICK_GAP_MS
        if self.tick_outstanding == table.meta.tick_no + 1 or 0 <= now - self._last_tick_at < gap:
            return False
        due = table.next_due()
        if (due is not None and due <= now) or self._flow_due(now, settings.reconcile_interval_ms):
            return True
        if table.meta.reconcile_labels != settings.reconcile_labels:
            # Members that join bring the labels that the last Tick names: it must not wait until something is due.
            return True
        if 0 <= now - self._last_retention_check < RETENTION_CHECK_MS:
            return False
        self._last_retention_check = now
        return table.retention_due(now - settings.retention_ms, now - settings.batch_retention_ms)

    def _flow_due(self, now: int, interval_ms: int) -> bool:
        """True if the reconciler has a flow to choose, and its last choice is long enough ago."""
        table = self.running_table
        due = table.next_flow_due()
        return due is not None and now - interval_ms >= max(due, table.meta.reconciled_at)

    def new_tick(self, now: int, settings: Settings, sizes: PageSizes) -> Tick:
        """The next `Tick`, which the caller appends to the log; `now`: wall-clock ms."""
        self._last_tick_at = now
        self.tick_outstanding = self.running_table.meta.tick_no + 1
        return Tick(
            engine_version=ENGINE_VERSION,
            partition=self.partition,
            tick_no=self.tick_outstanding,
            due_until=now,
            ended_before=now - settings.retention_ms,
            batches_ended_before=now - settings.batch_retention_ms,
            reconcile_interval_ms=settings.reconcile_interval_ms,
            reconcile_labels=settings.reconcile_labels,
            max_rows=min(sizes.max_due, settings.tick_max_rows),
            max_bytes=sizes.max_bytes,
        )

    def close(self) -> None:
        """Close the store, and leave its file; uncommitted changes are rolled back."""
        self.close_store()
        self.leave()

    def close_store(self) -> None:
        """Close the store; uncommitted changes are rolled back."""
        self.table = None
        self._end_queries()
        self.store.close()

    def _end_queries(self) -> None:
        listing, self.listing, self.address = self.listing, None, None
        self.address_published = False
        if listing is not None:
            listing.close()


def with_time(running: Iterable[PartitionTask], owned: int, position: Callable[[int], int]) -> list[PartitionTask]:
    """The partitions on which time may act: those that have applied what was in their logs at the takeover.

    They also wait a moment for the other partitions: a batch in its lead's log still has to reach the others, and time
    must not act before it.

    Args:
        running: the partitions that apply commands.
        owned: number of partitions that the worker has, running or not.
        position: returns the position of the reader of a partition's commands.
    """
    ready = [task for task in running if not task.stood_to or task.caught_up(position(task.partition))]
    if len(ready) == owned:
        return ready
    now = time.monotonic()
    return [task for task in ready if now - task.runs_since > _TOGETHER_S]
