"""The takeover of a partition: its committed offset, its position in the changelog, and the replay between.

Offsets are asked for on another thread: running partitions never wait for one that is being taken over.
"""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import TimeoutError as FuturesTimeoutError
from concurrent.futures import wait
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog
from confluent_kafka import KafkaException, TopicPartition

from streams.codec import BadRecordError
from streams.errors import PartitionError
from streams.kafka.clients import changelog_reader
from streams.kafka.errors import AUTO_OFFSET_RESET
from streams.state.errors import ChangelogError
from streams.worker.agreement import beginning_gone, check_store, check_table, missed_tombstones
from streams.worker.offsets import Offsets, passing
from streams.worker.task import PartitionTask, Phase, Replay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from streams.config import Settings
    from streams.kafka.clients import Clients
    from streams.worker.clock_ahead import Places
    from streams.worker.offsets import PartitionOffsets
    from streams.worker.topics import Topics

log = structlog.get_logger("streams.restore")

_ALONE_S = 0.25
_BESIDE_S = 0.01
"""Longest wait for an answer in one round of the loop, seconds; the shorter one beside running partitions."""
_ASK_AGAIN_S = 0.75
"""Pause before asking again for offsets that timed out, while other partitions run or restore, seconds."""
_SAVE_EVERY = 10_000
"""Number of records replayed between two commits of SQLite."""
_REPORT_EVERY_S = 2.0
_WAITING_EVERY_S = 10.0


class _Asked(NamedTuple):
    """Partitions whose bounds were asked for, each with the number of its claim at that time."""

    claims: dict[PartitionTask, int]
    answer: Future[PartitionOffsets | None]


