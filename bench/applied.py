"""How many commands a second workers apply that have a backlog."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

from bench import workload
from bench.report import load_average, percentile
from bench.service import PARTITIONS, by, say, service
from bench.shares import profiled
from streams.config import Topic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.workload import Record

HEAD = ("job", "commands", "a second", "median second", "best second", "workers' CPU us each", "signals", "load")


def measure(bootstrap: str, commands: int, counts: Sequence[int], *, profile: bool = False) -> dict[str, Any]:
    """Figures of both jobs, with each count of workers: invocations that start at once, and whole lives.

    A life is invoke, running, completed.
    """
    say("making commands")
    names = workload.ids(commands)
    started = list(workload.started(names, PARTITIONS))
    lives = list(workload.lives(names[: commands // 3], PARTITIONS))
    figures = {}
    for workers in counts:
        for job, records in (("invoke", started), ("mixed life", lives)):
            figures[by(workers, job)] = _apply(bootstrap, job, records, workers, profile=profile)
    return figures


def rows(figures: dict[str, Any]) -> list[list[Any]]:
    """For the table of `HEAD`."""
    keys = ("commands", "per_second", "median_second", "best_second", "cpu_us_each", "signals", "load_average")
    return [[name, *[each[key] for key in keys]] for name, each in figures.items()]


def _apply(bootstrap: str, name: str, records: list[Record], workers: int, *, profile: bool) -> dict[str, Any]:
    """The log is filled before the workers start, so that they are never short of commands."""
    with service(bootstrap, name.replace(" ", "-"), workers) as made:
        ends = made.preload(records, name)
        made.start_workers()
        made.await_event("partition running", PARTITIONS)
        used = made.cpu_s()
        with profiled(made.worker_pids[0], made.folder / "profile" if profile else None) as shares:
            samples = made.await_applied(ends, name)
        cpu = (made.cpu_s() - used) * 1e6 / len(records)
        signals = sum(1 for _ in made.read(Topic.SIGNALS, [0] * PARTITIONS, made.ends(Topic.SIGNALS)))
        return {
            **rates(samples),
            "commands": len(records),
            "signals": signals,
            "cpu_us_each": cpu,
            "load_average": load_average(),
            "profile": shares,
        }


def rates(samples: Sequence[tuple[float, int]]) -> dict[str, float]:
    """Commands a second, from (seconds, commands so far): over all from the first applied on, and by seconds."""
    begin = next(index for index, (_, done) in enumerate(samples) if done)
    (began, first), (ended, last) = samples[begin], samples[-1]
    seconds = []
    mark = samples[begin]
    for now in samples[begin:]:
        if now[0] - mark[0] >= 1:
            seconds.append((now[1] - mark[1]) / (now[0] - mark[0]))
            mark = now
    overall = (last - first) / max(ended - began, 1e-9)
    return {
        "per_second": overall,
        "median_second": median(seconds) if seconds else overall,
        "best_second": percentile(seconds, 1) if seconds else overall,
    }
