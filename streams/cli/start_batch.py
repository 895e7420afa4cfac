"""The common path of the verbs that start a batch: its options, one command in the log, its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from msgspec.structs import replace

from streams.cli.context import connection_of_command
from streams.cli.options.bounds import Standing
from streams.cli.options.sending import Cancelling, whoever_this_is
from streams.cli.show.console import Exit, err, out, print_error, print_json, print_whole
from streams.cli.show.facts import ends_in_words, ends_of, tell_facts
from streams.cli.show.follow import Watched, table, tell_ways_back, watch
from streams.cli.show.nothing import tell_nothing_matched
from streams.cli.show.preview import DEFAULT_GRACE, confirm
from streams.cli.show.times import duration_ms, duration_of
from streams.cli.stdio import already_done
from streams.client import Client, Delivery, new_batch_id
from streams.codec.json_form import to_json
from streams.model import ON_ENDED, TERMINAL, Action, BatchProgress, BatchState, Filter, StartBatch
from streams.protocol.batch_validation import check_start_batch
from streams.protocol.validation import MAX_GRACE_MS, CommandRefusedError

if TYPE_CHECKING:
    from streams.cli.context import Connection
    from streams.cli.options.bounds import Bounds
    from streams.cli.options.selection import Selection
    from streams.cli.options.sending import Sending

_IDS_SHOWN = 5


def run(
    action: Action,
    selection: Selection,
    bounds: Bounds,
    sending: Sending,
    standing: Standing | None = None,
    cancelling: Cancelling | None = None,
) -> None:
    """Preview, ask, send the one command, and show progress until the batch has ended.

    Raises:
        typer.BadParameter: an option breaks a rule, or there is no terminal to ask on.
        typer.Exit: nothing more is to be done; with the verb's exit code.
        BatchTimeoutError: the preview has not ended in time.
    """
    if sending.batch_id == "":
        raise typer.BadParameter("is empty: name one, or leave the option out", param_hint="--batch-id")
    cancelling = cancelling or Cancelling()
    connection = connection_of_command()
    start = StartBatch(
        batch_id=sending.batch_id or new_batch_id(),
        action=action,
        filter=selection.filter(),
        dry_run=sending.dry_run,
        grace_ms=duration_of("--grace", cancelling.grace),
        on_timeout=cancelling.on_timeout,
        reason=sending.reason,
        actor=sending.actor or whoever_this_is(connection.settings),
    )
    start = (standing or Standing()).of(bounds.of(start))
    timeout = duration_of("--timeout", sending.timeout)
    _refuse_invalid(start)
    if not (sending.yes or sending.dry_run):
        _confirm(connection, start, cancelling.grace, timeout, as_json=sending.json)
    sent = _append(connection, start)
    if sending.no_wait:
        _print_sent(start, sent, as_json=sending.json)
        return
    err.print(f"batch {start.batch_id}: partition {sent.partition}, offset {sent.offset}", markup=False)
    watched = watch(connection, start.batch_id, timeout)
    if watched.last is not None and (different := _different(start, watched.last)):
        watched.error = (
            f"batch id {start.batch_id} is taken by an earlier batch of other content, shown here; this command "
            f"changed nothing. What differs: {', '.join(different)}. Repeat what was sent, or choose another --batch-id"
        )
    _report(watched, start.batch_id, sent, as_json=sending.json)
    if watched.exit_code is Exit.OK and watched.last is not None:
        _tell_matched(connection, start, watched.last, as_json=sending.json)
    raise typer.Exit(watched.exit_code)


def _tell_matched(connection: Connection, start: StartBatch, last: BatchProgress, *, as_json: bool) -> None:
    """Say that nothing has matched, or what a dry run has found."""
    if last.matched == 0:
        tell_nothing_matched(connection, start.filter, start.action)
    elif start.dry_run and not as_json:
        tell_facts(start, last)


def _confirm(
    connection: Connection, start: StartBatch, grace: str | None, timeout: int | None, *, as_json: bool
) -> None:
    """Preview and ask. With nothing to send, stdout still is one JSON object, if JSON was requested."""
    try:
        confirm(connection, start, grace, None if timeout is None else timeout / 1_000)
    except typer.Exit:
        if as_json:
            print_json({"batch_id": None, "state": None, "command": None})
        raise


def _refuse_invalid(start: StartBatch) -> None:
    """Apply the engine's own rules before anything is sent."""
    if replace(start.filter, exclude=None) == Filter():
        but = "" if start.filter.exclude is None else " but those left out"
        raise typer.BadParameter(f"say which invocations, or --all for all of them{but}")
    for status in start.filter.statuses or ():
        if start.action in ON_ENDED and status not in TERMINAL:
            done = "purged" if start.action is Action.PURGE else "restarted"
            raise typer.BadParameter(f"{status} has not ended, and only that is {done}", param_hint="--status")
    if start.grace_ms is not None and start.grace_ms > MAX_GRACE_MS:
        raise typer.BadParameter("is longer than 24h, the most there is", param_hint="--grace")
    try:
        check_start_batch(start)
    except CommandRefusedError as refusal:
        raise typer.BadParameter(refusal.message) from None


