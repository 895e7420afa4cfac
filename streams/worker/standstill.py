"""Standstills of command log and changelog: readers see nothing after the first record of an open transaction.

A dead worker's transaction ends with its timeout. A stranger's may stay open for as long as it likes, and readers are
not told what they wait for. Kafka's protocol can say whose it is, but the client library has no call for that: the
operations page says how to ask.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import structlog
from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from concurrent.futures import Future

    from streams.worker.topics import Topics

log = structlog.get_logger("streams.worker")

EVERY_S: Final = 5.0
"""Interval between questions, seconds."""
TOLD_S: Final = 10.0
"""A standstill is logged after this long, seconds: each transaction of a worker holds its partitions for a moment."""
TOLD_AGAIN_S: Final = 60.0
_ANSWER_S: Final = 5.0
_LEVELS: Final = (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED)


class Place(NamedTuple):
    """A standstill: readers of committed records have waited at `offset` for `seconds`, although there is more."""

    topic: str
    partition: int
    offset: int
    seconds: float
    of_commands: bool

    def __str__(self) -> str:
        return (
            f"{self.topic}, partition {self.partition}, offset {self.offset}: a transaction is open there for "
            f"{self.seconds:.0f} s"
        )


class Standstill:
    """Asks for the ends of the logs now and then, without a thread and without blocking."""

    def __init__(self, admin: Any, topics: Topics, clock: Callable[[], float] = time.monotonic) -> None:
        self._admin = admin
        self._topics = topics
        self._clock = clock
        self._asked_at = clock()
        self._answers: list[dict[TopicPartition, Future[Any]]] = []
        self._since: dict[tuple[str, int], tuple[int, float]] = {}
        self._tell_at: dict[tuple[str, int], float] = {}

    def look(self, partitions: Collection[int]) -> list[Place]:
        """The places where command log and changelog of these partitions stand still."""
        now = self._clock()
        if self._answers and all(answer.done() for asked in self._answers for answer in asked.values()):
            self._take(now)
        if not self._answers and partitions and now - self._asked_at >= EVERY_S:
            self._ask(partitions, now)
        return [
            Place(*key, offset, now - since, key[0] == self._topics.commands)
            for key, (offset, since) in self._since.items()
            if key[1] in partitions
        ]

    def _ask(self, partitions: Collection[int], now: float) -> None:
        self._asked_at = now
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        asked = {
            TopicPartition(topic, partition): latest
            for topic in (self._topics.commands, self._topics.changelog)
            for partition in partitions
        }
        self._answers = [
            self._admin.list_offsets(asked, isolation_level=level, request_timeout=_ANSWER_S) for level in _LEVELS
        ]

    def _take(self, now: float) -> None:
        stable, ends = map(_told, self._answers)
        self._answers = []
        for key in stable.keys() & ends.keys():
            known = self._since.get(key)
            if stable[key] >= ends[key]:
                self._passed(key)
            elif known is None or known[0] != stable[key]:
                self._passed(key)
                self._since[key] = stable[key], self._asked_at
            elif now - known[1] >= TOLD_S and now >= self._tell_at.get(key, now):
                self._tell_at[key] = now + TOLD_AGAIN_S
                log.warning(
                    "readers wait for a transaction that is open",
                    topic=key[0],
                    partition=key[1],
                    offset=known[0],
                    seconds=round(now - known[1]),
                    whose="kafka-transactions.sh describe-producers shows it",
                )

    def _passed(self, key: tuple[str, int]) -> None:
        self._since.pop(key, None)
        if self._tell_at.pop(key, None) is not None:
            log.info("the transaction that was open is over", topic=key[0], partition=key[1])


def _told(asked: dict[TopicPartition, Future[Any]]) -> dict[tuple[str, int], int]:
    """Offsets by topic and partition, except for partitions whose leader does not answer now."""
    found = {}
    for place, answer in asked.items():
        try:
            found[place.topic, place.partition] = int(answer.result().offset)
        except KafkaException:
            continue
    return found
