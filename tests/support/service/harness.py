"""One service on a real broker: topics of its own, workers as processes, commands in bulk, and what came of them."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from streams import codec
from streams.config import Topic, load_settings
from streams.kafka import topics
from streams.model import BatchHeader, BatchState, SliceProgress, StartBatch
from streams.protocol.routing import command_key
from support.kafka.reading import Entry, TopicReader
from support.service import oracle, oracle_flows
from support.service.programs import ROOT, Program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from types import TracebackType

    from streams.model import Record

FINAL = (BatchState.COMPLETED, BatchState.ABORTED, BatchState.REJECTED)

LIVELY = {
    "STREAMS_SESSION_TIMEOUT_MS": "6000",
    "STREAMS_TRANSACTION_TIMEOUT_MS": "3000",
    "STREAMS_LOG_FORMAT": "json",
    "STREAMS_GATEWAY_HTTP": "127.0.0.1:0",
}
"""Time-outs as short as a broker takes them: tests wait for them. Several gateways run on one machine."""


QUICK_MS = 20
"""After so long a reader knows that it has reached the end."""


class Progress:
    """What `batch-slices` says of one batch: header and slices, counters summed."""

    def __init__(self, header: BatchHeader | None, slices: dict[int, SliceProgress]) -> None:
        self.header = header
        self.slices = slices

    @property
    def state(self) -> BatchState | None:
        """The lead's state; None before its first record."""
        return self.header.state if self.header else None

    def total(self, counter: str) -> int:
        """A counter summed over the slices."""
        return sum(getattr(each, counter) for each in self.slices.values())

    @property
    def counters(self) -> tuple[int, int, int, int, int]:
        """(matched, done, pending, skipped, failed)."""
        total = self.total
        return total("matched"), total("done"), total("pending"), total("skipped"), total("failed")

    def __repr__(self) -> str:
        return f"<{self.state}, {len(self.slices)} slices, matched/done/pending/skipped/failed {self.counters}>"


