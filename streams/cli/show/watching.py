"""A table that is shown again and again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import typer
from rich.live import Live

from streams.cli.gateway import GatewayNotReadyError
from streams.cli.show.console import Exit, err, out, print_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.table import Table

_EVERY_S: Final = 2.0


class WatchedTable(NamedTuple):
    """A table, what it shows, and what it lacks, in words; it lacks nothing if these are none."""

    table: Table
    seen: Any
    lacks: str = ""


def watch_table(look: Callable[[], WatchedTable], until: Callable[[Any], bool] = lambda _: False) -> None:
    """Show a table every two seconds: in its place on a terminal, elsewhere below the one before if it has changed.

    Args:
        look: makes the table. What it lacks is told on stderr, when that changes.
        until: of what is shown; true ends it.

    Raises:
        typer.Exit: 130 for Ctrl-C.
    """
    try:
        looks = _looks(look, until)
        last = next(looks)
        if out.is_terminal:
            with Live(last.table, console=out, auto_refresh=False) as live:
                for each in looks:
                    live.update(each.table, refresh=True)
            return
        print_whole(last.table)
        for each in looks:
            if each.seen != last.seen:
                last = each
                print_whole(each.table)
    except KeyboardInterrupt:
        raise typer.Exit(Exit.INTERRUPTED) from None


def _looks(look: Callable[[], WatchedTable], until: Callable[[Any], bool]) -> Iterator[WatchedTable]:
    """What is to be seen, time after time; a gateway that has no answer for a while is waited for, but not at first."""
    last = look()
    told = _tell(last.lacks, "")
    while True:
        yield last
        if until(last.seen):
            return
        time.sleep(_EVERY_S)
        try:
            last = look()
            told = _tell(last.lacks, told)
        except GatewayNotReadyError as error:
            told = _tell(str(error), told)


def _tell(said: str, told: str) -> str:
    if said and said != told:
        err.print(said, markup=False)
    return said
