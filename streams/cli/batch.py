"""`batch`: the known batches, and control of running ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli import batch_control
from streams.cli.context import connection_of_command
from streams.cli.find_batch import unknown, wait_until_known
from streams.cli.options.sending import BatchId, Json  # noqa: TC001 - Typer reads the annotations
from streams.cli.show import follow
from streams.cli.show.batches import listed_batches
from streams.cli.show.console import err, out, print_error, print_json, print_whole
from streams.cli.show.facts import ends_in_words, ends_of
from streams.cli.show.fitting import terminal_width
from streams.cli.show.times import duration_of
from streams.cli.stdio import already_done
from streams.client import ProgressReader
from streams.codec.json_form import to_json
from streams.model import BatchState  # noqa: TC001 - Typer reads the annotations

if TYPE_CHECKING:
    from streams.model import BatchProgress

_LIMIT = 20

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
        ends = None if watched.error else ends_of(watched.last)
        with already_done(watched.stands(batch_id)):
            _print(watched.last, ends, as_json=json)
    raise typer.Exit(watched.exit_code)


def _print(progress: BatchProgress, ends: dict[str, int] | None = None, *, as_json: bool) -> None:
    if as_json:
        print_json(to_json(progress) | ({} if ends is None else {"ended_as": ends}))
    else:
        print_whole(follow.table(progress, ends=None if ends is None else ends_in_words(ends)))


@app.command("list")
def list_(
    *,
    state: Annotated[
        list[BatchState] | None,
        typer.Option(help="In this state. May be given several times.", case_sensitive=False, show_default=False),
    ] = None,
    dry_runs: Annotated[bool, typer.Option("--dry-runs", metavar="", help="Dry runs as well.")] = False,
    limit: Annotated[
        int | None,
        typer.Option("--limit", "-n", min=1, help="The newest N; 20 when absent, all with --json.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """List the batches, newest first: how far each is, whom it is about, who asked for it and why.

    Example: streams batch list --state running
    """
    latest = ProgressReader(*connection_of_command()).latest().values()
    known = sorted(latest, key=lambda each: (each.created_at, each.batch_id), reverse=True)
    in_state = [each for each in known if not state or each.state in state]
    batches = [each for each in in_state if dry_runs or not each.dry_run]
    shown = batches[: limit or (None if json else _LIMIT)]
    if json:
        print_json({"batches": [to_json(each, whole=False) for each in shown]})
        return
    for line in listed_batches(shown, terminal_width()) if shown else ():
        out.print(line)
    _tell_unshown(len(in_state) - len(batches), len(batches) - len(shown), none=not shown)


def _tell_unshown(dry_runs: int, older: int, *, none: bool) -> None:
    """Say on stderr what is left out, and by which option it is shown."""
    told = [f"{older:,} older: --limit"] if older else []
    told += [f"{dry_runs:,} dry run{'' if dry_runs == 1 else 's'}: --dry-runs"] if dry_runs else []
    if none:
        told.insert(0, "no batches")
    if told:
        err.print(f"{'' if none else 'not shown: '}{'; '.join(told)}", markup=False)
