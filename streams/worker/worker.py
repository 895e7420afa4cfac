"""The worker: consume, decide, checkpoint, again."""

from __future__ import annotations

import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Any

import structlog

from streams.clock import wall_clock
from streams.errors import PartitionError
from streams.kafka.clients import KafkaClients
from streams.kafka.errors import ConsumerFencedError, KafkaFailureError, ProducerFencedError, TransactionAbortedError
from streams.worker.connections import Connections
from streams.worker.culprit import Culprit
from streams.worker.given_up import give_up_partition, try_again
from streams.worker.housekeeping import Collector, WalKeeper
from streams.worker.intake import await_pages, late_pages, sort_in, with_pages
from streams.worker.items import items_of
from streams.worker.observer import WorkerObserver
from streams.worker.outbox import tell_dead_letters
from streams.worker.page_sizes import Budget, TunedSizes
from streams.worker.pipeline import Pipeline
from streams.worker.rebalance import Rebalance
from streams.worker.repair import Repair
from streams.worker.startup import check_count, learn_topics, tell_start
from streams.worker.state_folder import StateFolder, open_store
from streams.worker.task import PartitionTask, Phase, with_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from streams.config import Settings
    from streams.kafka.clients import Clients
    from streams.worker.items import Item
    from streams.worker.queries import Queries
    from streams.worker.turn import Turn

log = structlog.get_logger("streams.worker")


_PLENTY = 50
"""With this many commands at hand, there is enough to do without a page."""


