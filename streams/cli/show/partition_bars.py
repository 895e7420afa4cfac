"""Progress bars for a long reading of topics: one per partition and step."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from streams.cli.show.console import err

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def partition_bars() -> Iterator[Callable[[int, str, int, int], None]]:
    """A callback for (partition, step, position, end) that draws bars; without a terminal, it draws none."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:
        tasks: dict[tuple[int, str], TaskID] = {}

        def progress(partition: int, what: str, position: int, end: int) -> None:
            key = (partition, what)
            if key not in tasks:
                tasks[key] = bars.add_task(f"partition {partition} {what}")
            bars.update(tasks[key], completed=position, total=end)

        yield progress
