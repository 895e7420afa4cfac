"""`verify`: the comparison of command log and changelog."""

from __future__ import annotations

import typer

from streams.cli.show.console import settings_of_command
from streams.cli.show.partition_bars import partition_bars


def verify() -> None:
    """Replay the command log through a fresh engine and compare the table with the changelog's.

    It may run beside live workers. Exit code 1 when they differ, 2 when they cannot be compared: the log no longer
    begins at its start, or an earlier engine applied its beginning.

    Example: streams verify
    """
    from streams.offline import verify as runtime  # noqa: PLC0415 - no other command need wait for it to load

    settings = settings_of_command()
    with partition_bars() as progress:
        code = runtime.run(settings, progress)
    raise typer.Exit(code)
