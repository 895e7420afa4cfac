"""The preview of a batch by a dry run, and the question whether to go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from msgspec.structs import replace

from streams.cli.options.selection import describe
from streams.cli.show.console import Exit, err, on_a_terminal, print_error, require_yes
from streams.cli.show.facts import tell_facts
from streams.cli.show.follow import shown
from streams.cli.show.nothing import tell_nothing_matched
from streams.cli.show.times import iso
from streams.cli.show.waiting import Waiting
from streams.client import Client, ProgressReader, new_batch_id
from streams.model import Action, BatchState, OnTimeout

if TYPE_CHECKING:
    from streams.cli.context import Connection
    from streams.model import BatchProgress, StartBatch

_SAMPLES = 10
DEFAULT_GRACE = "30s"


def confirm(connection: Connection, start: StartBatch, grace: str | None, timeout: float | None) -> None:
    """Show what the batch would act on, and ask; returns if the answer is yes.

    grace: as typed. timeout: seconds for the dry run, None for no limit.

    Raises:
        typer.BadParameter: there is no terminal to ask on.
        typer.Exit: 0 if there is nothing to act on, 1 for a no, 130 for Ctrl-C.
        BatchTimeoutError: the dry run has not ended in time.
    """
    if not on_a_terminal():
        raise typer.BadParameter("there is no terminal to ask on: say --yes, or --dry-run to see what would match")
    try:
        found = _dry_run(connection, start, timeout)
    except KeyboardInterrupt:
        err.print("nothing was sent but a dry run")
        raise typer.Exit(Exit.INTERRUPTED) from None
    _tell(connection, start, found)
    require_yes(question(start, found.done, grace))


def question(start: StartBatch, count: int, grace: str | None) -> str:
    """The question to confirm."""
    asked = f"{start.action.capitalize()} {count:,} invocation{'' if count == 1 else 's'}?"
    if start.action is Action.PURGE:
        return f"{asked} They are removed for good, payloads included."
    if start.action is Action.RESTART:
        return f"{asked} They run again from their beginning."
    if start.standing_until is not None:
        asked += f" So is whatever else matches and arrives until {iso(start.standing_until)}."
    if start.action is not Action.CANCEL:
        return asked
    return f"{asked} {after_grace(start.on_timeout, grace)}"


def after_grace(on_timeout: OnTimeout, grace: str | None) -> str:
    """What becomes of those that have not ended; `grace`: as typed."""
    fate = "killed" if on_timeout is OnTimeout.KILL else "left"
    return f"What has not ended within {grace or DEFAULT_GRACE} is {fate}."


def _dry_run(connection: Connection, start: StartBatch, timeout: float | None) -> BatchProgress:
    preview = replace(start, batch_id=new_batch_id(), dry_run=True, max_rate=None, standing_until=None, expires_at=None)
    err.print(f"preview: {describe(start.filter)}", markup=False)
    with Client(*connection) as client:
        client.start_batch(preview)
    *_, last = shown(
        ProgressReader(*connection).follow(preview.batch_id, timeout, Waiting(connection, preview.batch_id))
    )
    return last


def _tell(connection: Connection, start: StartBatch, found: BatchProgress) -> None:
    if found.state is not BatchState.COMPLETED:
        print_error(f"the preview is {found.state}: {found.error or 'see `streams batch list`'}; nothing was sent")
        raise typer.Exit(Exit.FAILED)
    idle = f", {found.skipped:,} of them with nothing to {start.action.lower()}" if found.skipped else ""
    err.print(f"{found.matched:,} match{idle}{':' if found.samples else ''}", markup=False)
    for each in found.samples[:_SAMPLES]:
        err.print(f"  {each}", markup=False)
    if found.matched > _SAMPLES:
        err.print("  ...")
    if found.matched:
        tell_facts(start, found)
    else:
        tell_nothing_matched(connection, start.filter, start.action)
    if found.done == 0 and start.standing_until is None:
        err.print("nothing was sent")
        raise typer.Exit(Exit.OK)
