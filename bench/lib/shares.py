"""Where a worker's time goes, by the steps of its turn.

`python -m bench kill --profile` takes it with py-spy while it measures, which slows the worker a little; a file of
`py-spy record --format raw` is read by `python -m bench.lib.shares FILE`. A sample counts for the step of its innermost
function that has one. Only the main thread counts: librdkafka's threads are no Python, and the write-ahead file is
looked after beside it.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.lib.report import print_table

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD = ("step", "% of its time")
STEPS = {
    "Worker._consume": "consume",
    "Records.decode_command": "decode",
    "take_inputs": "take input, routing",
    "Table.load": "look up rows",
    "apply (streams/engine": "decide",
    "select_page": "page: SELECT",
    "apply_delta": "page: UPDATE",
    "insert_rows": "SQLite insert, update",
    "update_rows": "SQLite insert, update",
    "Spliced.encode_row": "encode rows",
    "Table.absorb": "table, in memory",
    "Table.write": "table, in memory",
    "Table.flush": "write m/, slices, batches",
    "Table.published": "write m/, slices, batches",
    "Outbox.signal": "encode signals",
    "Outbox.signals_of_page": "encode signals",
    "Outbox.table_changes": "outbox",
    "Checkpoint._produce_all": "produce",
    "Table.commit": "SQLite commit",
    "Checkpoint.commit": "wait for Kafka's commit",
    "Turn.write_ticks": "ticks",
    "Turn.apply": "the turn's own loop",
    "Worker.step": "the rest of a turn",
}
"""Beginning of a frame: step; more than one may be on a stack, then the innermost counts."""


def step_of(stack: str) -> str | None:
    """The step of a sample; None for one outside the loop."""
    for frame in reversed(stack.split(";")):
        for name, step in STEPS.items():
            if frame.startswith(name if "(" in name else f"{name} ("):
                return step
    return None


def shares(raw: str) -> dict[str, float]:
    """Each step's share of the loop's time, percent, largest first."""
    found: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        step = step_of(stack)
        if step is not None:
            found[step] += int(count)
    return {step: round(100 * count / found.total(), 1) for step, count in found.most_common()}


@contextmanager
def profiled(pid: int, file: Path | None) -> Iterator[dict[str, float]]:
    """Profile the process while the context lasts; the shares are filled in at its end. Without a file: nothing."""
    result: dict[str, float] = {}
    if file is None:
        yield result
        return
    program = Path(sys.executable).with_name("py-spy")
    spy = subprocess.Popen(
        [program, "record", "--pid", str(pid), "--rate", "200", "--format", "raw", "--output", str(file)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield result
    finally:
        spy.send_signal(signal.SIGINT)
        spy.wait(60)
        result.update(shares(file.read_text(encoding="utf-8")))


def show_profiles(figures: dict[str, Any]) -> None:
    """Print the shares of each that was profiled."""
    for name, each in figures.items():
        if each["profile"]:
            print_table(f"Where the worker's time goes: {name}", _HEAD, list(each["profile"].items()))


def main() -> None:
    """Print each step's share of the main thread's time."""
    found = shares(Path(sys.argv[1]).read_text(encoding="utf-8"))
    print_table("The worker's loop", _HEAD, list(found.items()))


if __name__ == "__main__":
    main()
