"""The same job with Quix Streams and Faust, written the obvious way: Avro in, row, signal out, exactly once.

They run with their default settings. All, this service too, are measured by their output: from the first START in the
topic to the last.
"""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.lib.report import load_average, print_table, rates
from bench.lib.service import PARTITIONS, BenchError, Service, await_end, say, service
from bench.peers import installed
from streams.config import Topic

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.lib.workload import Record

OWN, QUIX, FAUST = "this service", "Quix Streams", "Faust"
_HEAD = ("who", "commands", "a second", "best second", "this service is x", "load")
_WITHIN_S = 900.0
_STILL_S = 4.0
_ENDS_WITHIN_S = 20.0


def programs(*, faust: bool) -> dict[str, list[str]]:
    """The command lines of those that are installed, but for their arguments."""
    found = {}
    if installed.here("quix"):
        found[QUIX] = [str(installed.QUIX_PYTHON), str(Path(__file__).with_name("naive_quix.py"))]
    if faust:
        found[FAUST] = [sys.executable, "-m", "bench.peers.naive_faust"]
    return found


def beside(bootstrap: str, records: Sequence[Record], starts: int, faust_commands: int) -> dict[str, Any]:
    """Figures of each, this service's too, on the same commands, of which `starts` lead to a START.

    Faust gets its number of the first ones; with none it is left out.
    """
    jobs = {OWN: partial(_run, bootstrap, OWN, records, starts, None)}
    for name, program in programs(faust=faust_commands > 0).items():
        most = faust_commands if name == FAUST else len(records)
        jobs[name] = partial(_run, bootstrap, name, records[:most], min(starts, most), program)
    return installed.each_of(jobs)


def show(figures: dict[str, Any], job: str) -> None:
    """Print the table."""
    keys = ("commands", "per_second", "best_second", "times", "load_average")
    own = figures[OWN]["per_second"] if OWN in figures else float("nan")
    shown = [
        [name, *[(each | {"times": own / each["per_second"]})[key] for key in keys]] for name, each in figures.items()
    ]
    print_table(f"The same job, {job}: Avro in, row, signal out, exactly once", _HEAD, shown)


@contextmanager
def running(made: Service, name: str, program: Sequence[str], state: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The program on the service's topics, in place of a worker; its log is `log_of`."""
    settings = made.settings
    arguments = [
        settings.bootstrap_servers,
        settings.topic(Topic.COMMANDS),
        settings.topic(Topic.SIGNALS),
        str(installed.ROOT / "schemas"),
        str(state),
    ]
    with log_of(made, name).open("wb") as log:
        process = subprocess.Popen(
            [*program, *arguments], stdout=log, stderr=log, cwd=installed.ROOT, env=made.environment
        )
    try:
        yield process
    finally:
        process.terminate()
        await_end(process, _ENDS_WITHIN_S)


def log_of(made: Service, name: str) -> Path:
    """What the program has written."""
    return made.folder / f"{name.replace(' ', '-')}.log"


def tail_of(made: Service, name: str) -> str:
    """The end of it, when there is one."""
    log = log_of(made, name)
    return log.read_text(encoding="utf-8", errors="replace")[-1_500:] if log.exists() else ""


def _run(bootstrap: str, name: str, records: Sequence[Record], starts: int, program: list[str] | None) -> Any:
    """Fill the log, start the program on it (the worker, without one) and watch its output grow."""
    with service(bootstrap, f"peers-{name.split(maxsplit=1)[0].lower()}") as made:
        made.preload(records, name)
        if program is None:
            made.start_workers()
            samples = watch(made, name, starts)
        else:
            with running(made, name, program, made.folder / "peer") as process:
                samples = watch(made, name, starts, process)
        found = sum(1 for _ in made.read(Topic.SIGNALS, [0] * PARTITIONS, made.ends(Topic.SIGNALS)))
    if found != starts:
        raise BenchError(f"{name}: {found:,} signals, and {starts:,} should have come")
    # Transaction markers take offsets too: as many commands as there are stand for all offsets.
    share = len(records) / samples[-1][1]
    return {
        **rates([(at, int(done * share)) for at, done in samples]),
        "commands": len(records),
        "load_average": load_average(),
    }


def watch(
    made: Service, name: str, starts: int, process: subprocess.Popen[bytes] | None = None
) -> list[tuple[float, int]]:
    """Samples of the output's end, until `starts` signals are there and it has stood still for a while."""
    samples: list[tuple[float, int]] = []
    grown_at = began = time.monotonic()
    told = 0.0
    while not samples or samples[-1][1] < starts or time.monotonic() - grown_at < _STILL_S:
        now, end = time.monotonic(), sum(made.ends(Topic.SIGNALS))
        if not samples or end > samples[-1][1]:
            samples.append((now, end))
            grown_at = now
        if now - began > _WITHIN_S or (process is not None and process.poll() is not None):
            raise BenchError(f"{name}: {end:,} of {starts:,} signals, and no more come\n{tail_of(made, name)}")
        if now - told > 2:
            say(f"{name}: {end:,} of {starts:,} signals")
            told = now
        time.sleep(0.1)
    return samples
