"""A consumer of the fake cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    OFFSET_INVALID,
    OFFSET_STORED,
    KafkaError,
    Message,
    TopicPartition,
)

from support.kafka.fake_faults import failure
from support.kafka.fake_group import GroupMetadata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from support.kafka.fake_cluster import FakeCluster
    from support.kafka.fake_group import Group, Member
    from support.kafka.fake_log import Key, Log, Record

    Callback = Callable[[Any, list[TopicPartition]], None]


@dataclass
class Reading:
    """One assigned partition: where to fetch next (None: to be looked up), and what the application has seen."""

    fetch: int | None
    position: int = OFFSET_INVALID
    paused: bool = False
    stopped: bool = False
    told_end: int = -1


class FakeConsumer:
    """Like `confluent_kafka.Consumer`; rebalance callbacks run inside `consume` and `poll`."""

    def __init__(self, cluster: FakeCluster, properties: Mapping[str, Any]) -> None:
        self._cluster = cluster
        self._conf = properties
        self._committed_only = properties.get("isolation.level", "read_committed") == "read_committed"
        self._reset: str = properties.get("auto.offset.reset", "latest")
        self._topics: set[str] = set()
        self._callbacks: dict[str, Callback | None] = {}
        self._member: Member | None = None
        self._joins = 0
        self._reading: dict[Key, Reading] = {}
        self._handled = False
        self._closed = False
        self._answers: list[tuple[KafkaError | None, list[TopicPartition]]] = []

    def subscribe(
        self,
        topics: list[str],
        on_assign: Callback | None = None,
        on_revoke: Callback | None = None,
        on_lost: Callback | None = None,
    ) -> None:
        """Join the group at the next `consume`."""
        self._topics = set(topics)
        self._callbacks = {"assign": on_assign, "revoke": on_revoke, "lost": on_lost or on_revoke}

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Message]:
        """What is there, at most `num_messages`: it never waits."""
        del timeout
        self._check_open()
        self._cluster.faults.step("consume")
        self._answer()
        self._rebalance()
        found: list[Message] = []
        for key, reading in list(self._reading.items()):
            if not reading.paused and not reading.stopped:
                found += self._read(key, reading, num_messages - len(found))
        return found

    def poll(self, timeout: float = -1) -> Message | None:
        """One message, or None."""
        found = self.consume(1, timeout)
        return found[0] if found else None

    def assign(self, partitions: list[TopicPartition]) -> None:
        """Read exactly these."""
        self._handled = True
        self._reading.clear()
        self.incremental_assign(partitions)

    def unassign(self) -> None:
        """Read nothing."""
        self._handled = True
        self._reading.clear()

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        """Read these too."""
        self._check_open()
        self._cluster.faults.step("assign")
        self._handled = True
        for given in partitions:
            if _key(given) in self._reading:
                raise failure(KafkaError._INVALID_ARG, text="already part of the current assignment")
            self._reading[_key(given)] = Reading(None if given.offset == OFFSET_INVALID else given.offset)

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        """Read these no more."""
        self._check_open()
        self._cluster.faults.step("unassign")
        self._handled = True
        for taken in partitions:
            if self._reading.pop(_key(taken), None) is None:
                raise failure(KafkaError._INVALID_ARG, text="not part of the current assignment")

    def assignment(self) -> list[TopicPartition]:
        """What is read."""
        self._check_open()
        return [TopicPartition(*key) for key in sorted(self._reading)]

    def pause(self, partitions: list[TopicPartition]) -> None:
        """Fetch nothing from these until `resume`; others than assigned ones are ignored."""
        self._mark("pause", partitions, paused=True)

    def resume(self, partitions: list[TopicPartition]) -> None:
        """Fetch from these again."""
        self._mark("resume", partitions, paused=False)

    def seek(self, partition: TopicPartition) -> None:
        """Go on from this offset; not after an error of `auto.offset.reset`."""
        self._check_open()
        self._cluster.faults.step("seek")
        reading = self._reading.get(_key(partition))
        if reading is None or reading.stopped:
            raise failure(KafkaError._STATE, text=f"Failed to seek to offset {partition.offset}: Erroneous state")
        reading.fetch, reading.position = partition.offset, OFFSET_INVALID

    def position(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        """The offset after the last one seen, markers included; OFFSET_INVALID before the first."""
        self._check_open()
        known = {key: reading.position for key, reading in self._reading.items()}
        return [TopicPartition(*_key(asked), known.get(_key(asked), OFFSET_INVALID)) for asked in partitions]

    def committed(self, partitions: list[TopicPartition], timeout: float = -1) -> list[TopicPartition]:
        """The group's offsets; times out while an undecided transaction carries one of them."""
        del timeout
        self._check_open()
        self._cluster.faults.step("committed")
        if any(self._cluster.pending_offset(self._group.name, _key(asked)) for asked in partitions):
            raise failure(KafkaError._TIMED_OUT, text="Failed to get committed offsets: Local: Timed out")
        group = self._group
        return [
            TopicPartition(*key, group.committed.get(key, OFFSET_INVALID), group.metadata.get(key) or "")
            for key in map(_key, partitions)
        ]

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool = True) -> list[TopicPartition] | None:
        """Commit offsets and their metadata outside of any transaction, at once; a forgotten member cannot.

        Of one that is asynchronous, `on_commit` hears in the next `consume`.
        """
        self._check_open()
        self._cluster.faults.step("commit")
        member = self._member
        if member is None or not self._group.alive(member):
            raise failure(KafkaError.UNKNOWN_MEMBER_ID, text="Commit failed: Broker: Unknown member")
        for given in offsets:
            self._group.committed[_key(given)] = given.offset
            self._group.metadata[_key(given)] = given.metadata
        self._cluster.faults.step("commit:done")
        if asynchronous:
            self._answers.append((None, offsets))
            return None
        return offsets

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> Any:
        """As the admin client's."""
        return self._cluster.admin({}).list_topics(topic, timeout)

    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: float = -1, *, cached: bool = False
    ) -> tuple[int, int]:
        """First offset and last stable one (the end, for a reader of uncommitted data)."""
        del timeout, cached
        log = self._log(_key(partition))
        return log.start, log.stable if self._committed_only else log.end

    def consumer_group_metadata(self) -> GroupMetadata:
        """Who this member is in which generation, as of now."""
        member = self._member
        if member is None:
            return GroupMetadata(self._group.name, "", -1)
        generation = self._group.generation if self._group.alive(member) else member.seen
        return GroupMetadata(self._group.name, member.id, generation)

    def memberid(self) -> str:
        """The id in the group, empty before joining."""
        return "" if self._member is None else self._member.id

    def close(self) -> None:
        """Revoke everything and leave; a static member stays in the group until its session ends."""
        if self._closed:
            return
        self._cluster.faults.step("close")
        if self._member is not None and self._group.alive(self._member):
            if self._reading:
                self._call("revoke", set(self._reading))
            if "group.instance.id" not in self._conf:
                self._group.leave(self._member)
        self._reading.clear()
        self._closed = True

    @property
    def _group(self) -> Group:
        return self._cluster.group(self._conf["group.id"])

    def _answer(self) -> None:
        answers, self._answers = self._answers, []
        on_commit: Any = self._conf.get("on_commit")
        for answer in answers if on_commit is not None else ():
            on_commit(*answer)

    def _rebalance(self) -> None:
        """One step of the group's protocol, as far as this member is concerned."""
        if not self._topics:
            return
        member = self._member
        if member is not None and not self._group.alive(member):
            member = self._member = None
            if self._reading:
                self._call("lost", set(self._reading))
        if member is None:
            self._joins += 1
            instance = self._conf.get("group.instance.id")
            member = self._group.join(f"{instance or 'member'}-{id(self)}-{self._joins}", instance, self._topics, self)
            self._member = member
        if revoked := self._group.to_revoke(member) & set(self._reading):
            self._call("revoke", revoked)
            self._group.release(member, revoked)
        assigned = self._group.to_assign(member) | (member.owned - set(self._reading))
        if member.seen != self._group.generation or assigned:
            member.seen = self._group.generation
            member.owned |= assigned
            self._call("assign", assigned)

    def _call(self, name: str, keys: set[Key]) -> None:
        """Run a callback; what it does not do itself is done for it."""
        callback = self._callbacks.get(name)
        partitions = [TopicPartition(*key, OFFSET_INVALID) for key in sorted(keys)]
        self._handled = False
        if callback is not None:
            callback(self, partitions)
        if name == "assign" and not self._handled:
            self._reading.update({key: Reading(None) for key in keys})
        if name != "assign":
            for key in keys:
                self._reading.pop(key, None)

    def _mark(self, step: str, partitions: Iterable[TopicPartition], *, paused: bool) -> None:
        self._check_open()
        self._cluster.faults.step(step)
        for given in partitions:
            if (reading := self._reading.get(_key(given))) is not None:
                reading.paused = paused

    def _read(self, key: Key, reading: Reading, limit: int) -> list[Message]:
        """Up to `limit` messages of one partition, or the one that says why there are none."""
        if limit <= 0:
            return []
        log = self._log(key)
        start, error = self._start(key, reading, log)
        if error is not None:
            reading.stopped = True
            return [_failure(key, OFFSET_INVALID if reading.fetch is None else reading.fetch, error)]
        records, reading.fetch = log.read(start, limit, committed=self._committed_only)
        if reading.fetch > start:
            reading.position = reading.fetch
        messages = [_message(key, record) for record in records]
        if self._conf.get("enable.partition.eof") and not messages and reading.told_end != reading.fetch:
            reading.told_end = reading.fetch
            return [_failure(key, reading.fetch, KafkaError(KafkaError._PARTITION_EOF))]
        return messages

    def _start(self, key: Key, reading: Reading, log: Log) -> tuple[int, KafkaError | None]:
        """Where to read from, by the rules of `auto.offset.reset`."""
        wanted = reading.fetch
        if wanted is None or wanted == OFFSET_STORED:
            wanted = self._group.committed.get(key)
        elif wanted == OFFSET_BEGINNING:
            return log.start, None
        elif wanted == OFFSET_END:
            return log.stable, None
        if wanted is not None and log.start <= wanted <= log.end:
            return wanted, None
        if self._reset in {"error", "none"}:
            why = "no previously committed offset available" if wanted is None else "Offset out of range"
            return 0, KafkaError(KafkaError._AUTO_OFFSET_RESET, why)
        earliest = self._reset in {"earliest", "beginning", "smallest"}
        return log.start if earliest else log.stable, None

    def _log(self, key: Key) -> Log:
        log = self._cluster.log(*key)
        if log is None:
            raise failure(KafkaError.UNKNOWN_TOPIC_OR_PART)
        return log

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("Consumer closed")


def _key(partition: TopicPartition) -> Key:
    return partition.topic, partition.partition


def _failure(key: Key, offset: int, error: KafkaError) -> Message:
    return Message(topic=key[0], partition=key[1], offset=offset, error=error)


def _message(key: Key, record: Record) -> Message:
    return Message(
        topic=key[0],
        partition=key[1],
        offset=record.offset,
        key=record.key,
        value=record.value,
        timestamp=record.timestamp,
        headers=cast("Any", record.headers),
    )
