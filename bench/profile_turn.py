"""Where a turn's time goes, without Kafka: decode, decide, remember, encode, over a list of commands in memory.

    python -m bench.profile_turn [--commands N] [--rows N] [--cprofile]

Each job is run twice: once as it is, for the total, and once with a clock around each step, for the shares. All times
are the thread's CPU time, so other people's load on the machine adds only its disturbance of the caches. The clock's
own cost is taken off. This is the bare minimum of a worker: Kafka's part (consume, produce, commit) comes on top.
"""

from __future__ import annotations

import argparse
import cProfile
import functools
import pstats
import tempfile
import time
from collections import defaultdict, deque
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from confluent_kafka import Message

from bench.lib import workload
from bench.lib.report import print_table
from streams import codec
from streams.config import Settings
from streams.model import Action, CancelFlow, CancelPolicy, ContinueSlice, Filter, FlowAction, StartBatch
from streams.protocol.routing import partition_of
from streams.protocol.validation import MAX_GRACE_MS
from streams.state import overlay, table
from streams.state.store import Store
from streams.worker import outbox, turn
from streams.worker.housekeeping import Collector, WalKeeper
from streams.worker.intake import pages_a_turn, take_inputs
from streams.worker.items import items_of
from streams.worker.page_sizes import FIRST, Budget, TunedSizes
from streams.worker.task import PartitionTask, Phase
from streams.worker.topics import Topics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bench.lib.workload import Record

PARTITIONS = 4
_FLOW = "flow"
_MEMBERS = 100
"""Members of a flow."""
TOPICS = Topics("commands", "changelog", PARTITIONS, "", "", 86_400_000, PARTITIONS, PARTITIONS, 1)


