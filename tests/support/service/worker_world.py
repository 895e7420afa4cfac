"""A worker on the fake cluster: commands in, crashes at any step, and what the world sees of it afterwards."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from streams import codec
from streams.client import routing_key
from streams.config import Settings, Topic
from streams.errors import StreamsError
from streams.kafka import topics
from streams.model import Invocation, Invoke, Signal, SliceProgress
from streams.offline.verify import verify
from streams.protocol.routing import partition_of
from streams.worker.task import Phase
from streams.worker.worker import Worker
from support.kafka.fake_cluster import Crash, FakeCluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from streams.model import Record
    from streams.worker.queries import Queries

PARTITIONS = 2
_IDLE_STEPS = 4
_MOST_STEPS = 3_000


class World:
    """One service: a cluster, its topics, and one worker that is started again when it dies."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.cluster = FakeCluster()
        self.settings = Settings(
            **{
                "bootstrap_servers": "fake:9092",
                "state_dir": folder / "state",
                "worker_id": "w",
                "topic_prefix": "t.",
                **settings,
            }
        )
        for spec in topics.SPECS:
            count = 1 if spec.single else PARTITIONS
            self.cluster.create_topic(self.settings.topic(spec.topic), count, dict(spec.config))
        self.worker: Worker | None = None
        self.queries: Queries | None = None
        """Those of the workers that are started from now on."""
        self.deaths = 0
        self.broker_ahead = 0
        """How far the broker's clock is ahead of the worker's, ms."""

    # --- driving ---

    def send(self, *records: Record, key: str) -> None:
        """Log client commands on their partition."""
        for record in records:
            self.log(codec.encode(record), key, partition_of(key, PARTITIONS))

    def invoke(self, *commands: Invoke) -> None:
        """Log invocations, each on its partition."""
        for command in commands:
            self.send(command, key=routing_key(command.invocation.invocation_id))

    def log(self, value: bytes | None, key: str, partition: int) -> None:
        """Log any bytes anywhere."""
        self.cluster.append((self.settings.topic(Topic.COMMANDS), partition), key.encode(), value)

    def pass_time(self, ms: int) -> None:
        """Both clocks move on."""
        self.cluster.now += ms

    @contextmanager
    def broker_ahead_by(self, ms: int) -> Iterator[None]:
        """The broker's clock is wrong meanwhile, and the worker's is right."""
        self.cluster.now += ms
        self.broker_ahead += ms
        yield
        self.cluster.now -= ms
        self.broker_ahead -= ms

    def run_until_idle(self) -> None:
        """Turns until nothing is left to do, through every crash that is planned."""
        idle = 0
        for _ in range(_MOST_STEPS):
            if idle >= _IDLE_STEPS:
                return
            before = self._written()
            try:
                self._alive().step()
            except Crash:
                self.die()
            self.cluster.now += 1
            idle = idle + 1 if self._written() == before and self._running() else 0
        raise AssertionError("the worker never comes to rest")

    def refusal(self) -> str:
        """What the worker ends with, or the partition is given up for."""
        try:
            self.run_until_idle()
        except StreamsError as error:
            return str(error)
        assert self.worker is not None
        (fault,) = [task.fault for task in self.worker.tasks.values() if task.fault]
        return fault

    @property
    def changelog(self) -> str:
        """The topic's name."""
        return self.settings.topic(Topic.CHANGELOG)

    @property
    def commands(self) -> str:
        """Likewise."""
        return self.settings.topic(Topic.COMMANDS)

    def die(self) -> None:
        """What `kill -9` leaves: nothing is closed in Kafka, SQLite falls back to its last commit, locks are free."""
        worker, self.worker = self.worker, None
        self.deaths += 1
        if worker is None:
            return
        for task in worker.tasks.values():
            task.store.db.close()
        worker._folder.close()

    def close(self) -> None:
        """Stop the worker in good order."""
        if self.worker is not None:
            self.worker.close()
            self.worker = None

    def _alive(self) -> Worker:
        if self.worker is None:
            self.worker = Worker(self.settings, self.cluster, self.wall_clock, queries=self.queries)
        return self.worker

    def wall_clock(self) -> int:
        """The worker's clock."""
        return self.cluster.now - self.broker_ahead

    def _running(self) -> bool:
        worker = self.worker
        return (
            worker is not None
            and len(worker.tasks) == PARTITIONS
            and all(
                task.phase is Phase.GIVEN_UP or (task.table is not None and not task.backlog)
                for task in worker.tasks.values()
            )
        )

    def _written(self) -> int:
        return sum(log.end for topic in self.cluster.topics.values() for log in topic.logs)

    # --- looking ---

    def published(self, topic: Topic) -> list[Any]:
        """All committed records of a topic, decoded; tombstones left out."""
        records = self.cluster.records(self.settings.topic(topic))
        return [codec.decode(record.value) for record in records if record.value is not None]

    def published_count(self, topic: Topic) -> int:
        """How many committed records a topic has, whatever they hold."""
        return len(self.cluster.records(self.settings.topic(topic)))

    def statuses(self) -> dict[str, str]:
        """Status by invocation id, from the worker's own tables."""
        found = {}
        for task in self._alive().tasks.values():
            for key, value in task.store.dump():
                if key.startswith("i/"):
                    found[key[2:]] = str(codec.decode_row(value)[0].status)
        return found

    def signals(self) -> list[tuple[str, str, int, int, int]]:
        """(id, kind, seq, attempt, repeat) of every committed signal, sorted."""
        sent: Sequence[Signal] = self.published(Topic.SIGNALS)
        return sorted((s.invocation.invocation_id, str(s.kind), s.seq, s.attempt, s.repeat) for s in sent)

    def counters(self) -> dict[tuple[str, int], tuple[str, int, int, int, int, int]]:
        """State and counters of each slice, by its highest revision."""
        latest: dict[tuple[str, int], SliceProgress] = {}
        for record in self.published(Topic.BATCH_SLICES):
            if isinstance(record, SliceProgress):
                assert record.matched == record.done + record.pending + record.skipped + record.failed
                key = record.batch_id, record.partition
                if key not in latest or latest[key].revision <= record.revision:
                    latest[key] = record
        return {
            key: (str(p.state), p.matched, p.done, p.pending, p.skipped, p.failed) for key, p in sorted(latest.items())
        }

    def assert_log_and_changelog_agree(self) -> None:
        """The verifier finds no difference."""
        for verdict in verify(self.settings, self.cluster):
            assert verdict.holds, verdict


def invocations(numbers: Iterable[int], prefix: str = "i", service: str = "orders") -> list[Invoke]:
    """One for each number, which starts at once."""
    return [Invoke(Invocation(f"{prefix}-{number}", service, "run")) for number in numbers]


def deaths_at(steps: Mapping[int, str], folder: Path, scenario: Callable[[World], Any], expected: Any) -> int:
    """Live through the scenario once for each step, by number and name, and die there: what comes of it is the same.

    Returns:
        Number of deaths in all runs: a step that a run does not come to kills nobody.
    """
    deaths = 0
    for number, name in steps.items():
        world = World(folder / str(number))
        world.cluster.faults.crash_at(number)
        assert scenario(world) == expected, f"died at step {number}, {name}"
        deaths += world.deaths
    return deaths
