"""`batch`: the known batches, and control of running ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.table import Table

from streams.cli import batch_control
from streams.cli.context import connection_of_command
from streams.cli.find_batch import unknown, wait_until_known
from streams.cli.options.bounds import standing_of
from streams.cli.options.sending import BatchId, Json  # noqa: TC001 - Typer reads the annotations
from streams.cli.show import follow
from streams.cli.show.bar import COUNTERS
from streams.cli.show.console import err, print_error, print_json, print_whole
from streams.cli.show.times import duration_of, iso
from streams.cli.stdio import already_done
from streams.client import ProgressReader

if TYPE_CHECKING:
    from streams.model import BatchProgress

app = typer.Typer(no_args_is_help=True, help="Look at batches, and control those that run. Example: streams batch list")
for _command in (batch_control.pause, batch_control.resume, batch_control.abort, batch_control.rate):
    app.command()(_command)


@app.command()
def show(batch_id: BatchId, *, json: Json = False) -> None:
    """Show one batch as it stands.

    Example: streams batch show 019a5c1e-7f3a-7c40-8a5e-3b1f0c2d4e5f
    """
    progress = ProgressReader(*connection_of_command()).latest().get(batch_id)
    if progress is None:
        raise unknown(batch_id)
    _print(progress, as_json=json)


@app.command()
def watch(
    batch_id: BatchId,
    *,
    timeout: Annotated[
        str | None, typer.Option(metavar="DURATION", help="At most this long, like 10m.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Follow one batch to its end; Ctrl-C leaves it running.

    Example: streams batch watch 019a5c1e-7f3a-7c40-8a5e-3b1f0c2d4e5f --timeout 10m
    """
    timeout_ms = duration_of("--timeout", timeout)
    connection = connection_of_command()
    wait_until_known(connection, batch_id)
    watched = follow.watch(connection, batch_id, timeout_ms)
    if watched.error is not None:
        print_error(watched.error)
    if watched.last is not None:
        with already_done(watched.stands(batch_id)):
            _print(watched.last, as_json=json)
    raise typer.Exit(watched.exit_code)


def _print(progress: BatchProgress, *, as_json: bool) -> None:
    if as_json:
        print_json(progress)
    else:
        print_whole(follow.table(progress))


@app.command("list")
def list_(*, json: Json = False) -> None:
    """List the batches, newest first.

    Example: streams batch list --json
    """
    latest = ProgressReader(*connection_of_command()).latest().values()
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
        state = each.state if standing_of(each) is None else f"{each.state}, stands"
        grid.add_row(each.batch_id, action, state, *counters, iso(each.created_at))
    return grid