def _append(connection: Connection, start: StartBatch) -> Delivery:
    deliveries: list[Delivery] = []
    try:
        with Client(*connection) as client:
            client.send(start, deliveries.append)
    except KeyboardInterrupt:
        err.print(f"batch {start.batch_id} may be in the log already", markup=False)
        tell_ways_back(start.batch_id)
        raise typer.Exit(Exit.INTERRUPTED) from None
    return deliveries[0]


def _print_sent(start: StartBatch, sent: Delivery, *, as_json: bool) -> None:
    with already_done(f"batch {start.batch_id} is in the log"):
        if as_json:
            print_json({"batch_id": start.batch_id, "command": sent.place})
            return
        out.print(f"batch {start.batch_id} is in the log: partition {sent.partition}, offset {sent.offset}")
        out.print(f"watch it: streams batch watch {start.batch_id}", markup=False)


def _report(watched: Watched, batch_id: str, sent: Delivery, *, as_json: bool) -> None:
    ends = None if watched.last is None or watched.error else ends_of(watched.last)
    problem = watched.error or _problem(watched.last)
    if problem is not None and not watched.interrupted:
        print_error(problem)
    with already_done(watched.stands(batch_id)):
        if as_json:
            progress = {} if watched.last is None else to_json(watched.last)
            more = {} if ends is None else {"ended_as": ends}
            print_json({"batch_id": batch_id, "state": None, **progress, **more, "command": sent.place})
        elif watched.last is not None:
            print_whole(table(watched.last, _IDS_SHOWN, None if ends is None else ends_in_words(ends)))


def _different(start: StartBatch, progress: BatchProgress) -> list[str]:
    """The options in which an earlier batch with the same id differs from this one; empty if it is the same.

    Only the number of ids is known.
    """
    ids = start.filter.invocation_ids
    pairs = {
        "action": (start.action, progress.action),
        "filter (a duration such as 2h is another time in each run)": (
            replace(start.filter, invocation_ids=None),
            replace(progress.filter, invocation_ids=None),
        ),
        "number of ids": (None if ids is None else len(ids), progress.invocation_ids_count),
        "--dry-run": (start.dry_run, progress.dry_run),
        "--limit": (start.limit, progress.limit),
        "--grace": (_grace_ms(start), _grace_ms(progress)),
        "--on-timeout": (start.on_timeout, progress.on_timeout),
        "--standing-until": (start.standing_until, progress.standing_until),
        "--expires-at": (start.expires_at, progress.expires_at),
        "--reason": (start.reason, progress.reason),
        "--actor": (start.actor, progress.actor),
    }
    return [name for name, (asked, shown) in pairs.items() if asked != shown]


def _grace_ms(batch: StartBatch | BatchProgress) -> int:
    """The grace with its default filled in, as in the progress of a batch that was not rejected."""
    return duration_ms(DEFAULT_GRACE) if batch.grace_ms is None else batch.grace_ms


def _problem(progress: BatchProgress | None) -> str | None:
    match progress:
        case None:
            return "the batch has shown no progress"
        case BatchProgress(state=BatchState.COMPLETED, failed=0):
            return None
        case BatchProgress(state=BatchState.COMPLETED):
            return f"batch {progress.batch_id}: {progress.failed:,} did not end within their grace and were left"
        case _:
            reason = f": {progress.error}" if progress.error else ""
            return f"batch {progress.batch_id} is {progress.state}{reason}"
