"""The output of the command line, and its exit codes.

Results go to stdout, everything else to stderr: with `--json`, stdout is one JSON object and nothing more.
"""

from __future__ import annotations

import sys
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement

if TYPE_CHECKING:
    from rich.table import Table

_UNLIMITED = 100_000


class Exit(IntEnum):
    """Exit codes of every verb: scripts go by them."""

    OK = 0
    FAILED = 1
    USAGE = 2
    PARTIAL = 3
    INTERRUPTED = 130


out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)


def on_a_terminal() -> bool:
    """Whether there is a terminal on which to ask."""
    return sys.stdin.isatty()


def require_yes(question: str) -> None:
    """Ask, and return if the answer is yes.

    Raises:
        typer.Exit: 1 for a no, 130 for Ctrl-C, and for the end of the input.
    """
    try:
        answer = typer.confirm(question, err=True)
    except typer.Abort:
        err.print("\nnothing was sent")
        raise typer.Exit(Exit.INTERRUPTED) from None
    if not answer:
        err.print("nothing was sent")
        raise typer.Exit(Exit.FAILED)


def print_json(value: Any) -> None:
    """Print one JSON document on stdout, in UTF-8 with any locale; `value`: records, dicts, lists."""
    sys.stdout.flush()
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
    sys.stdout.buffer.flush()


def print_whole(table: Table) -> None:
    """Print a table on stdout, wrapped by a narrower terminal: cut-off ids and counters would be useless."""
    needed = Measurement.get(out, out.options.update(width=_UNLIMITED), table).maximum
    Console(width=max(out.width, needed), highlight=False).print(table)


def print_error(message: str) -> None:
    """Print `error: ...` on stderr, one line per error."""
    for line in message.splitlines():
        err.print("[bold red]error:[/] " + escape(line))
