"""A table that is shown again and again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import typer
from rich.live import Live

from streams.cli.gateway import GatewayUnreachableError
from streams.cli.show.console import Exit, err, out, print_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.table import Table

_EVERY_S: Final = 2.0


def watch_table(look: Callable[[], tuple[Table, Any]], until: Callable[[Any], bool] = lambda _: False) -> None:
    """Show a table every two seconds: in its place on a terminal, elsewhere below the one before if it has changed.

    Args:
        look: makes the table, and what it shows.
        until: of what is shown; true ends it.

    Raises:
        typer.Exit: 130 for Ctrl-C.
    """
    try:
        looks = _looks(look, until)
        table, seen = next(looks)
        if out.is_terminal:
            with Live(table, console=out, auto_refresh=False) as live:
                for table, _ in looks:
                    live.update(table, refresh=True)
            return
        print_whole(table)
        for table, after in looks:
            if after != seen:
                seen = after
                print_whole(table)
    except KeyboardInterrupt:
        raise typer.Exit(Exit.INTERRUPTED) from None


def _looks(look: Callable[[], tuple[Table, Any]], until: Callable[[Any], bool]) -> Iterator[tuple[Table, Any]]:
    """What is to be seen, time after time; a gateway that is gone for a while is waited for, but not at first."""
    table, seen = look()
    told = ""
    while True:
        yield table, seen
        if until(seen):
            return
        time.sleep(_EVERY_S)
        try:
            table, seen = look()
            told = ""
        except GatewayUnreachableError as error:
            if str(error) != told:
                err.print(str(error), markup=False)
            told = str(error)
