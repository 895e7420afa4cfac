"""`verify`: the comparison of command log and changelog."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from streams.cli.context import connection_of_command
from streams.cli.show.console import Exit
from streams.cli.show.partition_bars import partition_bars
from streams.offline.verify import verify as comparisons

if TYPE_CHECKING:
    from streams.offline.verify import Comparison

_CANNOT_BE_TOLD = 2


def verify() -> None:
    """Replay the command log through a fresh engine and compare the table with the changelog's.

    It may run beside live workers. Exit code 1 when they differ, 2 when they cannot be compared: the log no longer
    begins at its start, or an earlier engine applied its beginning.

    Example: streams verify
    """
    connection = connection_of_command()
    code = int(Exit.OK)
    with partition_bars() as progress:
        for each in comparisons(*connection, progress):
            outcome, told = _told(each)
            typer.echo(f"partition {each.partition}: {told}")
            code = max(code, outcome)
    raise typer.Exit(code)


def _told(found: Comparison) -> tuple[int, str]:
    """The exit code and the line of a partition."""
    if found.trimmed_to is not None:
        why = f"the command log starts at {found.trimmed_to}, its beginning was deleted: it cannot be replayed"
        return _CANNOT_BE_TOLD, why
    if found.earlier_to is not None:
        return _CANNOT_BE_TOLD, (
            f"an earlier engine applied the command log up to offset {found.earlier_to}, by rules of its own: it "
            "cannot be replayed with this one"
        )
    if found.holds:
        return Exit.OK, f"holds ({found.commands} commands, {found.entries} entries)"
    return Exit.FAILED, "\n  ".join(["DIFFERS", *found.differences])
