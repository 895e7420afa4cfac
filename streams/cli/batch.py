"""`batch`: what is known of batches."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.table import Table

from streams.cli import follow
from streams.cli.bar import COUNTERS
from streams.cli.console import err, print_error, print_json, print_whole, settings_of_command
from streams.cli.times import duration_ms, iso
from streams.client import ProgressReader
from streams.errors import StreamsError

if TYPE_CHECKING:
    from streams.config import Settings
    from streams.model import BatchProgress

app = typer.Typer(no_args_is_help=True, help="What is known of batches. Example: streams batch list")

_Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
_PATIENCE_S = 10.0
_PAUSE_S = 0.5


_BatchId = Annotated[str, typer.Argument(help="The batch's id.", show_default=False)]


@app.command()
def show(batch_id: _BatchId, *, json: _Json = False) -> None:
    """Show one batch as it stands.

    Example: streams batch show 019a5c1e-7f3a-7c40-8a5e-3b1f0c2d4e5f
    """
    progress = ProgressReader(settings_of_command()).latest().get(batch_id)
    if progress is None:
        raise _unknown(batch_id)
    _print(progress, as_json=json)


@app.command()
def watch(
    batch_id: _BatchId,
    *,
    timeout: Annotated[
        str | None, typer.Option(metavar="DURATION", help="At most this long, like 10m.", show_default=False)
    ] = None,
    json: _Json = False,
) -> None:
    """Follow one batch to its end; Ctrl-C leaves it running.

    Example: streams batch watch 019a5c1e-7f3a-7c40-8a5e-3b1f0c2d4e5f --timeout 10m
    """
    timeout_ms = None if timeout is None else duration_ms(timeout)
    settings = settings_of_command()
    _wait_until_known(settings, batch_id)
    watched = follow.watch(settings, batch_id, timeout_ms)
    if watched.last is not None:
        _print(watched.last, as_json=json)
    if watched.error is not None:
        print_error(watched.error)
    raise typer.Exit(watched.exit_code)


def _wait_until_known(settings: Settings, batch_id: str) -> None:
    """One that was started a moment ago may not have been heard of yet; one that nobody started never will be."""
    deadline = time.monotonic() + _PATIENCE_S
    while batch_id not in ProgressReader(settings).latest():
        if time.monotonic() > deadline:
            raise _unknown(batch_id)
        time.sleep(_PAUSE_S)


def _unknown(batch_id: str) -> StreamsError:
    return StreamsError(f"batch {batch_id} is not known: see `streams batch list`; a finished one is forgotten later")


def _print(progress: BatchProgress, *, as_json: bool) -> None:
    if as_json:
        print_json(progress)
    else:
        print_whole(follow.table(progress))


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
