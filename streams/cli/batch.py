"""`batch`: what is known of batches."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer
from rich.table import Table

from streams.cli.console import err, print_json, print_whole, settings_of_command
from streams.cli.follow import COUNTERS, table, watch
from streams.cli.times import iso
from streams.client import ProgressReader
from streams.errors import StreamsError
from streams.model import BatchProgress  # noqa: TC001 - part of a signature that Typer never sees

app = typer.Typer(no_args_is_help=True, help="What is known of batches. Example: streams batch list")

_Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


@app.command()
def show(
    batch_id: Annotated[str, typer.Argument(help="The batch's id.", show_default=False)],
    *,
    follow: Annotated[bool, typer.Option("--watch", help="Until it has ended.")] = False,
    json: _Json = False,
) -> None:
    """Show one batch.

    Example: streams batch show 019a5c1e --watch
    """
    settings = settings_of_command()
    progress = ProgressReader(settings).latest().get(batch_id)
    if progress is None:
        raise StreamsError(
            f"batch {batch_id} is not known: see `streams batch list`; a finished one is forgotten later"
        )
    code = 0
    if follow:
        watched = watch(settings, batch_id)
        progress, code = watched.last or progress, watched.exit_code
    if json:
        print_json(progress)
    else:
        print_whole(table(progress))
    raise typer.Exit(code)


@app.command("list")
def list_(*, json: _Json = False) -> None:
    """List the batches, newest first.

    Example: streams batch list --json
    """
    latest = ProgressReader(settings_of_command()).latest().values()
    batches = sorted(latest, key=lambda each: (each.created_at, each.batch_id), reverse=True)
    if json:
        print_json({"batches": [msgspec.to_builtins(each) for each in batches]})
    elif batches:
        print_whole(_listed(batches))
    else:
        err.print("no batches")


def _listed(batches: list[BatchProgress]) -> Table:
    grid = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("batch", "action", "state"):
        grid.add_column(name, no_wrap=True)
    for name in COUNTERS:
        grid.add_column(name, justify="right", no_wrap=True)
    grid.add_column("created", no_wrap=True)
    for each in batches:
        action = f"{each.action}{' (dry run)' if each.dry_run else ''}"
        counters = [f"{getattr(each, name):,}" for name in COUNTERS]
        grid.add_row(each.batch_id, action, each.state, *counters, iso(each.created_at))
    return grid