class Takeover:
    """Brings claimed partitions to the point where they can apply commands, in bounded slices of work."""

    def __init__(
        self,
        clients: Clients,
        settings: Settings,
        consumer: Any,
        topics: Topics,
        wall_clock: Callable[[], int],
        named_ahead: Callable[[], Mapping[int, Places]],
        confirmed: Callable[[float], bool],
    ) -> None:
        self._confirmed = confirmed
        self._reader = clients.consumer(changelog_reader(settings))
        admin = clients.admin(settings.kafka_properties())
        self._offsets = Offsets(consumer, admin, self._reader, topics, self._tell_waiting)
        self._topics = topics
        self._wall_clock = wall_clock
        self._named_ahead = named_ahead
        self._named: Mapping[int, Places] | None = None
        self._reading: dict[int, PartitionTask] = {}
        self._asked: _Asked | None = None
        self._reported = 0.0
        self._waiting_told = float("-inf")
        self._ask_at = float("-inf")
        self._timed_out = 0

    @property
    def waits(self) -> bool:
        """True if there is nothing to do until offsets are asked for again."""
        return not self._reading and time.monotonic() < self._ask_at

    def step(self, tasks: Sequence[PartitionTask], *, others_run: bool) -> list[PartitionTask]:
        """Do one slice of work; returns the tasks whose store has reached its target.

        `others_run`: other partitions run, so the slice is limited to about 10 ms.

        Raises:
            PartitionError: log, changelog and store contradict each other; nothing is overwritten.
        """
        claimed = [task for task in tasks if task.phase is Phase.CLAIMED]
        beside = others_run or len(claimed) < len(tasks)
        # Partitions that are being restored do not wait for those that cannot be claimed yet.
        with self._waiting():
            self._claim_some(claimed, beside=beside)
        done: list[PartitionTask] = []
        with self._waiting():
            done += self._restore(tasks, claimed, others_run=others_run)
        return done

    @contextlib.contextmanager
    def _waiting(self) -> Iterator[None]:
        """Ignore errors that pass by themselves: the next step tries again."""
        try:
            yield
        except (KafkaException, FuturesTimeoutError) as error:
            if not passing(error):
                raise
            self._tell_waiting(str(error))

    def _tell_waiting(self, why: str) -> None:
        if time.monotonic() - self._waiting_told >= _WAITING_EVERY_S:
            self._waiting_told = time.monotonic()
            log.warning("taking partitions over waits for Kafka", why=why)

    def _restore(
        self, tasks: Sequence[PartitionTask], claimed: Sequence[PartitionTask], *, others_run: bool
    ) -> list[PartitionTask]:
        restoring = {task.partition: task for task in tasks if task.phase is Phase.RESTORING}
        # A partition that comes back is another task: the same number does not mean that the reader is at the right
        # place.
        if restoring.keys() != self._reading.keys() or any(task.phase is Phase.RESTORING for task in claimed):
            self._read(restoring)
        done = self._replay(others_run=others_run) if restoring else []
        if done and len(done) == len(restoring):
            self._read({})
        return done

    def _read(self, restoring: dict[int, PartitionTask]) -> None:
        """Read the changelog for these partitions, each from its store's position; without partitions, read nothing."""
        self._reading = restoring
        if restoring:
            self._reader.assign(
                [TopicPartition(self._topics.changelog, p, _place(task)) for p, task in restoring.items()]
            )
        else:
            self._reader.unassign()

    def close(self) -> None:
        """End the questions, then close the reader."""
        self._offsets.close()
        self._reader.close()

    # --- claim ---

    def _claim_some(self, claimed: Sequence[PartitionTask], *, beside: bool) -> None:
        """Claim all partitions at once; after offsets that timed out, claim them one by one."""
        if self._asked is None:
            if not claimed or (beside and time.monotonic() < self._ask_at):
                return
            chosen = [claimed[self._timed_out % len(claimed)]] if self._timed_out else claimed
            claims = {task: task.claims for task in chosen}
            self._asked = _Asked(claims, self._offsets.ask([task.partition for task in chosen]))
        asked, self._asked = self._asked, None
        patience = _BESIDE_S if beside else _ALONE_S
        # Fresh offsets mean nothing if a topic was deleted and created again: they would be those of another topic.
        if not wait([asked.answer], patience).done or not self._confirmed(patience):
            self._asked = asked
            return
        bounds = asked.answer.result()
        if bounds is None:
            self._timed_out += 1
            self._ask_at = time.monotonic() + _ASK_AGAIN_S
            return
        self._timed_out = 0
        for task, claim in asked.claims.items():
            # A partition that was lost or claimed again meanwhile may have been written since.
            if task in claimed and task.claims == claim:
                self._claim(task, bounds)

    def _claim(self, task: PartitionTask, bounds: PartitionOffsets) -> None:
        partition = task.partition
        replay = task.replay = Replay(
            bounds.committed[partition],
            bounds.commands_begin[partition],
            bounds.changelog_begin[partition],
            target=bounds.changelog_end[partition],
        )
        task.stood_to = bounds.commands_end[partition]
        check_store(task, self._topics, self._wall_clock())
        replay.begin, replay.saved_at = task.store.changelog_position, task.store.saved_at or self._wall_clock()
        task.transit(Phase.RESTORING)

    # --- replay ---

    def _replay(self, *, others_run: bool) -> list[PartitionTask]:
        messages = (
            self._reader.consume(1_000, timeout=0.001) if others_run else self._reader.consume(5_000, timeout=0.02)
        )
        by_partition: dict[int, list[tuple[str, bytes | None, int]]] = {}
        for message in messages:
            if message.error() is not None:
                self._note(message)
                continue
            record = (message.key().decode(), message.value(), message.offset())
            by_partition.setdefault(message.partition(), []).append(record)
        for partition, records in by_partition.items():
            self._apply(self._reading[partition], records)
        self._report()
        return [task for task in self._reading.values() if self._reached(task)]

    def _note(self, message: Any) -> None:
        error = message.error()
        if error.code() == AUTO_OFFSET_RESET:
            raise beginning_gone(self._topics.changelog, message.partition())
        if error.fatal():
            text = f"{self._topics.changelog}, partition {message.partition()}: {error.str()}"
            raise PartitionError(text, message.partition())
        log.warning("changelog reader", error=error.str())

    def _apply(self, task: PartitionTask, records: list[tuple[str, bytes | None, int]]) -> None:
        store, replay = task.store, task.replay
        if replay.records == 0:
            log.info("restoring", partition=task.partition, begin=replay.begin, end=replay.target)
        before = replay.records
        if not store.in_transaction:
            store.begin()
        try:
            replay.records += store.apply_changelog(records)
        except (ChangelogError, BadRecordError) as error:
            raise PartitionError(
                f"partition {task.partition}: {self._topics.changelog} holds what no worker wrote ({error}): find out "
                "who else may write there, and restore the topic",
                task.partition,
            ) from error
        replay.position = records[-1][2] + 1
        if before // _SAVE_EVERY != replay.records // _SAVE_EVERY:
            # Not the current time: if the replay ends here, the store is only as recent as when it began.
            store.commit(replay.position, replay.saved_at)

    def _reached(self, task: PartitionTask) -> bool:
        """True if the replay has reached its target: the reader's position passes it (markers take offsets, too)."""
        if task.store.changelog_position < task.replay.target:
            position = self._reader.position([TopicPartition(self._topics.changelog, task.partition)])[0].offset
            if position < task.replay.target:
                return False
        if not self._confirmed(_BESIDE_S):
            return False
        if missed_tombstones(task, self._topics):
            task.claim()
            return False
        if task.store.in_transaction:
            task.store.commit(task.replay.position, self._wall_clock())
        if self._written_meanwhile(task):
            log.warning("partition was written meanwhile", partition=task.partition)
            task.claim()
            return False
        check_table(task, self._topics)
        if task.store.meta is None and task.stood_to:
            # The log may have been applied before, to a table that is lost. Decisions made by a clock then must be
            # repeated.
            self._named = self._named_ahead() if self._named is None else self._named
            task.known_ahead = self._named.get(task.partition)
        if task.replay.records:
            log.info("restored", partition=task.partition, records=task.replay.records)
        return True

    @staticmethod
    def _written_meanwhile(task: PartitionTask) -> bool:
        """True if the group's offset may have moved since it was read, as when another worker has the same id.

        The sign is an offset that disagrees with the table, because the other worker's last commit is replayed, too. If
        both are the same at the next try, nobody has written: they really disagree.
        """
        meta, committed = task.store.meta, task.replay.committed
        if committed is None or meta is None or committed == meta.next_offset:
            return False
        doubted, task.doubted = task.doubted, (committed, meta.next_offset)
        return doubted != task.doubted

    def _report(self) -> None:
        now = time.monotonic()
        if now - self._reported < _REPORT_EVERY_S:
            return
        self._reported = now
        for task in self._reading.values():
            if task.replay.records:
                percent = round(100 * task.restore_ratio)
                log.info("restoring", partition=task.partition, records=task.replay.records, percent=percent)


def _place(task: PartitionTask) -> int:
    """The offset at which the replay continues. Records applied but not saved yet must not be applied again."""
    return task.replay.position if task.store.in_transaction else task.store.changelog_position
