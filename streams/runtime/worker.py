"""The worker: consume, decide, checkpoint, again."""

from __future__ import annotations

import contextlib
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any

import structlog
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams.config import Topic
from streams.errors import StreamsError
from streams.runtime.checkpoint import Checkpoint
from streams.runtime.housekeeping import Collector, WalKeeper
from streams.runtime.identity import StateFolder, open_store
from streams.runtime.intake import pages_a_turn, take_pages, take_shares
from streams.runtime.kafka import (
    ConsumerFencedError,
    KafkaClients,
    KafkaFailureError,
    ProducerFencedError,
    TransactionAbortedError,
    command_consumer,
    kafka_error,
    transactional_producer,
)
from streams.runtime.observer import Observer
from streams.runtime.pacing import first_sizes
from streams.runtime.rebalance import Rebalance
from streams.runtime.startup import learn_topics
from streams.runtime.takeover import Takeover
from streams.runtime.task import PartitionTask, Phase
from streams.runtime.turn import Turn
from streams.state.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from streams.config import Settings
    from streams.runtime.kafka import Clients

log = structlog.get_logger("streams.worker")

_FENCED_AGAIN_S = 60.0
"""A worker fenced twice within this time shares its transactional id with another."""


def wall_clock() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Worker:
    """One process's share of the partitions.

    `step()` is one turn; `run()` repeats it until `stop()`. Nothing consumes or polls between a turn's consume and its
    commit. Tests give their own `clients` and `wall_clock` (milliseconds).
    """

    def __init__(
        self,
        settings: Settings,
        clients: Clients | None = None,
        wall_clock: Callable[[], int] = wall_clock,
        observer: Observer | None = None,
    ) -> None:
        self._settings = settings
        self._clients = clients or KafkaClients()
        self._wall_clock = wall_clock
        self._observer = observer or Observer(wall_clock)
        self._stopping = threading.Event()
        self.tasks: dict[int, PartitionTask] = {}
        self.rebalance = Rebalance()
        self._ahead: Turn | None = None
        self.page_sizes = first_sizes(settings.tick_max_rows)
        self.turns = 0
        self.applied = 0
        self._fenced_at = self._unseated_at = float("-inf")
        self._folder = StateFolder(settings.state_dir)
        try:
            self._worker_id = self._folder.worker_id(settings.worker_id)
            self._topics = learn_topics(self._clients, settings)
            self._open_clients()
        except BaseException:
            self._folder.close()
            raise

    # --- the loop ---

    def run(self) -> None:
        """Turns until `stop()`; then a clean close."""
        log.info(
            "worker started",
            worker_id=self._worker_id,
            bootstrap_servers=self._settings.bootstrap_servers,
            state_dir=str(self._settings.state_dir),
            topic_prefix=self._settings.topic_prefix,
            shadow=self._settings.shadow,
        )
        keeper = WalKeeper(lambda: [task.file for task in list(self.tasks.values())])
        collector = Collector()
        try:
            while not self._stopping.is_set():
                collector.after_turn(busy=self.step())
        finally:
            keeper.close()
            collector.close()
            self.close()
            log.info("worker stopped", turns=self.turns, applied=self.applied)

    @property
    def stopping(self) -> bool:
        """Whether `stop()` was called."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Finish the turn, then end."""
        self._stopping.set()

    def step(self) -> bool:
        """One turn: consume, follow the group, restore, apply and commit; whether there was anything to commit."""
        busy = self._step()
        self._observer.came_round(self.tasks.values(), self.page_sizes, self._log_end)
        return busy

    def _step(self) -> bool:
        try:
            messages = self._consume()
        except ConsumerFencedError as exc:
            self._replace_consumer(str(exc))
            return False
        metadata = self._consumer.consumer_group_metadata()
        self._follow_group()
        self._sort_in(messages)
        try:
            self._take_over()
            began = time.perf_counter()
            turn = self._apply()
            if turn is not None:
                self.page_sizes = turn.next_page_sizes()
                self._checkpoint.commit(turn.outbox, turn.tasks, metadata, lambda: self._work_ahead(turn))
                self._after(turn, time.perf_counter() - began)
                return True
        except TransactionAbortedError as exc:
            log.warning("turn aborted, its input is read again", why=str(exc))
            self._abort()
        except ProducerFencedError as exc:
            self._replace_producer(str(exc))
        return False

    def close(self) -> None:
        """Close everything; stores roll back what is not committed, the producer aborts a transaction that is open.

        The producer goes before the consumer: closing that one hands the partitions on.
        """
        for task in self.tasks.values():
            task.close()
        self.tasks.clear()
        self._close_producer()
        self._takeover.close()
        self._consumer.close()
        self._folder.close()

    # --- consume ---

    def _consume(self) -> list[Any]:
        """Up to a turn's worth of records: wait for the first only, and only when none is left over."""
        left_over = sum(len(task.backlog) for task in self.tasks.values())
        room = self._settings.max_turn_records - left_over
        if room <= 0:
            # Polling is what keeps the membership alive, so a full backlog still asks for one record.
            room = 1
        busy = left_over or self._ahead is not None
        if busy or any(task.phase is not Phase.RUNNING for task in self.tasks.values()):
            messages = self._consumer.consume(room, timeout=0)
        else:
            first = self._consumer.poll(self._settings.idle_poll_ms / 1_000)
            if first is None:
                return []
            messages = [first, *(self._consumer.consume(room - 1, timeout=0) if room > 1 else [])]
        return [message for message in messages if self._is_record(message)]

    def _is_record(self, message: Any) -> bool:
        error = message.error()
        if error is None:
            return True
        if error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001 -- librdkafka's name for it
            raise StreamsError(
                f"{message.topic()} partition {message.partition()}: the next record to apply has been deleted "
                f"({error.str()}); the worker stops rather than skip it. Set the topic's retention longer than the "
                "longest downtime, and begin with new topics: see the operations page",
            )
        # A consumer's fatal error arrives as `_FATAL`, not marked fatal; fencing is the only one it knows.
        if error.code() in (KafkaError.FENCED_INSTANCE_ID, KafkaError._FATAL):  # noqa: SLF001 -- as above
            raise ConsumerFencedError(error.str())
        if error.fatal() or error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED):
            raise KafkaFailureError(f"consumer: {error.str()}")
        log.warning("consumer", error=error.str())
        return False

    def _sort_in(self, messages: list[Any]) -> None:
        for message in messages:
            task = self.tasks.get(message.partition())
            if task is not None and task.phase is Phase.RUNNING:
                task.backlog.append(message)

    # --- partitions come and go ---

    def _follow_group(self) -> None:
        assigned, revoked, lost = self.rebalance.take()
        self._observer.rebalanced(assigned, revoked, lost)
        for partition in sorted(revoked | lost):
            task = self.tasks.get(partition)
            if task is not None:
                if self._ahead is not None and task in self._ahead.tasks:
                    self._give_up_ahead()
                del self.tasks[partition]
                log.info("partition lost" if partition in lost else "partition revoked", partition=partition)
                task.close()
        for partition in sorted(assigned):
            log.info("partition assigned", partition=partition)
            if partition >= self._topics.facts.partitions:
                raise StreamsError(
                    f"{self._topics.commands} has got more partitions than the {self._topics.facts.partitions} it was "
                    "made with: the count is fixed for the life of the topics. Begin with new topics: "
                    "STREAMS_TOPIC_PREFIX",
                )
            file = self._folder.partition_file(partition)
            self.tasks[partition] = PartitionTask(partition, open_store(file, partition), file)

    def _log_end(self, partition: int) -> int | None:
        """Where the last fetch saw the log end, for metrics; None when it is not known."""
        with contextlib.suppress(KafkaException):
            place = TopicPartition(self._topics.commands, partition)
            end: int = self._consumer.get_watermark_offsets(place, cached=True)[1]
            return end if end >= 0 else None
        return None

    def _take_over(self) -> None:
        waiting = [task for task in self.tasks.values() if task.phase is not Phase.RUNNING]
        if not waiting:
            return
        for task in self._takeover.step(waiting, others_run=len(waiting) < len(self.tasks)):
            self._start(task)

    def _start(self, task: PartitionTask) -> None:
        facts = self._topics.facts
        task.table = Table(
            task.store,
            task.partition,
            facts.partitions,
            self.page_sizes,
            commands_topic_id=facts.commands_id,
            changelog_topic_id=facts.changelog_id,
        )
        place = TopicPartition(self._topics.commands, task.partition, task.table.meta.next_offset)
        try:
            self._consumer.seek(place)
        except KafkaException as exc:
            error = kafka_error(exc)
            if error is None or error.code() != KafkaError._STATE:  # noqa: SLF001 -- librdkafka's name for it
                raise
            # It is not ours any more; the next poll tells whether it was lost, or the consumer its place.
            log.info("partition was taken away", partition=task.partition)
            task.claim()
            return
        self._consumer.resume([place])
        task.phase = Phase.RUNNING
        log.info("partition running", partition=task.partition, next_offset=place.offset, rows=task.table.row_total())

    # --- apply ---

    def _apply(self) -> Turn | None:
        """Apply what there is; None when there is nothing to write."""
        running = self._running()
        turn, self._ahead = self._ahead or self._new_turn(), None
        had = turn.had_a_page()
        turn.apply(take_shares(running, self.turns, pages_a_turn(len(running)) - len(had), had))
        turn.write_ticks(running, self._wall_clock())
        return turn if turn.tasks or turn.outbox.commands else None

    def _work_ahead(self, committing: Turn) -> list[PartitionTask]:
        """Do the next turn's pages while this one is committed; returns their partitions.

        Only of partitions that do no page in this one: each then commits its SQLite transaction with the next turn at
        the latest.
        """
        running, had = self._running(), committing.had_a_page()
        others = [task for task in running if task not in had]
        shares = take_pages(others, self.turns + 1, pages_a_turn(len(running)))
        if not shares:
            return []
        self._ahead = self._new_turn()
        self._ahead.apply(shares)
        return self._ahead.tasks

    def _give_up_ahead(self) -> None:
        """What was done ahead is void: one of its partitions is going."""
        turn, self._ahead = self._ahead, None
        if turn is not None:
            self._claim(turn.tasks)

    def _running(self) -> list[PartitionTask]:
        return [task for task in self.tasks.values() if task.phase is Phase.RUNNING]

    def _new_turn(self) -> Turn:
        return Turn(self._settings, self._topics, self.page_sizes)

    def _after(self, turn: Turn, took_s: float) -> None:
        self._observer.committed(turn, took_s, self._checkpoint.transaction_s)
        self.turns += 1
        self.applied += turn.applied
        for letter in turn.outbox.dead_letters:
            log.warning("dead letter", **letter.described())

    # --- faults ---

    def _abort(self) -> None:
        self._observer.gave_up("turn")
        try:
            self._checkpoint.abort()
        except (ProducerFencedError, KafkaFailureError) as exc:
            self._replace_producer(str(exc))
            return
        self._claim_all()

    def _replace_producer(self, why: str) -> None:
        """A new producer settles what the old one left; every store is then checked against the changelog."""
        self._observer.gave_up("producer")
        log.warning("producer replaced", why=why, transactional_id=self._worker_id)
        if time.monotonic() - self._fenced_at < _FENCED_AGAIN_S:
            raise StreamsError(self._shared_id(f"fenced twice within a minute: {why}"))
        self._fenced_at = time.monotonic()
        self._close_producer()
        self._open_producer()
        self._claim_all()

    def _replace_consumer(self, why: str) -> None:
        """A new consumer takes this worker's place in the group anew.

        Another worker of the same id takes it away; so does, now and then, a coordinator that has just come back and
        answers a request to join that this very consumer has given up.
        """
        self._observer.gave_up("consumer")
        log.warning("consumer replaced", why=why, group_instance_id=self._settings.worker_id)
        if time.monotonic() - self._unseated_at < _FENCED_AGAIN_S:
            raise StreamsError(self._shared_id(f"its place in the group was taken twice within a minute: {why}"))
        self._unseated_at = time.monotonic()
        self._ahead = None
        for task in self.tasks.values():
            task.close()
        self.tasks.clear()
        self._takeover.close()
        self._consumer.close()
        self.rebalance.take()
        self._open_consumer()

    def _shared_id(self, what: str) -> str:
        return (
            f"{what}: another worker uses transactional.id {self._worker_id} (this one's state folder is "
            f"{self._settings.state_dir}). Give each worker its own STREAMS_WORKER_ID and STREAMS_STATE_DIR"
        )

    def _claim_all(self) -> None:
        """Every partition goes back to its last checkpoint, its table and left-overs with it."""
        self._ahead = None
        self._claim(self.tasks.values())

    def _claim(self, tasks: Iterable[PartitionTask]) -> None:
        for task in tasks:
            if task.table is not None:
                task.table.rollback()
                self._consumer.pause([TopicPartition(self._topics.commands, task.partition)])
                task.claim()

    # --- clients ---

    def _open_clients(self) -> None:
        self._open_producer()
        self._open_consumer()

    def _open_consumer(self) -> None:
        settings = self._settings
        self._consumer = self._clients.consumer(command_consumer(settings, settings.worker_id))
        self._takeover = Takeover(self._clients, settings, self._consumer, self._topics.facts, self._wall_clock)
        self._consumer.subscribe(
            [settings.topic(Topic.COMMANDS)],
            on_assign=self.rebalance.on_assign,
            on_revoke=self.rebalance.on_revoke,
            on_lost=self.rebalance.on_lost,
        )

    def _close_producer(self) -> None:
        # A fenced one raises once more, and warns; what was open is settled by who fenced it, or by the next producer.
        with warnings.catch_warnings(), contextlib.suppress(KafkaException):
            warnings.simplefilter("ignore")
            self._producer.close()
        self._checkpoint.close()

    def _open_producer(self) -> None:
        settings = self._settings
        self._producer = self._clients.producer(transactional_producer(settings, self._worker_id))
        self._checkpoint = Checkpoint(self._producer, settings, self._wall_clock)
        self._checkpoint.prepare(self._topics.dead_letter_partitions)