class Service:
    """Fresh topics under a prefix of their own; everything it started is gone when it is closed."""

    def __init__(self, bootstrap: str, folder: Path, partitions: int = 4, **environment: str) -> None:
        self.folder = folder
        self.settings = load_settings(bootstrap_servers=bootstrap, topic_prefix=f"t-{uuid4().hex[:10]}.")
        self.environment = {
            "STREAMS_BOOTSTRAP_SERVERS": bootstrap,
            "STREAMS_TOPIC_PREFIX": self.settings.topic_prefix,
            **LIVELY,
            **environment,
        }
        self.partitions = partitions
        self.programs: dict[str, Program] = {}
        topics.create(self.settings, partitions)
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
                "linger.ms": 5,
                "message.max.bytes": 4 * 1024 * 1024,
                "queue.buffering.max.messages": 1_000_000,
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
            }
        )
        self._progress = self.reader(Topic.BATCH_SLICES)
        self._headers: dict[str, BatchHeader] = {}
        self._slices: dict[str, dict[int, SliceProgress]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for program in self.programs.values():
            program.end()
        self._progress.close()
        admin = AdminClient({"bootstrap.servers": self.settings.bootstrap_servers, "log_level": 0})
        for future in admin.delete_topics([self.settings.topic(each) for each in Topic]).values():
            with contextlib.suppress(KafkaException):  # a broker that a test has killed keeps them
                future.result(10)

    # --- programs ---

    def worker(self, name: str, *, start: bool = True, **environment: str) -> Program:
        """A worker with id and state folder of its own."""
        own = {"STREAMS_WORKER_ID": f"{self.settings.topic_prefix}{name}", "STREAMS_STATE_DIR": str(self.state(name))}
        return self.program(name, ["worker"], start=start, **own, **environment)

    def program(self, name: str, args: list[str], *, start: bool = True, **environment: str) -> Program:
        """Any of the service's programs."""
        program = Program(name, args, self.folder, {**self.environment, **environment})
        self.programs[name] = program
        if start:
            program.start()
        return program

    def state(self, name: str) -> Path:
        """The state folder of a worker."""
        return self.folder / f"state-{name}"

    def command(self, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "streams", *args],
            env={
                "PATH": "/usr/bin:/bin",
                "PYTHONPATH": str(ROOT),
                "TMPDIR": tempfile.gettempdir(),
                **self.environment,
                **environment,
            },
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )

    def require_programs(self, what: str) -> None:
        """Raise when a program has ended with an error: nobody waits for it any longer."""
        failed = [program for program in self.programs.values() if program.failed]
        assert not failed, f"{what}, but {failed[0].name} has failed:\n{failed[0].tail(20)}"

    def await_partitions(self, *workers: Program, timeout: float = 60.0) -> dict[int, str]:
        """Wait until these workers run all partitions between them; returns the owner of each."""
        deadline = time.monotonic() + timeout
        while len(owners := self.owners(*workers)) < self.partitions:
            self.require_programs(f"only {owners} run")
            if time.monotonic() > deadline:
                raise AssertionError(f"after {timeout:g} s only {owners} run")
            time.sleep(0.1)
        return owners

    @staticmethod
    def owners(*workers: Program) -> dict[int, str]:
        """Which of these workers says that it runs a partition, by its log."""
        found: dict[int, tuple[str, str]] = {}
        for worker in workers:
            moves = [
                *((line["timestamp"], 1, line["partition"]) for line in worker.events("partition running")),
                *((line["timestamp"], 0, line["partition"]) for line in worker.events("partition revoked")),
                *((line["timestamp"], 0, line["partition"]) for line in worker.events("partition lost")),
            ]
            mine = {partition: (at, runs) for at, runs, partition in sorted(moves)}
            for partition, (at, runs) in mine.items():
                if runs and (partition not in found or found[partition][0] < at):
                    found[partition] = at, worker.name
        return {partition: name for partition, (_, name) in sorted(found.items())}

    # --- commands ---

    def send(self, *commands: Record) -> None:
        """Commands to the log, each to its home partition; returns once they stand there."""
        self.send_many(commands)

    def send_many(self, commands: Iterable[Record], timeout: float = 120.0) -> None:
        """Many commands to the log, in order within a partition; returns once they stand there."""
        topic, produce = self.settings.topic(Topic.COMMANDS), self._producer.produce
        for number, command in enumerate(commands):
            produce(topic, codec.encode(command), command_key(command))  # type: ignore[arg-type]
            if number % 10_000 == 0:
                self._producer.poll(0)
        assert self._producer.flush(timeout) == 0, "commands did not reach the broker"

    def send_raw(self, value: bytes | None, key: str = "raw", partition: int = 0) -> tuple[int, int]:
        """Bytes to a partition of the log as they are; returns (partition, offset)."""
        places: list[tuple[int, int]] = []

        def delivered(error: object, message: Any) -> None:
            assert error is None, error
            places.append((message.partition(), message.offset()))

        topic = self.settings.topic(Topic.COMMANDS)
        self._producer.produce(topic, value, key, partition, on_delivery=delivered)
        assert self._producer.flush(30) == 0, "the record did not reach the broker"
        return places[0]

    def start_batch(self, start: StartBatch) -> str:
        """Start a batch; returns its id."""
        self.send(start)
        return start.batch_id

    # --- what came of it ---

    def reader(self, topic: Topic, wait_ms: int = 250) -> TopicReader:
        """A reader of one of the topics, from its start, to be kept open for a while."""
        return TopicReader(self.settings.bootstrap_servers, self.settings.topic(topic), wait_ms)

    def read(self, topic: Topic) -> list[Entry]:
        """All committed records of a topic."""
        with self.reader(topic, QUICK_MS) as reader:
            return reader.to_end()

    def progress(self, batch_id: str, *, to_end: bool = False) -> Progress:
        """What is known of a batch by now; `to_end`: everything that is committed is read first."""
        before = len(self._progress.entries)
        if to_end:
            self._progress.to_end()
        else:
            self._progress.more()
        for entry in self._progress.entries[before:]:
            record = None if entry.value is None else codec.decode(entry.value)
            if isinstance(record, BatchHeader):
                self._headers[record.batch_id] = record
            elif isinstance(record, SliceProgress):
                self._slices.setdefault(record.batch_id, {})[record.partition] = record
        return Progress(self._headers.get(batch_id), dict(self._slices.get(batch_id, {})))

    def await_progress(
        self, batch_id: str, reached: Callable[[Progress], bool], timeout: float = 60.0, what: str = "there"
    ) -> Progress:
        """Wait until a batch has come to where `reached` says yes."""
        deadline = time.monotonic() + timeout
        while not reached(progress := self.progress(batch_id)):
            self.require_programs(f"batch {batch_id} is not {what}: {progress}")
            if time.monotonic() > deadline:
                raise AssertionError(f"batch {batch_id} is not {what} after {timeout:g} s: {progress}")
        return progress

    def await_batch(self, batch_id: str, timeout: float = 120.0) -> Progress:
        """Wait until a batch is over."""
        return self.await_progress(batch_id, lambda progress: progress.state in FINAL, timeout, "over")

    def settle(self, timeout: float = 120.0) -> list[Entry]:
        """Wait until every command in the log has been applied; returns the log."""
        deadline = time.monotonic() + timeout
        with self.reader(Topic.COMMANDS, QUICK_MS) as reader, contextlib.closing(self._group()) as group:
            while True:
                last = {entry.partition: entry.offset for entry in reader.to_end()}
                committed = self._committed(group)
                if all(committed[partition] > offset for partition, offset in last.items()):
                    return reader.entries
                self.require_programs(f"last commands {last}, workers at {committed}")
                if time.monotonic() > deadline:
                    raise AssertionError(f"last commands {last}, but the workers are at {committed}")
                time.sleep(0.05)

    def verify(self) -> None:
        """The program's own check: a replay of the log gives the table that the changelog holds."""
        result = self.command("verify")
        assert result.returncode == 0, f"verify says {result.returncode}:\n{result.stdout}\n{result.stderr}"

    def check(self) -> tuple[oracle.Prediction, oracle.Table]:
        """Wait for quiet; then table, signals and progress are what the oracle says, and `verify` holds."""
        expected = oracle.predict(self.settle())
        table = oracle.fold(self.read(Topic.CHANGELOG))
        oracle.check_table(expected, table)
        oracle.check_signals(self.read(Topic.SIGNALS), expected)
        oracle.check_progress(self.read(Topic.BATCH_SLICES))
        for batch_id, matched in expected.matched.items():
            progress = self.progress(batch_id, to_end=True)
            found = {partition: each.matched for partition, each in progress.slices.items()}
            assert found == {p: matched[p] for p in range(self.partitions)}, f"{batch_id}: {found}, oracle {matched}"
        self.check_flows()
        self.verify()
        return expected, table

    def check_flows(self, timeout: float = 30.0) -> None:
        """Wait for quiet, and until all is published; then flows, members, rows and reasons agree."""
        deadline = time.monotonic() + timeout
        while True:
            log, (changelog, signals) = self.settle(), map(self.read, (Topic.CHANGELOG, Topic.SIGNALS))
            try:
                oracle_flows.check_flows(log, changelog, signals, self.read(Topic.FLOWS))
            except AssertionError:
                # What was held back of a flow comes a little later than its last command.
                if time.monotonic() > deadline:
                    raise
            else:
                return

    def _group(self) -> Consumer:
        """Who may ask for the workers' offsets; it never joins them."""
        return Consumer(
            {
                "bootstrap.servers": self.settings.bootstrap_servers,
                "group.id": self.settings.group_id,
                "enable.auto.commit": False,
                "log_level": 0,
            }
        )

    def _committed(self, group: Consumer) -> dict[int, int]:
        topic = self.settings.topic(Topic.COMMANDS)
        places = [TopicPartition(topic, each) for each in range(self.partitions)]
        return {each.partition: each.offset for each in group.committed(places, timeout=30)}