class Worker:
    """One process's share of the partitions.

    `step()` is one turn; `run()` repeats it until `stop()`. Nothing consumes or polls between a turn's consume and its
    commit. Tests pass their own `clients` and `wall_clock` (milliseconds). `process`: its number, if it is one of
    several that share a state folder.
    """

    def __init__(
        self,
        settings: Settings,
        clients: Clients | None = None,
        wall_clock: Callable[[], int] = wall_clock,
        observer: WorkerObserver | None = None,
        queries: Queries | None = None,
        process: int | None = None,
    ) -> None:
        self._settings = settings
        clients = clients or KafkaClients()
        self._wall_clock = wall_clock
        self._observer = observer or WorkerObserver(wall_clock)
        self._queries = queries
        self._stopping = threading.Event()
        self.tasks: dict[int, PartitionTask] = {}
        self.rebalance = Rebalance()
        self._repair = Repair()
        self._metadata: Any = None
        self.sizes = TunedSizes(settings.tick_max_rows)
        self._culprit = Culprit(self.sizes)
        self._budget = Budget(settings.page_budget_ms)
        self.turns = 0
        self.applied = 0
        self._much_done = False
        self._folder = StateFolder(settings.state_dir, process)
        try:
            self._worker_id = self._folder.worker_id(settings.worker_id)
            self._topics = learn_topics(clients, settings)
            self.pipeline = Pipeline(settings, self._topics, self.sizes, self._culprit, self._budget, wall_clock)
            self.connections = Connections(
                clients, settings, self._topics, self._worker_id, self.rebalance, self._wall_clock
            )
        except BaseException:
            self._folder.close()
            raise

    # --- the loop ---

    def run(self) -> None:
        """Do turns until `stop()`, then close cleanly."""
        tell_start(self._settings, self._worker_id)
        keeper = WalKeeper(lambda: [task.store for task in list(self.tasks.values())])
        collector = Collector()
        try:
            while not self._stopping.is_set():
                collector.after_turn(busy=self.step())
            self.finish_ahead()
        finally:
            keeper.close()
            collector.close()
            self.close()
            log.info("worker stopped", turns=self.turns, applied=self.applied)

    @property
    def stopping(self) -> bool:
        """True if `stop()` was called."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Finish the turn, then end."""
        self._stopping.set()

    def step(self) -> bool:
        """One turn: consume, follow the group, restore, apply and commit. Returns whether anything was to commit."""
        try:
            busy = self._step()
            standing = self.connections.standstill.look(self.tasks.keys())
            self._observer.came_round(self.tasks.values(), self.sizes.smallest(), self.connections.log_end, standing)
            if self._queries is not None:
                self._queries.came_round(busy=busy, much=self._much_done)
        except sqlite3.DatabaseError as error:
            for partition in self._repair.replace(self.tasks, error):
                self.connections.pause(partition)
            self._abort()
            return False
        return busy

    def _step(self) -> bool:
        try:
            items = self._consume()
            self._metadata = metadata = self.connections.group_metadata()
        except ConsumerFencedError as error:
            self._replace_consumer(str(error))
            return False
        self._follow_group()
        sort_in(self.tasks, items)
        for lost in self.connections.lost():
            self._give_up(lost)
        turn = None
        try:
            self._take_over()
            began = time.perf_counter()
            turn = self._apply()
            if turn is not None:
                turn.tune(self._budget)
                self.connections.checkpoint.commit(turn.outbox, turn.tasks, metadata, lambda: self._work_ahead(turn))
                self._after(turn, time.perf_counter() - began)
                return True
        except TransactionAbortedError as error:
            log.warning("turn aborted, its input is read again", why=str(error))
            fault = self._failed(turn, error)
            self._abort()
            self._give_up(fault)
        except ProducerFencedError as error:
            fault = self._failed(turn, error)
            self._replace_producer(str(error))
            self._give_up(fault)
        except PartitionError as error:
            self._give_up(error)
        return False

    def close(self) -> None:
        """Close everything: stores roll back uncommitted changes, the producer aborts an open transaction."""
        for task in self.tasks.values():
            task.close()
        self.tasks.clear()
        self.connections.close()
        self._folder.close()

    # --- consume ---

    def _consume(self) -> list[Item]:
        """Consume up to a turn's worth of records. Wait for the first one if none is left over, and for late pages."""
        left_over = sum(len(task.backlog) for task in self.tasks.values())
        room = self.sizes.room(self._settings.max_turn_records) - left_over
        if room <= 0:
            # Polling keeps the membership alive, so even with a full backlog one record is asked for.
            room = 1
        busy = left_over or self.pipeline.tasks
        takes_over = any(task.comes for task in self.tasks.values())
        busy = busy or (takes_over and not self.connections.takeover.waits)
        items = self._items(room, 0 if busy else self._settings.idle_poll_ms / 1_000)
        if len(items) >= _PLENTY:
            return items
        ahead = self.pipeline.tasks
        late = late_pages(task for task in self._running() if task not in ahead) - with_pages(items)
        return items + await_pages(self._items, late, room)

    def _items(self, most: int, wait_s: float) -> list[Item]:
        return items_of(self.connections.consume(most, wait_s), self._topics.partitions)

    # --- partitions come and go ---

    def _follow_group(self) -> None:
        assigned, revoked, lost = self.rebalance.take()
        self._observer.rebalanced(assigned, revoked, lost)
        for partition in sorted(revoked | lost):
            task = self.tasks.get(partition)
            if task is not None:
                if task in self.pipeline.tasks:
                    self._give_up_ahead()
                del self.tasks[partition]
                log.info("partition lost" if partition in lost else "partition revoked", partition=partition)
                task.close()
        for partition in sorted(assigned):
            log.info("partition assigned", partition=partition)
            check_count(partition, self._topics)
            file, leave = self._folder.take(partition)
            self.tasks[partition] = PartitionTask(partition, open_store(file, partition), file, leave)

    def _take_over(self) -> None:
        try_again(self.tasks)
        waiting = [task for task in self.tasks.values() if task.comes]
        if not waiting:
            return
        for task in self.connections.takeover.step(waiting, others_run=len(waiting) < len(self.tasks)):
            self._start(task)

    def _start(self, task: PartitionTask) -> None:
        task.open_table(self._topics, self.sizes.others(task.partition))
        next_offset = task.running_table.meta.next_offset
        if not self.connections.seek(task.partition, next_offset):
            # The next poll shows whether the partition was lost, or the consumer's place in the group.
            log.info("partition was taken away", partition=task.partition)
            task.claim()
            return
        task.transit(Phase.RUNNING)
        task.runs_since = time.monotonic()
        if self._queries is not None:
            self._queries.serve(task, self._worker_id)
        log.info(
            "partition running", partition=task.partition, next_offset=next_offset, rows=task.running_table.row_total()
        )

    # --- apply ---

    def _apply(self) -> Turn | None:
        """Apply what there is; None if there is nothing to write."""
        running = self._running()
        turn = self.pipeline.turn(self._culprit.suspects(self.tasks), len(running), self.turns)
        now = self._wall_clock()
        turn.write_ticks(with_time(running, len(self.tasks), self.connections.position), now)
        free = running if self._culprit.most is None else turn.tasks
        turn.publish_flows(free, now)
        turn.publish_addresses(list(free))
        return turn if turn.tasks or turn.outbox.commands else None

    def _work_ahead(self, committing: Turn) -> Sequence[PartitionTask]:
        if self.stopping or self._culprit.most is not None:
            return ()
        return self.pipeline.work_ahead(committing, self._running(), self.turns + 1)

    def _give_up_ahead(self) -> None:
        """Give up the work done ahead: one of its partitions is going away."""
        turn = self.pipeline.take()
        if turn is not None:
            self._claim(turn.tasks)

    def finish_ahead(self) -> None:
        """Commit the work done ahead, so that tables whose last turn waits for it end where their changelogs do.

        What is held back of flows is published with it.
        """
        turn = self.pipeline.take() or self.pipeline.new_turn()
        turn.publish_flows(self._running(), self._wall_clock(), at_once=True)
        if turn.tasks:
            try:
                self.connections.checkpoint.commit(turn.outbox, turn.tasks, self._metadata)
                self._after(turn, self.connections.checkpoint.transaction_s)
            except (TransactionAbortedError, ProducerFencedError) as error:
                log.warning("turn aborted, its input is read again", why=str(error))

    def _running(self) -> list[PartitionTask]:
        return [task for task in self.tasks.values() if task.phase is Phase.RUNNING]

    def _after(self, turn: Turn, took_s: float) -> None:
        transaction_s = self.connections.checkpoint.transaction_s
        self._observer.committed(turn, took_s, transaction_s)
        self._budget.committed(transaction_s)
        self._culprit.committed()
        self.turns += 1
        self.applied += turn.applied
        for cycle, name, by in turn.cycles:
            cycle.note(name, by)
        self._much_done = bool(turn.pages or turn.other_pages) or turn.applied >= _PLENTY
        tell_dead_letters(turn.outbox.dead_letters)

    # --- faults ---

    def _failed(self, turn: Turn | None, why: Exception) -> PartitionError | None:
        """Handle a turn that was not committed; returns the error of a partition that cannot go on, or None."""
        try:
            if turn is not None:
                self._culprit.failed(turn.taken, why, overdue=self.connections.checkpoint.overdue())
        except PartitionError as error:
            return error
        return None

    def _give_up(self, fault: PartitionError | None) -> None:
        if fault is not None:
            self._observer.gave_up("partition")
            if any(task.partition == fault.partition for task in self.pipeline.tasks):
                self._give_up_ahead()
            give_up_partition(self.tasks, fault, self.connections.pause)

    def _abort(self) -> None:
        self._observer.gave_up("turn")
        try:
            self.connections.checkpoint.abort()
        except (ProducerFencedError, TransactionAbortedError, KafkaFailureError) as error:
            self._replace_producer(str(error))
            return
        self._claim_all()

    def _replace_producer(self, why: str) -> None:
        """Replace the producer; the new one settles the old transaction. Every store is then checked again."""
        self._observer.gave_up("producer")
        self.connections.replace_producer(why)
        self._claim_all()

    def _replace_consumer(self, why: str) -> None:
        """Replace the consumer. Meanwhile, every partition may have gone to another worker."""
        self._observer.gave_up("consumer")
        self.pipeline.take()
        for task in self.tasks.values():
            task.close()
        self.tasks.clear()
        self.connections.replace_consumer(why)

    def _claim_all(self) -> None:
        """Claim every partition again: table and backlog go back to the last checkpoint."""
        self.pipeline.take()
        self._claim(self.tasks.values())

    def _claim(self, tasks: Iterable[PartitionTask]) -> None:
        for task in tasks:
            if task.table is not None:
                task.table.rollback()
                self.connections.pause(task.partition)
                task.claim()
