"""Figures as a table for people, as JSON for programs, and what they were measured on."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

RESULTS = Path(__file__).parents[1] / "results"
_TRIES = 5
_ADDITIONS = 1_000_000


def load_average() -> float:
    """Runnable processes of the last minute: beside a figure it says how busy the machine was."""
    return round(os.getloadavg()[0], 2)


def loops_a_second() -> float:
    """How fast this machine is just now: millions of additions a second in a plain loop, of several tries the best.

    A machine that is shared may lose half of its speed for minutes without any load average that says so.
    """
    seconds = []
    for _ in range(_TRIES):
        began, total = time.perf_counter(), 0
        for number in range(_ADDITIONS):
            total += number
        seconds.append(time.perf_counter() - began)
    return round(_ADDITIONS / 1e6 / min(seconds), 1)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "cpus": len(os.sched_getaffinity(0)),
        "cpu": _cpu(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_average": load_average(),
        "loops": loops_a_second(),
    }


def percentile(values: Sequence[float], share: float) -> float:
    """The value that a share (0 to 1) of them does not exceed; NaN without values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


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


def print_table(title: str, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print it; the first column on the left, figures on the right."""
    shown = Table(title=title, title_justify="left")
    for place, name in enumerate(head):
        shown.add_column(name, justify="right" if place else "left")
    for row in rows:
        shown.add_row(*[_text(value) for value in row])
    Console(width=120).print(shown)


def write(name: str, figures: dict[str, Any], file: Path | None = None) -> Path:
    """Write them to the file, else to `bench/results/<name>-<time>.json`; returns where they are."""
    now = dt.datetime.now(tz=dt.UTC)
    path = file or RESULTS / f"{name}-{now:%Y%m%dT%H%M%S}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"at": now.isoformat(timespec="seconds"), **figures}, indent=2) + "\n")
    return path


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4f}" if abs(value) < 0.1 else f"{value:,.2f}" if abs(value) < 1_000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
