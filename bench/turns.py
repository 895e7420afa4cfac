"""Turns without Kafka: twenty unlike batches at once, and batches that run beside thousands that are over.

    python -m bench.turns [unlike] [remembered]

A worker's partitions in one process, with a command log in memory in place of Kafka: what is measured is what a turn
takes until it could be committed, and SQLite's commit.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from bench.lib.report import machine, percentile, print_table, write
from bench.lib.unlike import invoke, unlike
from bench.lib.workload import Record
from bench.profile_turn import PARTITIONS, Machine
from streams import codec
from streams.engine.answers import At
from streams.engine.effects import PutBatch, PutSlice
from streams.model import Action, Filter, StartBatch
from streams.protocol.routing import partition_of

if TYPE_CHECKING:
    from collections.abc import Sequence

_ROWS = 12_000
"""Of each of the twenty batches."""
_KEYS = 10_000
_FIRST_S = 1.0
"""After so long sizes have been learned."""
_IDLE_TURNS = 10
"""Turns without a page: the batches are over, or their cancels wait for answers."""
_BESIDE = 20
"""Commands that have nothing to do with the batches, in each turn."""
_REMEMBERED, _LARGE = 30_000, 100
_RUNS = 10


def _start(batch_id: str, action: Action, filter_: Filter) -> Record:
    return _sent(StartBatch(batch_id, action, filter_))


def _sent(batch: StartBatch) -> Record:
    return Record(partition_of(batch.batch_id, PARTITIONS), batch.batch_id, codec.encode(batch))


def unlike_turns() -> dict[str, Any]:
    """What a turn takes while twenty unlike batches go round, after the first second."""
    with tempfile.TemporaryDirectory(prefix="streams-bench-") as folder:
        made = Machine(Path(folder))
        starts = []
        for each in unlike(_ROWS, PARTITIONS):
            made.run(each.records)
            if each.before is not None:
                made.run([_sent(each.before)])
            starts.append(_sent(each.batch))
        for record in starts:
            made.log(*record)
        took, busy, first, beside, idle = [], [], [], 0, 0
        began = time.perf_counter()
        while idle < _IDLE_TURNS:
            for _ in range(_BESIDE):
                beside += 1
                made.log(*invoke("beside", beside, PARTITIONS))
            pages = len(made.pages)
            turn, ran = time.perf_counter(), time.thread_time()
            made.turn()
            wall, cpu = time.perf_counter() - turn, time.thread_time() - ran
            if turn - began < _FIRST_S:
                first.append(1_000 * wall)
            else:
                took.append(1_000 * wall)
                busy.append(1_000 * cpu)
            idle = idle + 1 if len(made.pages) == pages else 0
        budget = made.settings.page_budget_ms
        made.close()
    shares = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
    return {
        "turns": len(took),
        "budget_ms": budget,
        "ms": {name: percentile(took, share) for name, share in shares.items()},
        "cpu_ms": {name: percentile(busy, share) for name, share in shares.items()},
        "first_second_ms": {name: percentile(first, share) for name, share in shares.items()},
    }


def _remember(made: Machine, count: int) -> None:
    """`count` batches that are over, a hundred of them with long filters, as each partition's table remembers them."""
    large = Filter(services=("none",), object_keys=tuple(str(each) for each in range(_KEYS)))
    for name, filter_ in (("small", Filter(services=("none",))), ("large", large)):
        made.run([_start(name, Action.KILL, filter_)])
    for task in made.tasks:
        table = task.running_table
        for first in range(0, count, 1_000):
            table.begin()
            for number in range(first, min(first + 1_000, count)):
                like = "large" if number % (_REMEMBERED // _LARGE) == 0 else "small"
                slice_, batch = table.slice(like), table.batch(like)
                batch_id = f"over-{number}"
                effects: list[Any] = [] if slice_ is None else [PutSlice(replace(slice_, batch_id=batch_id))]
                if batch is not None and number % PARTITIONS == task.partition:
                    effects.append(PutBatch(replace(batch, start=replace(batch.start, batch_id=batch_id))))
                table.absorb(effects, At(task.partition, 1, 1))
            table.set_position(table.meta.next_offset, table.meta.clock)
            table.flush()
            table.commit(0, 0)


class _Beside:
    """A machine that remembers `count` batches, and what its parts take."""

    def __init__(self, folder: Path, count: int) -> None:
        folder.mkdir()
        self.made = Machine(folder)
        self.made.run(invoke("rows", each, PARTITIONS, later=True) for each in range(40_000))
        _remember(self.made, count)
        self._runs = 0

    def run(self) -> dict[str, float]:
        """Milliseconds of a page, a look at what time has to do, an abort, and a takeover of the file."""
        self._runs += 1
        self.made.log(*_start(f"run-{self._runs}", Action.KILL, Filter(services=("rows",), handlers=("never",))))
        pages = []
        while any(task.backlog for task in self.made.tasks):
            began = time.perf_counter()
            self.made.turn()
            pages.append(time.perf_counter() - began)
        table = self.made.tasks[0].running_table

        def abort() -> None:
            table.begin()
            table.rollback()

        return {
            "page": 1_000 * median(pages),
            "tick": _ms(lambda: (table.next_due(), table.retention_due(0, 0), table.finished_batches(0, 100)), 100),
            "abort": _ms(abort, 20),
            "takeover": _ms(lambda: type(table)(self.made.tasks[0].store, 0, PARTITIONS, table.page_sizes), 20),
        }


def _ms(work: Any, times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        work()
    return 1_000 * (time.perf_counter() - began) / times


def remembered() -> dict[str, Any]:
    """Medians of interleaved runs with none and with thousands of remembered batches, and the memory of each."""
    with tempfile.TemporaryDirectory(prefix="streams-bench-") as folder:
        few, many = _Beside(Path(folder) / "few", 0), _Beside(Path(folder) / "many", _REMEMBERED)
        runs = [(few.run(), many.run()) for _ in range(_RUNS)]
        few.made.close()
        many.made.close()
    ms = {
        part: {"none": median(a[part] for a, _ in runs), "many": median(b[part] for _, b in runs)}
        for part in runs[0][0]
    }
    memory = {name: _memory_of(count) for name, count in (("none", 0), ("many", _REMEMBERED))}
    return {"remembered": _REMEMBERED, "runs": _RUNS, "ms": ms, "rss_mib": memory}


def _memory_of(count: int) -> float:
    """MiB of a process that opens the tables of a worker that remembers `count` batches, and runs a batch."""
    with tempfile.TemporaryDirectory(prefix="streams-bench-") as folder:
        made = Machine(Path(folder))
        made.run(invoke("rows", each, PARTITIONS, later=True) for each in range(40_000))
        _remember(made, count)
        made.close()
        spawn = multiprocessing.get_context("spawn")
        with spawn.Pool(1) as pool:
            return pool.apply(_open_and_run, (folder,))


def _open_and_run(folder: str) -> float:
    made = Machine(Path(folder))
    made.run([_start("run", Action.KILL, Filter(services=("rows",)))])
    # Not the most it ever had: exec hands that on from the parent.
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    made.close()
    return pages * resource.getpagesize() / 2**20


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is asked for and print it."""
    parser = argparse.ArgumentParser(prog="python -m bench.turns", description=__doc__)
    parser.add_argument("what", nargs="*", choices=("unlike", "remembered"), default=["unlike", "remembered"])
    options = parser.parse_args(arguments)
    figures: dict[str, Any] = {"machine": machine()}
    if "unlike" in options.what:
        found = figures["unlike"] = unlike_turns()
        rows = [[name, *(round(ms, 1) for ms in found[name].values())] for name in ("first_second_ms", "ms", "cpu_ms")]
        print_table(f"{found['turns']} turns of twenty unlike batches, ms", ["when", *found["ms"]], rows)
    if "remembered" in options.what:
        found = figures["remembered"] = remembered()
        rows = [[part, *each.values(), each["many"] / each["none"]] for part, each in found["ms"].items()]
        rows.append(["RSS, MiB", *found["rss_mib"].values(), found["rss_mib"]["many"] / found["rss_mib"]["none"]])
        print_table(f"{_REMEMBERED:,} remembered batches, ms", ["what", "none", "many", "ratio"], rows)
    print(f"JSON: {write('turns', figures)}")


if __name__ == "__main__":
    main()
