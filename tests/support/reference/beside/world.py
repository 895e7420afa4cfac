"""A whole worker on the fake cluster, dying now and then, and beside it what the model makes of its command log."""

from __future__ import annotations

import shutil
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from confluent_kafka import KafkaError
from msgspec.structs import replace

from streams import codec
from streams.config import Topic
from streams.engine.answers import PageSizes
from streams.model import ActMembers, ContinueFlow, ContinueSlice, Invoke, ReleaseHeld, Signal, SliceProgress, Tick
from streams.protocol.routing import home
from streams.state.store import Store
from support.kafka.fake_cluster import Crash, failure
from support.reference.beside import check, flow_facts
from support.reference.beside.twin import Cluster, Entry
from support.service.worker_world import PARTITIONS, World

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.model import Command


class WorkerWorld(Cluster):
    """The worker does what `Cluster` did; its log is followed as far as it is committed."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.fenced = False
        self.sent: list[Command] = []
        self.folder = Path(self._stack.enter_context(TemporaryDirectory()))
        self.world = World(self.folder)
        self._count_store_commits()
        super().__init__(PARTITIONS, PageSizes(1, 1))

    @property
    def now(self) -> int:
        """The broker's clock."""
        return self.world.cluster.now

    @now.setter
    def now(self, now: int) -> None:
        self.world.cluster.now = max(now, self.world.cluster.now)

    def close(self) -> None:
        """Everything ends."""
        super().close()
        self.world.cluster.faults.cancel()
        self.world.die()
        self._stack.close()

    def send(self, *commands: Command) -> None:
        """Log each command on its home partition."""
        for command in commands:
            partition = home(command, self.partitions)
            assert partition is not None
            self.sent.append(command)
            self.world.log(codec.encode(command), "key", partition)

    def tick(self, partition: int, max_rows: int = 1_000) -> None:
        """The worker writes its ticks itself."""

    def turn(self, partition: int, most: int = 1_000) -> bool:
        """A turn of the worker, on all partitions."""
        del partition, most
        try:
            self.world._alive().step()
        except Crash:
            self.world.die()
        self.world.cluster.now += 1
        self._follow()
        return True

    def settle(self) -> None:
        """Turns until the worker rests; then everything that it wrote is as it must be."""
        self.world.run_until_idle()
        self._follow()
        self.sound = False
        self._compare()
        self.sound = True

    def abort(self, partition: int, most: int) -> None:
        """One of the next transactions fails."""
        name = ("produce_batch", "send_offsets", "commit:before", "commit:after")[most % 4]
        error: dict[str, Any] = {"code": KafkaError.ILLEGAL_GENERATION, "abortable": True}
        # A worker that is fenced twice within a minute rightly stops.
        if partition and not self.fenced:
            self.fenced, error = True, {"code": KafkaError._FENCED, "fatal": True}
        if name != "commit:after" or "fatal" in error:
            self.world.cluster.faults.fail(name, failure(**error), most)

    def crash(self, partition: int, how: str) -> None:
        """The worker dies, now or at a step soon; with the table, its state folder is gone too."""
        if how == "commit":
            self.world.cluster.faults.crash_at(7 * partition)
            return
        self.world.die()
        if how == "table":
            shutil.rmtree(self.folder / "state", ignore_errors=True)
        else:
            self.world.cluster.compact(self.world.settings.topic(Topic.CHANGELOG))

    def _count_store_commits(self) -> None:
        """SQLite's commits are steps at which the worker may die."""
        commit, faults = Store.commit, self.world.cluster.faults

        def counted(store: Store, changelog_position: int, saved_at: int) -> None:
            mine = self.folder in store.path.parents
            if mine:
                faults.step("store:before")
            commit(store, changelog_position, saved_at)
            if mine:
                faults.step("store:after")

        self._stack.enter_context(patch.object(Store, "commit", counted))

    # --- the model beside it ---

    def _follow(self) -> None:
        topic = self.world.settings.topic(Topic.COMMANDS)
        for partition, log in enumerate(self.logs):
            records = self.world.cluster.records(topic, partition)
            log += [Entry(r.offset, r.timestamp[1], codec.decode_command(r.value)) for r in records[len(log) :]]
            while self.apply(partition) is not None:
                pass

    def _compare(self) -> None:
        world = self.world
        dumps = {task.partition: dict(task.store.dump()) for task in world._alive().tasks.values()}
        for partition, pair in enumerate(self.pairs):
            mine = dict(pair.store.dump())
            found = {key: value for key, value in dumps[partition].items() if key != "m/"}
            check.same(f"table of {partition}", found, {key: value for key, value in mine.items() if key != "m/"})
        signals: list[Signal] = world.published(Topic.SIGNALS)
        written = Counter(_known_by(entry.command) for log in self.logs for entry in log)
        must = Counter(map(_known_by, self.sent))
        must.update(_known_by(command) for pair in self.pairs for _, command in pair.appended)
        check.same("log", {**written, "Tick": 0}, {**must, "Tick": 0})
        check.same(
            "signals", Counter(map(repr, signals)), Counter(repr(s) for pair in self.pairs for s in pair.signals)
        )
        letters = world.cluster.records(world.settings.topic(Topic.DEAD_LETTERS))
        codes = sorted(dict(record.headers or [])["error-code"].decode() for record in letters)
        check.same("dead letters", codes, sorted(code for pair in self.pairs for code in pair.dead_letters))
        progress = world.cluster.records(world.settings.topic(Topic.BATCH_SLICES))
        latest = {(record.key or b"").decode(): record.value for record in progress}
        must_be = {key: value for pair in self.pairs for key, value in pair.progress.items()}
        self._compare_flows()
        check.same("progress", self._without_turns(latest), self._without_turns(must_be))

    def _compare_flows(self) -> None:
        records = self.world.cluster.records(self.world.settings.topic(Topic.FLOWS))
        held_back = {name for task in self.world._alive().tasks.values() for name in task.flows._changed}
        latest = flow_facts.published([((record.key or b"").decode(), record.value) for record in records])
        flow_facts.newest(latest, [pair.model for pair in self.pairs], held_back)

    def _without_turns(self, progress: Mapping[str, bytes | None]) -> dict[str, bytes | None]:
        """Progress without what depends on where turns end: which one told that more or fewer rows wait."""
        found = dict(progress)
        tables = {task.partition: task.running_table for task in self.world._alive().tasks.values()}
        both = [
            each for pair in enumerate(self.pairs) for each in ((pair[0], pair[1].table), (pair[0], tables[pair[0]]))
        ]
        untold = {partition for partition, table in both if table._batches.held.unknown}
        for key, value in progress.items():
            record = None if value is None else codec.decode(value)
            if isinstance(record, SliceProgress):
                slice_ = self.pairs[record.partition].table.slice(record.batch_id)
                revision, at = record.revision, record.updated_at
                if slice_ is not None and revision > slice_.revision:
                    revision, at = slice_.revision, slice_.updated_at
                # A worker that has just taken the partition over tells with its first turn there, if one comes.
                held = 0 if record.partition in untold else record.held
                found[key] = codec.encode(replace(record, held=held, revision=revision, updated_at=at))
        return found


def _known_by(command: Command) -> str:
    """The command without what is the worker's choice."""
    match command:
        case ReleaseHeld():
            return repr(replace(command, max_rows=0))
        case ContinueSlice() | ContinueFlow():
            return repr(replace(command, max_scanned=0, max_matched=0))
        case ActMembers():
            return repr(replace(command, max_rows=0))
        case Invoke():
            return repr(replace(command, encoded=b""))
        case Tick():
            return "Tick"
        case _:
            return repr(command)
