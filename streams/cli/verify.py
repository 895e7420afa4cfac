"""`verify`: does the command log tell the same story as the changelog?"""

from __future__ import annotations

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from streams.cli.console import err, settings_of_command


def verify() -> None:
    """Replay the command log through a fresh engine and compare the table with the changelog's.

    It may run beside live workers. Exit code 1 when they differ, 2 when the log no longer begins at its start.

    Example: streams verify
    """
    from streams.runtime import verify as runtime  # noqa: PLC0415 - no other command waits for it to load

    settings = settings_of_command()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:
        tasks: dict[tuple[int, str], TaskID] = {}

        def progress(partition: int, what: str, position: int, end: int) -> None:
            key = (partition, what)
            if key not in tasks:
                tasks[key] = bars.add_task(f"partition {partition} {what}")
            bars.update(tasks[key], completed=position, total=end)

        code = runtime.run(settings, progress)
    raise typer.Exit(code)
