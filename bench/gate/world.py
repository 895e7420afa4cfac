"""A worker's partitions without Kafka and without time: the same work takes the same bytecodes whenever it is done."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from bench import profile_turn
from bench.profile_turn import PARTITIONS, TOPICS, Machine
from streams import codec
from streams.protocol.routing import home
from streams.worker import turn

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable, Iterator

    from bench.lib.counting import Counter
    from streams.model import Command
    from streams.worker.queries import Queries

NOW = 1_800_000_000_000
"""When everything begins, ms since 1970."""
BENCH = str(Path(__file__).parents[1])
"""What runs in these files is the benchmark's own."""


class _Nothing:
    """Upkeep that is never done: it goes by the clock, and partly on a thread of its own."""

    def __init__(self, *_: Any) -> None: ...

    def after_turn(self, *, busy: bool) -> None: ...

    def close(self) -> None: ...


class Clock:
    """A clock that is set; `now`: ms since 1970."""

    now = NOW

    def time_ns(self) -> int:
        """In place of `time.time_ns`."""
        return 1_000_000 * self.now


class World(Machine):
    """The partitions, and a counter that runs while `count` is true or within `counted`."""

    def __init__(self, folder: Path, counter: Counter, clock: Clock) -> None:
        self.folder = folder
        self.clock = clock
        self.counter = counter
        self.connections: list[sqlite3.Connection] = []
        self.changelog: list[list[tuple[str, bytes | None, int]]] = [[] for _ in range(PARTITIONS)]
        self.queries: Queries | None = None
        super().__init__(folder)
        self.connections += [task.store.db for task in self.tasks]

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count what is done meanwhile."""
        with self.counter.counting(self.connections):
            yield

    def apply(self, commands: Iterable[Command], *, count: bool = False) -> None:
        """Apply commands, all in one turn, and what follows from them."""
        self.take(commands, count=count)
        self.go_on(count=count)

    def take(self, commands: Iterable[Command], *, count: bool = False) -> None:
        """Decode commands into the backlogs of their partitions."""
        messages: list[list[Any]] = [[] for _ in self.tasks]
        for command in commands:
            partition = home(command, PARTITIONS) or 0
            messages[partition].append(self._message(partition, "key", codec.encode(command)))
        with self._if(count=count):
            for task, own in zip(self.tasks, messages, strict=True):
                task.backlog += turn.items_of(own, PARTITIONS)  # type: ignore[attr-defined]

    def go_on(self, *, count: bool = False, only: Collection[type] = ()) -> None:
        """Turn after turn until nothing is left. `only`: count the turns with commands of these types, no others."""
        while any(task.backlog for task in self.tasks):
            found = only and any(type(item.command) in only for task in self.tasks for item in task.backlog)
            with self._if(count=count or bool(found)):
                self.turn()
            self._keep()

    def tick(self, after_ms: int, *, count: bool = False) -> None:
        """Let time pass and act, again and again, until nothing is due. Whether it is is counted in any case."""
        self.clock.now += after_ms
        while True:
            with self.counted():
                done = turn.Turn(self.settings, TOPICS, self.sizes)
                done.write_ticks(self.tasks, self.clock.now)
            for partition, records in done.outbox.commands.items():
                self._log(partition, records)
            if not done.outbox.commands:
                return
            self.go_on(count=count)
            self.clock.now += 1_000

    def _if(self, *, count: bool) -> Any:
        return self.counted() if count else nullcontext()

    def _keep(self) -> None:
        """Keep the turn's changelog: a restore needs it."""
        if self.last is not None:
            for partition, records in self.last.outbox.changelog.items():
                log = self.changelog[partition]
                log += [(each["key"], each["value"], len(log) + place) for place, each in enumerate(records)]


@contextmanager
def still_world(folder: Path, counter: Counter) -> Iterator[World]:
    """A world in which no clock goes by itself. It changes `time` for the whole process."""
    with ExitStack() as stack:
        for name in ("WalKeeper", "Collector"):
            stack.enter_context(patch.object(profile_turn, name, _Nothing))
        for name in ("perf_counter", "monotonic", "thread_time", "process_time"):
            stack.enter_context(patch.object(time, name, float))
        clock = Clock()
        stack.enter_context(patch.object(time, "time_ns", clock.time_ns))
        world = World(folder, counter, clock)
        yield world
        world.close()
