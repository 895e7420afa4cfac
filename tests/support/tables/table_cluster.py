"""The engine on tables as workers have them, without Kafka: for histories too long for plain dicts."""

from __future__ import annotations

from collections import Counter, deque
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from streams.codec import encode_invocation
from streams.engine import apply
from streams.engine.answers import At
from streams.engine.effects import Append, Send, SendAll
from streams.model import ENGINE_VERSION, Invoke, Tick
from streams.protocol.routing import home
from streams.state.store import Store
from streams.state.table import Table
from support.tables.memory_cluster import BATCH_RETENTION_MS, RETENTION_MS

if TYPE_CHECKING:
    from streams.engine.answers import PageSizes
    from streams.model import Command

_A_TURN = 1_000
"""After so many commands of a partition its turn is committed."""


class TableCluster:
    """All partitions of a service; nothing of the logs is kept.

    `kinds`: commands applied. `most_effects`: the most that one of them had. `entries`: keys of members' entries that
    compaction would keep.
    """

    def __init__(self, partitions: int, sizes: PageSizes) -> None:
        self.partitions = partitions
        self.now = 1_000_000
        stores = [Store.open(Path(":memory:"), partition) for partition in range(partitions)]
        self.tables = [Table(store, partition, partitions, sizes) for partition, store in enumerate(stores)]
        self.kinds: Counter[str] = Counter()
        self.signals: Counter[str] = Counter()
        self.most_effects = 0
        self.entries: set[str] = set()
        self._logs: list[deque[Command]] = [deque() for _ in range(partitions)]
        self._offsets = [0] * partitions
        self._open = [0] * partitions

    def close(self) -> None:
        """Close the tables."""
        for table in self.tables:
            table._store.close()

    def send(self, *commands: Command) -> None:
        """Log each command on its home partition."""
        for command in commands:
            if isinstance(command, Invoke):
                command = replace(command, encoded=encode_invocation(command.invocation))  # noqa: PLW2901
            partition = home(command, self.partitions)
            assert partition is not None
            self._logs[partition].append(command)

    def run(self, *commands: Command) -> None:
        """Log the commands and apply everything, what follows from it included."""
        self.send(*commands)
        while any(self._logs):
            for partition, log in enumerate(self._logs):
                for _ in range(len(log)):
                    self._step(partition, log.popleft())
        for partition in range(self.partitions):
            self._commit(partition)

    def tick(self, after_ms: int, max_rows: int = 1_000) -> None:
        """Let time pass, and act on every partition until nothing is due."""
        self.now += after_ms
        for partition, table in enumerate(self.tables):
            number, old = table.meta.tick_no + 1, (self.now - RETENTION_MS, self.now - BATCH_RETENTION_MS)
            self.send(Tick(ENGINE_VERSION, partition, number, self.now, *old, 15_000, max_rows=max_rows))
        self.run()

    def count(self, table: str) -> int:
        """Number of lines of one of the tables' tables, over all partitions."""
        sql = f"SELECT count(*) FROM {table}"  # noqa: S608 - the tests' own names
        return sum(each._db.execute(sql).fetchone()[0] for each in self.tables)

    def statuses(self) -> Counter[str]:
        """Rows by status."""
        return sum((Counter(table.meta.counts) for table in self.tables), Counter())

    def _step(self, partition: int, command: Command) -> None:
        table, at = self.tables[partition], At(partition, self._offsets[partition], self.now)
        if not self._open[partition]:
            table.begin()
        effects = apply(command, at, table)
        table.absorb(effects, at)
        self._offsets[partition] += 1
        self._open[partition] += 1
        self.kinds[type(command).__name__] += 1
        self.most_effects = max(self.most_effects, len(effects))
        for effect in effects:
            if isinstance(effect, Append):
                self._logs[effect.partition].append(effect.command)
            elif isinstance(effect, Send):
                self.signals[effect.kind] += 1
            elif isinstance(effect, SendAll):
                self.signals[effect.kind] += len(effect.rows)
        if self._open[partition] >= _A_TURN:
            self._commit(partition)

    def _commit(self, partition: int) -> None:
        if self._open[partition]:
            table = self.tables[partition]
            table.set_position(self._offsets[partition], self.now)
            for key, value in table.flush():
                if key[0] == "g":
                    (self.entries.discard if value is None else self.entries.add)(f"{partition}/{key}")
            table.commit(0, 0)
            self._open[partition] = 0
