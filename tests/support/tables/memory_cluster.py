"""The engine on several partitions without Kafka: each log a list, each table a dict, time set by hand."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from streams.engine import apply
from streams.engine.answers import At
from streams.engine.effects import Append, Count, PutSlice, Send, SendAll
from streams.model import ENGINE_VERSION, Invocation, Invoke, Row, Tick
from streams.protocol.routing import home, partition_of, routing_key
from streams.protocol.validation import CommandRefusedError
from support.tables.memory_table import DEFAULT_SIZES, MemoryTable

if TYPE_CHECKING:
    from streams.engine.answers import PageSizes
    from streams.engine.effects import Effect
    from streams.model import Batch, Command, Slice

RETENTION_MS = 24 * 60 * 60 * 1000
BATCH_RETENTION_MS = 7 * RETENTION_MS


class MemoryCluster:
    """All partitions of a service; `send` logs a command, `run` applies what is logged until nothing is left."""

    def __init__(self, partitions: int = 1, page_sizes: PageSizes = DEFAULT_SIZES) -> None:
        self.partitions = partitions
        self.now = 1_000_000
        self.tables = [MemoryTable(partitions, page_sizes) for _ in range(partitions)]
        self.logs: list[list[tuple[int, Command]]] = [[] for _ in range(partitions)]
        self.applied = [0] * partitions
        self.signals: list[tuple[int, Send]] = []
        self.refused: list[CommandRefusedError] = []
        self.progress: list[Slice] = []
        self.counts: Counter[str] = Counter()

    def send(self, *commands: Command) -> None:
        """Log each command on its home partition, at the present time."""
        for command in commands:
            partition = home(command, self.partitions)
            assert partition is not None
            self.logs[partition].append((self.now, command))

    def step(self, partition: int) -> list[Effect]:
        """Apply the partition's next command."""
        offset = self.applied[partition]
        now, command = self.logs[partition][offset]
        self.applied[partition] += 1
        at = At(partition, offset, now)
        table = self.tables[partition]
        try:
            effects = apply(command, at, table)
        except CommandRefusedError as refusal:
            self.refused.append(refusal)
            return []
        table.absorb(effects, at)
        for effect in effects:
            match effect:
                case Append(to, _, following):
                    self.logs[to].append((self.now, following))
                case Send():
                    self.signals.append((partition, effect))
                case SendAll():
                    self.signals += [(partition, send) for send in effect.each()]
                case PutSlice(slice_):
                    self.progress.append(slice_)
                case Count(name, by):
                    self.counts[name] += by
                case _:
                    pass
        return effects

    def waiting(self) -> list[int]:
        """Partitions with commands not yet applied."""
        return [p for p in range(self.partitions) if self.applied[p] < len(self.logs[p])]

    def run(self, *commands: Command) -> None:
        """Log the commands and apply everything, what follows from it included."""
        self.send(*commands)
        while waiting := self.waiting():
            for partition in waiting:
                self.step(partition)

    def tick(self, after_ms: int = 0, max_rows: int = 1_000) -> None:
        """Let time pass, and act on every partition."""
        self.now += after_ms
        for partition, table in enumerate(self.tables):
            self.send(self.next_tick(partition, table, max_rows))
        self.run()

    def next_tick(self, partition: int, table: MemoryTable, max_rows: int = 1_000) -> Tick:
        """The tick a worker would write now."""
        return Tick(
            engine_version=ENGINE_VERSION,
            partition=partition,
            tick_no=table.meta.tick_no + 1,
            due_until=self.now,
            ended_before=self.now - RETENTION_MS,
            batches_ended_before=self.now - BATCH_RETENTION_MS,
            reconcile_interval_ms=15_000,
            max_rows=max_rows,
            max_bytes=table.page_sizes.max_bytes,
        )

    def row(self, invocation_id: str) -> Row:
        """The invocation's row, wherever it lives."""
        return self.tables[partition_of(routing_key(invocation_id), self.partitions)].rows[invocation_id]

    def batch(self, batch_id: str) -> Batch:
        """The batch as its lead remembers it."""
        return self.tables[partition_of(batch_id, self.partitions)].batches[batch_id]

    def slices(self, batch_id: str) -> list[Slice]:
        """The batch's slices of all partitions that know it."""
        return [table.slices[batch_id] for table in self.tables if batch_id in table.slices]

    def total(self, batch_id: str) -> dict[str, int]:
        """The batch's counters summed."""
        names = ("matched", "done", "pending", "skipped", "failed")
        return {name: sum(getattr(slice_, name) for slice_ in self.slices(batch_id)) for name in names}


def invocation(invocation_id: str = "a", **fields: Any) -> Invocation:
    """An invocation of the service `mail`."""
    return Invocation(**({"invocation_id": invocation_id, "service": "mail", "handler": "send"} | fields))


def invoke(invocation_id: str = "a", *, scheduled_at: int | None = None, adopt: bool = False, **fields: Any) -> Invoke:
    """An `Invoke` as the codec gives it."""
    return Invoke(
        invocation(invocation_id, **fields),
        scheduled_at=scheduled_at,
        adopt=adopt,
        payload=f"payload of {invocation_id}".encode(),
        encoded=f"encoded {invocation_id}".encode(),
    )
