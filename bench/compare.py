"""This service beside Quix Streams and Faust on the job of `bench applied`, in one run: Avro in, row, signal out.

The other two do it the obvious way (`naive_quix.py`, `naive_faust.py`), exactly once, with their default settings. All
three are measured by their output: from the first signal in the topic to the last.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.lib import workload
from bench.lib.report import load_average, print_table, rates
from bench.lib.service import PARTITIONS, BenchError, Service, say, service
from streams.config import Topic

if TYPE_CHECKING:
    import argparse

    from bench.lib.workload import Record

NAME = "compare"
_HEAD = ("who", "commands", "a second", "best second", "this service is x", "load")
_WITHIN_S = 900.0
_STILL_S = 4.0
_ROOT = Path(__file__).parent.parent


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("--commands", type=int, default=400_000, help="to apply")
    parser.add_argument("--quix-python", help="an interpreter that has quixstreams and fastavro")
    parser.add_argument("--faust-commands", type=int, default=40_000, help="fewer, as Faust takes long")


def measure(bootstrap: str, options: argparse.Namespace) -> dict[str, Any]:
    """Figures of each; without `--quix-python`, an interpreter that has quixstreams, Quix is left out."""
    records = list(workload.started(workload.ids(options.commands), PARTITIONS))
    figures = {"this service": _run(bootstrap, "streams", records, None)}
    if options.quix_python is not None:
        figures["Quix Streams"] = _run(
            bootstrap, "quix", records, [options.quix_python, str(_ROOT / "bench" / "lib" / "naive_quix.py")]
        )
    faust = [sys.executable, "-m", "bench.lib.naive_faust"]
    figures["Faust"] = _run(bootstrap, "faust", records[: options.faust_commands], faust)
    return figures


def show(figures: dict[str, Any]) -> None:
    """Print the table."""
    own = figures["this service"]["per_second"]
    shown = [
        [
            name,
            each["commands"],
            each["per_second"],
            each["best_second"],
            own / each["per_second"],
            each["load_average"],
        ]
        for name, each in figures.items()
    ]
    print_table("The same job: Avro in, row, signal out, exactly once", _HEAD, shown)


def _run(bootstrap: str, name: str, records: list[Record], program: list[str] | None) -> dict[str, Any]:
    """Fill the log, start the program on it (the worker, without one) and watch its output grow."""
    with service(bootstrap, f"compare-{name}") as made:
        made.preload(records, name)
        if program is None:
            made.start_workers()
            return _figures(made, name, len(records))
        settings = made.settings
        arguments = [
            settings.bootstrap_servers,
            settings.topic(Topic.COMMANDS),
            settings.topic(Topic.SIGNALS),
            str(_ROOT / "schemas"),
            str(made.folder / name),
        ]
        with (made.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen([*program, *arguments], stdout=log, stderr=log, cwd=_ROOT, env=_environment())
        try:
            return _figures(made, name, len(records), process)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("STREAMS_")}


def _figures(made: Service, name: str, count: int, process: subprocess.Popen[bytes] | None = None) -> dict[str, Any]:
    """Watch the output until it has stood still for a while, and see that it is all there."""
    samples: list[tuple[float, int]] = []
    grown_at = began = time.monotonic()
    told = 0.0
    while not samples or samples[-1][1] < count or time.monotonic() - grown_at < _STILL_S:
        now, ends = time.monotonic(), made.ends(Topic.SIGNALS)
        if not samples or sum(ends) > samples[-1][1]:
            samples.append((now, sum(ends)))
            grown_at = now
        if now - began > _WITHIN_S or (process is not None and process.poll() is not None):
            log = made.folder / f"{name}.log"
            tail = log.read_text(encoding="utf-8", errors="replace")[-1_500:] if log.exists() else ""
            raise BenchError(f"{name}: {sum(ends):,} of {count:,} signals, and no more come\n{tail}")
        if now - told > 2:
            say(f"{name}: {sum(ends):,} of {count:,} signals")
            told = now
        time.sleep(0.1)
    found = sum(1 for _ in made.read(Topic.SIGNALS, [0] * PARTITIONS, made.ends(Topic.SIGNALS)))
    if found != count:
        raise BenchError(f"{name}: {found:,} signals for {count:,} commands")
    # Transaction markers take offsets too: as many signals as there are stand for all offsets.
    share = count / samples[-1][1]
    return {
        **rates([(at, int(done * share)) for at, done in samples]),
        "commands": count,
        "load_average": load_average(),
    }
