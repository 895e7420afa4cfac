"""What is measured: workers with default settings on a Kafka broker, and what they left in the log."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, IsolationLevel, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from streams.config import Settings, Topic
from streams.kafka import topics

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bench.lib.workload import Record

PARTITIONS = 4
_CHUNK = 20_000
_PART = 500_000
_STOPS_WITHIN_S = 30.0


NOT_DEFAULT: dict[str, str] = {}
"""Settings of workers that were not left at their defaults, other than where things are; every run prints them."""


class BenchError(Exception):
    """The measurement could not be taken."""


class Service:
    """Topics under a prefix of their own, and workers on them, each with a state folder of its own."""

    def __init__(self, bootstrap: str, name: str, folder: Path, workers: int = 1, partitions: int = PARTITIONS) -> None:
        self.folder = folder
        self.partitions = partitions
        self.settings = Settings(
            _env_file=None,
            bootstrap_servers=bootstrap,
            topic_prefix=f"bench-{name}-{os.getpid()}-{time.time_ns() // 1_000_000}.",
            state_dir=folder / "state",
        )
        self._logs = [folder / f"worker-{number}.log" for number in range(workers)]
        self._workers: list[subprocess.Popen[bytes]] = []
        self._admin = AdminClient({"bootstrap.servers": bootstrap})
        self._group = Consumer(
            # Uncommitted: otherwise the answer waits while a transaction is open, which is nearly always.
            {"bootstrap.servers": bootstrap, "group.id": self.settings.group_id, "isolation.level": "read_uncommitted"}
        )
        topics.create(self.settings, partitions, 1)

    @property
    def environment(self) -> dict[str, str]:
        """Variables for a program on this service: of those of `streams`, only where it is."""
        others = {name: value for name, value in os.environ.items() if not name.startswith("STREAMS_")}
        return others | {
            "STREAMS_BOOTSTRAP_SERVERS": self.settings.bootstrap_servers,
            "STREAMS_TOPIC_PREFIX": self.settings.topic_prefix,
        }

    # --- the workers ---

    def start_workers(self, **settings: str) -> None:
        """Start them, with their default settings but for those given; returns at once."""
        own = {**self.environment, "STREAMS_LOG_FORMAT": "json"}
        NOT_DEFAULT.update(settings)
        for number, file in enumerate(self._logs):
            folder = {"STREAMS_STATE_DIR": str(self.settings.state_dir / str(number))}
            file.unlink(missing_ok=True)
            with file.open("wb") as log:
                worker = subprocess.Popen(
                    [sys.executable, "-m", "streams", "worker"],
                    env={**own, **folder, **settings},
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            self._workers.append(worker)

    def stop_workers(self) -> None:
        """Stop them in good order; what does not run is left alone."""
        for worker in self._workers:
            worker.terminate()
        for worker in self._workers:
            await_end(worker, _STOPS_WITHIN_S)
        self._workers.clear()

    @property
    def worker_pids(self) -> list[int]:
        """Of the running workers; of one of several processes, theirs."""
        return [pid for worker in self._workers for pid in (_children(worker.pid) or [worker.pid])]

    def memory_mb(self) -> dict[str, float]:
        """Resident memory, now and at its highest, MB, of the worker that has most."""
        found = [_memory_mb(pid) for pid in self.worker_pids]
        return {name: max(each[name] for each in found) for name in ("now", "most")}

    def cpu_s(self) -> float:
        """CPU time that the workers have used, librdkafka's threads included, seconds."""
        return sum(map(_cpu_s, self.worker_pids))

    def state_files(self, pattern: str) -> list[Path]:
        """Files of all state folders."""
        return [file for file in self.settings.state_dir.rglob(pattern) if file.is_file()]

    def state_mb(self) -> float:
        """Size of the state folders, MB."""
        return sum(file.stat().st_size for file in self.state_files("*")) / 1e6

    def await_event(self, event: str, count: int, within_s: float = 300.0) -> list[dict[str, Any]]:
        """The workers' log lines of this event, once there are `count`; `at` is seconds since 1970."""
        deadline = time.monotonic() + within_s
        while len(found := self._events(event)) < count:
            self.require_workers()
            if time.monotonic() > deadline:
                raise BenchError(f"{len(found)} of {count} times {event!r} in the log after {within_s:.0f} s")
            time.sleep(0.02)
        return found

    def _events(self, event: str) -> list[dict[str, Any]]:
        found = []
        lines = [line for log in self._logs for line in log.read_text(encoding="utf-8").splitlines()]
        for line in lines:
            if f'"{event}"' in line:
                fields = json.loads(line)
                if fields["event"] == event:
                    found.append(fields | {"at": datetime.fromisoformat(fields["timestamp"]).timestamp()})
        return found

    def require_workers(self) -> None:
        """Raise with the end of its log when one has ended."""
        for worker, log in zip(self._workers, self._logs, strict=True):
            if worker.poll() is not None:
                tail = "\n".join(log.read_text(encoding="utf-8").splitlines()[-8:])
                raise BenchError(f"a worker ended by itself:\n{tail}")

    # --- the log ---

    def preload(self, records: Sequence[Record], what: str) -> list[int]:
        """Append commands, without waiting for workers; returns the end offset of each partition."""
        producer = Producer(
            {
                "bootstrap.servers": self.settings.bootstrap_servers,
                "log_level": 3,  # what it tries again by itself is nobody's concern
                "enable.idempotence": True,
                "linger.ms": 20,
                "batch.size": 1_000_000,
                "batch.num.messages": 50_000,
                "queue.buffering.max.messages": 1_000_000,
            }
        )
        topic = self.settings.topic(Topic.COMMANDS)
        for begin in range(0, len(records), _CHUNK):
            chunk: list[list[dict[str, Any]]] = [[] for _ in range(self.partitions)]
            for partition, key, value in records[begin : begin + _CHUNK]:
                chunk[partition].append({"key": key, "value": value})
            for partition, messages in enumerate(chunk):
                if messages and producer.produce_batch(topic, messages, partition=partition) < len(messages):
                    raise BenchError("the producer's queue is full")
            while len(producer) > 10 * _CHUNK:
                producer.poll(0.05)
            say(f"{what}: {begin + len(records[begin : begin + _CHUNK]):,} of {len(records):,} in the log")
        while producer.flush(1.0):
            pass
        return self.ends(Topic.COMMANDS)

    def load(self, records: Sequence[Record], what: str, **settings: str) -> list[tuple[float, int]]:
        """Append commands and start workers; returns the samples of `await_applied` once all are applied."""
        ends = self.preload(records, what)
        self.start_workers(**settings)
        return self.await_applied(ends, what)

    def fill(self, records: Iterable[Record], what: str, **settings: str) -> None:
        """As `load`, with more records than fit into memory at once, and on workers that may run already."""
        left = iter(records)
        while part := list(islice(left, _PART)):
            ends = self.preload(part, what)
            if not self._workers:
                self.start_workers(**settings)
            self.await_applied(ends, what)

    def ends(self, topic: Topic) -> list[int]:
        """End offset of each partition, committed records only; a transaction's marker takes an offset too."""
        places = [TopicPartition(self.settings.topic(topic), partition) for partition in range(self.partitions)]
        latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        futures = self._admin.list_offsets(dict.fromkeys(places, latest), isolation_level=IsolationLevel.READ_COMMITTED)
        return [futures[place].result(10).offset for place in places]

    def applied(self) -> list[int]:
        """Committed offset of each partition: up to there commands are applied."""
        name = self.settings.topic(Topic.COMMANDS)
        places = self._group.committed([TopicPartition(name, p) for p in range(self.partitions)], timeout=10)
        return [max(0, place.offset) for place in places]

    def await_applied(self, ends: Sequence[int], what: str, within_s: float = 900.0) -> list[tuple[float, int]]:
        """Wait until commands are applied up to these offsets; returns (seconds, commands) samples, ten a second."""
        samples: list[tuple[float, int]] = []
        deadline = time.monotonic() + within_s
        told = 0.0
        while True:
            offsets = self.applied()
            done = sum(min(offset, end) for offset, end in zip(offsets, ends, strict=True))
            now = time.monotonic()
            samples.append((now, done))
            if all(offset >= end for offset, end in zip(offsets, ends, strict=True)):
                return samples
            self.require_workers()
            if now > deadline:
                raise BenchError(f"{what}: {done:,} of {sum(ends):,} applied after {within_s:.0f} s")
            if now - told > 2:
                say(f"{what}: {done:,} of {sum(ends):,} applied")
                told = now
            time.sleep(0.1)

    def await_quiet(self, for_s: float = 1.0, within_s: float = 300.0) -> None:
        """Wait until the workers have committed nothing new for a while: no command leads to another."""
        deadline, since, last = time.monotonic() + within_s, time.monotonic(), self.applied()
        while time.monotonic() - since < for_s:
            time.sleep(0.1)
            now = self.applied()
            if now != last:
                since, last = time.monotonic(), now
            if time.monotonic() > deadline:
                raise BenchError(f"the workers are still busy after {within_s:.0f} s")

    def read(self, topic: Topic, begins: Sequence[int], ends: Sequence[int]) -> Iterator[Any]:
        """Committed records between these offsets of each partition."""
        name = self.settings.topic(topic)
        consumer: Any = Consumer(
            {
                "bootstrap.servers": self.settings.bootstrap_servers,
                "group.id": "none",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
            }
        )
        try:
            left = {p for p in range(self.partitions) if begins[p] < ends[p]}
            consumer.assign([TopicPartition(name, p, begins[p]) for p in left])
            while left:
                for message in consumer.consume(10_000, timeout=0.2):
                    if message.error() is None and message.offset() < ends[message.partition()]:
                        yield message
                places = consumer.position([TopicPartition(name, p) for p in left])
                left -= {place.partition for place in places if place.offset >= ends[place.partition]}
        finally:
            consumer.close()

    def close(self) -> None:
        """Stop the workers and remove the topics."""
        self.stop_workers()
        self._group.close()
        names = [self.settings.topic(topic) for topic in Topic]
        for future in self._admin.delete_topics(names).values():
            future.result(10)


@contextmanager
def service(bootstrap: str, name: str, workers: int = 1, partitions: int = PARTITIONS) -> Iterator[Service]:
    """A service for one measurement; nothing of it is left."""
    with tempfile.TemporaryDirectory(prefix="streams-bench-") as folder:
        made = Service(bootstrap, name, Path(folder), workers, partitions)
        try:
            yield made
        finally:
            made.close()


def await_end(process: subprocess.Popen[bytes], within_s: float) -> bool:
    """Wait for a process that was asked to end; False if it had to be killed."""
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False
    return True


def _children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


def _memory_mb(pid: int) -> dict[str, float]:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return {name: int(fields[key].split()[0]) / 1_000 for name, key in (("now", "VmRSS"), ("most", "VmHWM"))}


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def by(workers: int, job: str) -> str:
    """Name of a job in tables."""
    return job if workers == 1 else f"{job}, {workers} workers"


def say(line: str) -> None:
    """How far it is, on standard error; on a terminal each line replaces the one before."""
    sys.stderr.write(f"\r\x1b[K{line}" if sys.stderr.isatty() else f"{line}\n")
    sys.stderr.flush()
