"""The engine on its SQLite tables and the model side by side: every command goes to both, both must say the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from streams.codec import encode_invocation
from streams.engine import apply
from streams.engine.answers import At, PageSizes
from streams.engine.effects import Append, Send, SendAll
from streams.model import (
    ENGINE_VERSION,
    ContinueFlow,
    ContinueSlice,
    ControlBatch,
    ControlOperation,
    Invoke,
    ReleaseHeld,
    Signal,
    StartBatch,
    Tick,
)
from streams.protocol.routing import home, partition_of, routing_key
from streams.protocol.validation import CommandRefusedError
from streams.state.store import Store
from streams.state.table import Table
from support.reference import apply as protocol
from support.reference.beside import check, flow_facts
from support.reference.partition import Partition, Seen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from streams.engine.effects import Effect
    from streams.model import Command, Flow
    from support.reference.state import FlowName

MOST_TICKS = 20
MINUTE_MS = 60_000
RETENTION_MS = 24 * 60 * MINUTE_MS
BATCH_RETENTION_MS = 7 * RETENTION_MS


class Entry(NamedTuple):
    """A command where it is in the log."""

    offset: int
    timestamp: int
    command: Command


class Did(NamedTuple):
    """What the engine made of a command; a START signal carries its payload."""

    refused: str | None
    signals: list[Signal]
    appended: list[tuple[int, Command]]


class Pair:
    """One partition, twice; `changelog` and so on hold what its committed turns have written."""

    def __init__(self, number: int, partitions: int, sizes: PageSizes) -> None:
        self.number, self.partitions, self.sizes = number, partitions, sizes
        self.model = Partition(
            number,
            partitions,
            lambda name: partition_of(routing_key(name), partitions),
            lambda flow: partition_of(routing_key(flow[1]) if flow[0] else flow[1], partitions),
        )
        self.changelog: list[tuple[str, bytes | None]] = []
        self.progress: dict[str, bytes | None] = {}
        self.signals: list[Signal] = []
        self.dead_letters: list[str] = []
        self.appended: list[tuple[int, Command]] = []
        self.next_offset = 0
        self.watch = check.Watch()
        self._open()

    def _open(self) -> None:
        self.store = Store.open(Path(":memory:"), self.number)
        self.table = Table(self.store, self.number, self.partitions, self.sizes)

    def close(self) -> None:
        """The table is not needed any more."""
        self.store.close()

    # --- turns and what may befall them ---

    def turn(self, entries: Sequence[Entry]) -> list[tuple[int, Command]]:
        """Apply commands, compare, commit; returns what the turn appends to the logs."""
        appended = []
        for entry, did in self._engine(entries):
            appended += did.appended
            seen = Seen(self.table.slice, did.appended, did.signals, self._flow)
            command = _plain(entry.command)
            must = protocol.apply(self.model, entry.offset, entry.timestamp, command, seen)
            check.outcome(entry, did, must)
            self.watch.after(self.model, did.signals)
            self.signals += did.signals
            self.dead_letters += [] if did.refused is None else [did.refused]
        self.changelog += self.table.flush()
        published = self.table.published()
        self.watch.published(self.model, published)
        self.progress.update(published)
        self.appended += appended
        self.table.commit(len(self.changelog), 0)
        self.next_offset = entries[-1].offset + 1
        self.check()
        return appended

    def _flow(self, name: FlowName) -> Flow | None:
        return self.table.flow(name[1], children=name[0])

    def at_rest(self) -> bool:
        """Whether every batch is over here, as lead and as slice, and no flow waits for a member."""
        leads, parts = self.model.leads.values(), self.model.parts.values()
        batches = all(lead.state in check.OVER for lead in leads) and all(p.over and not p.pending for p in parts)
        return batches and all(flow.due_at is None for flow in self.model.flows.values())

    def aborted_turn(self, entries: Sequence[Entry]) -> None:
        """The engine applies commands, and then its transaction is aborted: they will come again."""
        for _ in self._engine(entries):
            pass
        self.table.flush()
        self.table.rollback()
        self.check()

    def lose_commit(self) -> None:
        """The table is as at an earlier commit, and its changelog's tail is replayed."""
        tail = [(key, value, offset) for offset, (key, value) in enumerate(self.changelog)]
        self.store.begin()
        self.store.apply_changelog(tail[len(tail) // 2 :])
        self.store.commit(len(tail), 0)
        self.table = Table(self.store, self.number, self.partitions, self.sizes)
        self.check()

    def lose_table(self, *, compacted: bool) -> None:
        """Another worker restores the partition from its changelog."""
        last = {key: offset for offset, (key, _) in enumerate(self.changelog)}
        records = [
            (key, value, offset)
            for offset, (key, value) in enumerate(self.changelog)
            if not compacted or last[key] == offset
        ]
        self.store.close()
        self.store = Store.open(Path(":memory:"), self.number)
        self.store.begin()
        self.store.apply_changelog(records)
        self.store.commit(len(self.changelog), 0)
        self.table = Table(self.store, self.number, self.partitions, self.sizes)
        self.check()

    def _engine(self, entries: Sequence[Entry]) -> Iterator[tuple[Entry, Did]]:
        self.table.begin()
        self.table.load([_id_of(entry.command) for entry in entries])
        clock = self.table.meta.clock
        for entry in entries:
            clock = max(clock, entry.timestamp)
            at = At(self.number, entry.offset, clock)
            try:
                effects = apply(_encoded(entry.command), at, self.table)
            except CommandRefusedError as refused:
                yield entry, Did(refused.code, [], [])
                continue
            self.table.absorb(effects, at)
            yield entry, _did(effects)
        self.table.set_position(entries[-1].offset + 1, clock)

    def check(self) -> None:
        """All that the table remembers is what the model remembers."""
        dump = dict(self.store.dump())
        check.table(self.model, dump, self.next_offset)
        flow_facts.table(self.model, dump)


def _did(effects: Sequence[Effect]) -> Did:
    signals: list[Signal] = []
    appended: list[tuple[int, Command]] = []
    for effect in effects:
        match effect:
            case Send():
                signals.append(check.signal(effect))
            case SendAll():
                signals += [check.signal(each) for each in effect.each()]
            case Append(partition, _, command):
                appended.append((partition, command))
            case _:
                pass
    return Did(None, signals, appended)


def _id_of(command: Command) -> str:
    if isinstance(command, Invoke):
        return command.invocation.invocation_id
    return getattr(command, "invocation_id", "")


def _encoded(command: Command) -> Command:
    return replace(command, encoded=encode_invocation(command.invocation)) if isinstance(command, Invoke) else command


def _plain(command: Command) -> Command:
    return replace(command, encoded=b"") if isinstance(command, Invoke) else command


class Cluster:
    """All partitions, each with its log; `now` stamps what is logged."""

    def __init__(self, partitions: int, sizes: PageSizes, pair: type[Pair] = Pair) -> None:
        self.partitions = partitions
        self.now = 1_000_000
        self.sound = True
        self.reconcile_labels: dict[str, str] = {}
        self.logs: list[list[Entry]] = [[] for _ in range(partitions)]
        self.pairs = [pair(number, partitions, sizes) for number in range(partitions)]
        self.taken = [0] * partitions

    def close(self) -> None:
        """Nothing is needed any more."""
        for pair in self.pairs:
            pair.close()

    def send(self, *commands: Command) -> None:
        """Log each command on its home partition."""
        for command in commands:
            partition = home(command, self.partitions)
            assert partition is not None
            self.logs[partition].append(Entry(len(self.logs[partition]), self.now, command))

    def written(self, partition: int) -> list[Command]:
        """What stands in a partition's log so far; none for a partition that does not exist."""
        return [entry.command for entry in self.logs[partition]] if partition < self.partitions else []

    def next_turn(self, partition: int, most: int) -> list[Entry]:
        """What a turn of the partition takes: at most `most`, up to the first page and what follows it."""
        entries: list[Entry] = []
        pages = 0
        for entry in self.logs[partition][self.taken[partition] :][:most]:
            pages += isinstance(entry.command, (ContinueSlice, ContinueFlow, ReleaseHeld, Tick))
            if pages > 1:
                break
            entries.append(entry)
        return entries

    def turn(self, partition: int, most: int = 1_000) -> bool:
        """A turn of the partition; whether there was anything to do."""
        appended = self.apply(partition, most)
        for to, command in appended or ():
            self.logs[to].append(Entry(len(self.logs[to]), self.now, command))
        return appended is not None

    def apply(self, partition: int, most: int = 1_000) -> list[tuple[int, Command]] | None:
        """Both sides take a turn; what it appends to the logs, None if there was nothing to do."""
        entries = self.next_turn(partition, most)
        if not entries:
            return None
        self.sound = False
        appended = self.pairs[partition].turn(entries)
        self.taken[partition] += len(entries)
        self.sound = True
        return appended

    def abort(self, partition: int, most: int) -> None:
        """A turn whose transaction is aborted."""
        entries = self.next_turn(partition, most)
        if entries:
            self.sound = False
            self.pairs[partition].aborted_turn(entries)
            self.sound = True

    def crash(self, partition: int, how: str) -> None:
        """The partition's worker dies, and another takes over, from where `how` leaves it."""
        pair = self.pairs[partition]
        self.sound = False
        if how == "commit":
            pair.lose_commit()
        else:
            pair.lose_table(compacted=how == "compacted")
        self.sound = True

    def settle(self) -> None:
        """Turns until nothing is left to apply."""
        while sum(self.turn(partition) for partition in range(self.partitions)):
            pass

    def tick(self, partition: int, max_rows: int = 1_000) -> None:
        """Log the tick that a worker would write now."""
        tick = Tick(
            engine_version=ENGINE_VERSION,
            partition=partition,
            tick_no=self.pairs[partition].table.meta.tick_no + 1,
            due_until=self.now,
            ended_before=self.now - RETENTION_MS,
            batches_ended_before=self.now - BATCH_RETENTION_MS,
            reconcile_interval_ms=15_000,
            max_rows=max_rows,
            reconcile_labels=self.reconcile_labels,
        )
        self.send(tick)

    def finish(self, batches: Sequence[StartBatch]) -> None:
        """Left alone, and with nothing paused, every batch comes to its end."""
        self.settle()
        names = {start.batch_id for start in batches}
        self.send(*(ControlBatch(name, ControlOperation.RESUME) for name in sorted(names)))
        self.settle()
        for _ in range(MOST_TICKS):
            if all(pair.at_rest() for pair in self.pairs):
                break
            self.now += 30_000
            for partition in range(self.partitions):
                self.tick(partition)
            self.settle()
        check.same("everything is over", [pair.at_rest() for pair in self.pairs], [True] * self.partitions)
        flow_facts.at_rest([pair.model for pair in self.pairs])