class Clock:
    """Seconds spent in each step, and how many calls that were."""

    def __init__(self) -> None:
        self.calls: dict[str, int] = defaultdict(int)
        self._measured: dict[str, float] = defaultdict(float)
        self._own = self._cost()

    @property
    def seconds(self) -> dict[str, float]:
        """CPU seconds by step."""
        return {step: max(0.0, spent - self.calls[step] * self._own) for step, spent in self._measured.items()}

    @staticmethod
    def _cost() -> float:
        """What of the clock's own cost falls into the time it measures, seconds a call."""
        began = time.thread_time()
        for _ in range(10_000):
            time.thread_time()
        return (time.thread_time() - began) / 10_000

    def around(self, step: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same function with the clock around it."""

        @functools.wraps(call)
        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.thread_time()
            try:
                return call(*args, **kwargs)
            finally:
                self._measured[step] += time.thread_time() - began
                self.calls[step] += 1

        return timed


STEPS: tuple[tuple[str, Any, str], ...] = (
    ("decode and home", turn, "items_of"),
    ("decode and home", turn, "take_inputs"),
    ("look up rows", table.Table, "load"),
    ("decide (engine)", turn, "apply"),
    ("absorb", table.Table, "absorb"),
    ("  of it a page's SELECT", table, "select_page"),
    ("  of it a page's UPDATE", overlay, "apply_delta"),
    ("signal", outbox.Outbox, "signal"),
    ("signals of a page", outbox.Outbox, "signals_of_page"),
    ("write rows to SQLite", table.Table, "write"),
    ("  of it encode rows", overlay, "encode_row"),
    ("flush the rest", table.Table, "flush"),
    ("changelog to dicts", outbox.Outbox, "table_changes"),
    ("SQLite commit", table.Table, "commit"),
)


class Machine:
    """A worker's four partitions in one process, with a command log in memory in place of Kafka."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(_env_file=None)
        self.sizes = TunedSizes(self.settings.tick_max_rows)
        self.turns = self.applied = self.signals = 0
        self.last: turn.Turn | None = None
        self.pages: list[int] = []
        self._next = [0] * PARTITIONS
        self._logging_s = 0.0
        self.tasks = [self._task(folder / f"{p}.sqlite3", p) for p in range(PARTITIONS)]
        self._keeper = WalKeeper(lambda: [task.store for task in self.tasks])
        self._collector = Collector()

    def close(self) -> None:
        """Close files and thread."""
        self._keeper.close()
        self._collector.close()
        for task in self.tasks:
            task.close()

    def log(self, partition: int, key: str, value: bytes) -> None:
        """Append a command."""
        self._log(partition, [{"key": key, "value": value}])

    def _log(self, partition: int, records: list[dict[str, Any]]) -> None:
        """Append commands: dicts of key and value. What the log itself costs is noted, and counts as Kafka's."""
        began = time.thread_time()
        messages = [self._message(partition, record["key"], record["value"]) for record in records]
        self._logging_s += time.thread_time() - began
        self.tasks[partition].backlog += turn.items_of(messages, PARTITIONS)  # type: ignore[attr-defined]

    def run(self, records: Iterable[Record]) -> float:
        """Apply all of them, turns as large as a worker's; returns the CPU seconds it took."""
        waiting: list[deque[Any]] = [deque() for _ in self.tasks]
        for partition, key, value in records:
            waiting[partition].append(self._message(partition, key, value))
        most = self.settings.max_turn_records // PARTITIONS
        self._logging_s = 0.0
        began = time.thread_time()
        while any(waiting) or any(task.backlog for task in self.tasks):
            for task, rest in zip(self.tasks, waiting, strict=True):
                room = max(0, min(len(rest), most - len(task.backlog)))
                task.backlog += turn.items_of((rest.popleft() for _ in range(room)), PARTITIONS)  # type: ignore[attr-defined]
            self.turn()
        return time.thread_time() - began - self._logging_s

    def _message(self, partition: int, key: str, value: bytes) -> Message:
        offset, self._next[partition] = self._next[partition], self._next[partition] + 1
        stamp = (2, time.time_ns() // 1_000_000)
        return Message(
            topic="commands", partition=partition, offset=offset, key=key.encode(), value=value, timestamp=stamp
        )

    def turn(self) -> None:
        """One turn over what is in the backlogs."""
        inputs = turn.take_inputs(self.tasks, self.turns, pages_a_turn(PARTITIONS, waited_for=False), ())  # type: ignore[attr-defined]
        done = turn.Turn(self.settings, TOPICS, self.sizes)
        done.apply(inputs)
        for position, task in enumerate(done.tasks):
            task.running_table.commit(position, 0)
        self.pages += [
            item.command.max_matched
            for input_ in inputs
            for item in input_.items
            if isinstance(item.command, ContinueSlice)
        ]
        done.tune(Budget(self.settings.page_budget_ms))
        self.last = done
        self.turns += 1
        self.applied += done.applied
        self.signals += sum(map(len, done.outbox.signals.values()))
        for partition, records in done.outbox.commands.items():
            self._log(partition, records)
        self._collector.after_turn(busy=True)

    @staticmethod
    def _task(file: Path, partition: int) -> PartitionTask:
        task = PartitionTask(partition, Store.open(file, partition), file)
        task.table = table.Table(task.store, partition, PARTITIONS, FIRST)
        task.transit(Phase.RESTORING)
        task.transit(Phase.RUNNING)
        return task


def timed(job: Callable[[Machine], tuple[float, int]], clock: Clock | None) -> tuple[float, int, Machine]:
    """Run the job on a fresh machine, with clocks in place when one is given: seconds, units of work, the machine."""
    with tempfile.TemporaryDirectory(prefix="streams-bench-") as folder:
        machine = Machine(Path(folder))
        job_prepared = getattr(job, "prepare", None)
        if job_prepared is not None:
            job_prepared(machine)
        patches = [] if clock is None else [patch.object(o, n, clock.around(s, getattr(o, n))) for s, o, n in STEPS]
        try:
            for each in patches:
                each.start()
            seconds, units = job(machine)
        finally:
            for each in patches:
                each.stop()
            machine.close()
    return seconds, units, machine


class Commands:
    """Apply a list of commands."""

    def __init__(self, name: str, records: list[Record]) -> None:
        self.name, self._records = name, records

    def __call__(self, machine: Machine) -> tuple[float, int]:
        """Seconds and commands."""
        return machine.run(self._records), len(self._records)


class OneBatch:
    """One batch over eight tenths of a table."""

    def __init__(self, name: str, action: Action, fill: Callable[[], Iterable[Record]]) -> None:
        self.name, self._action, self._fill = name, action, fill

    def prepare(self, machine: Machine) -> None:
        """Fill the table."""
        machine.run(self._fill())

    def __call__(self, machine: Machine) -> tuple[float, int]:
        """Seconds and rows."""
        start = StartBatch("batch", self._action, Filter(services=(workload.DOOMED,)), grace_ms=MAX_GRACE_MS)
        record = workload.Record(partition_of("batch", PARTITIONS), "batch", codec.encode(start))
        seconds = machine.run([record])
        slices = [task.running_table.slice("batch") for task in machine.tasks]
        return seconds, sum(each.done + each.pending for each in slices if each is not None)


class OneFlow:
    """The KILL of a flow; every second member runs."""

    def __init__(self, name: str, names: list[str]) -> None:
        self.name, self._names = name, names

    def prepare(self, machine: Machine) -> None:
        """Fill the table."""
        machine.run(workload.halves(self._names, PARTITIONS, workload.DOOMED, _FLOW))

    def __call__(self, machine: Machine) -> tuple[float, int]:
        """Seconds and members."""
        cancel = CancelFlow(_FLOW, FlowAction.KILL, CancelPolicy.CANCEL_ALL)
        home = partition_of(_FLOW, PARTITIONS)
        seconds = machine.run([workload.Record(home, _FLOW, codec.encode(cancel))])
        flow = machine.tasks[home].running_table.flow(_FLOW, children=False)
        return seconds, 0 if flow is None else flow.ended


class Answers(OneBatch):
    """The executor's answers to a batch of cancels."""

    def __init__(self, name: str, names: list[str]) -> None:
        super().__init__(name, Action.CANCEL, lambda: workload.suspended(names, PARTITIONS))
        self._names = names

    def prepare(self, machine: Machine) -> None:
        """Cancel the invocations of the table."""
        super().prepare(machine)
        super().__call__(machine)

    def __call__(self, machine: Machine) -> tuple[float, int]:
        """Seconds and answers."""
        answers = list(workload.cancelled(self._names, PARTITIONS))
        return machine.run(answers), len(answers)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commands", type=int, default=60_000, help="of the jobs that apply commands")
    parser.add_argument("--rows", type=int, default=200_000, help="in the table of the jobs that kill")
    parser.add_argument("--only", default="", help="jobs whose name begins so")
    parser.add_argument("--cprofile", action="store_true", help="print each job's functions by their own time")
    options = parser.parse_args()
    names = workload.ids(options.commands)
    rows = workload.ids(options.rows)
    jobs: list[Any] = [
        Commands("invoke", list(workload.started(names, PARTITIONS))),
        Commands("invoke with a flow", list(workload.joining(names, PARTITIONS, _MEMBERS))),
        Commands("mixed life", list(workload.lives(names[: options.commands // 3], PARTITIONS))),
        OneBatch("kill unstarted", Action.KILL, lambda: workload.table(rows, PARTITIONS, running=False)),
        OneBatch("kill running", Action.KILL, lambda: workload.table(rows, PARTITIONS, running=True)),
        OneBatch("kill both kinds", Action.KILL, lambda: workload.halves(rows, PARTITIONS, workload.DOOMED)),
        OneFlow("kill a flow", rows),
        OneBatch("cancel suspended", Action.CANCEL, lambda: workload.suspended(rows, PARTITIONS)),
        Answers("answers to a cancel", names),
    ]
    for job in jobs:
        if not job.name.startswith(options.only):
            continue
        if options.cprofile:
            _print_functions(job)
        else:
            _print_steps(job)


def _print_steps(job: Any) -> None:
    seconds, units, plain = timed(job, None)
    clock = Clock()
    timed(job, clock)
    rows: list[list[Any]] = [
        [step, round(spent * 1e6 / units, 2), clock.calls[step]] for step, spent in clock.seconds.items()
    ]
    rows.append(["all, without clocks", round(seconds * 1e6 / units, 2), ""])
    print_table(f"{job.name}: {units / seconds:,.0f}/s, {plain.turns} turns", ["step", "us each", "calls"], rows)
    if plain.pages:
        print(f"pages of at most {sorted(plain.pages)[len(plain.pages) // 2]} (median), {max(plain.pages)} (largest)")


def _print_functions(job: Any) -> None:
    profile = cProfile.Profile()

    def profiled(machine: Machine) -> tuple[float, int]:
        profile.enable()
        try:
            result: tuple[float, int] = job(machine)
        finally:
            profile.disable()
        return result

    if hasattr(job, "prepare"):
        profiled.prepare = job.prepare  # type: ignore[attr-defined]
    timed(profiled, None)
    print(job.name)
    pstats.Stats(profile).sort_stats("tottime").print_stats(30)


turn.take_inputs, turn.items_of = take_inputs, items_of  # type: ignore[attr-defined]  # for the clocks of STEPS

if __name__ == "__main__":
    main()
