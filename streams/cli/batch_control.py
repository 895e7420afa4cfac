"""`batch pause`, `resume`, `abort` and `rate`: send one command, and wait until it takes effect."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.context import connection_of_command
from streams.cli.find_batch import wait_until_known
from streams.cli.options.bounds import standing_of
from streams.cli.options.sending import BatchId, Json, whoever_this_is
from streams.cli.show.console import err, out, print_json, print_whole
from streams.cli.show.follow import table
from streams.cli.stdio import already_done
from streams.client import BatchTimeoutError, Client, ProgressReader
from streams.codec.json_form import to_json
from streams.errors import StreamsError
from streams.model import PAGING_STATES, BatchState, ControlOperation
from streams.protocol.validation import CommandRefusedError, check_rate

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.cli.context import Connection
    from streams.client.compose import ControlOptions
    from streams.model import BatchProgress

_PATIENCE_S = 10.0

_NoWait = Annotated[
    bool,
    typer.Option(
        "--no-wait", metavar="", help="Return once the command is in the log, whether or not the batch is known."
    ),
]


def pause(batch_id: BatchId, *, no_wait: _NoWait = False, json: Json = False) -> None:
    """Hold a batch: no further invocation is touched until it is resumed; what was asked to end still may.

    A batch that stands lets in what arrives meanwhile.

    Example: streams batch pause 019a5c1e-7f3a-7c40-8a5e-3b1f0c2d4e5f
    """
    _control(batch_id, ControlOperation.PAUSE, None, lambda seen: seen.state is BatchState.PAUSED, no_wait, json)


def resume(batch_id: BatchId, *, no_wait: _NoWait = False, json: Json = False) -> None:
    """Let a paused batch go on where it was.

    Example: streams batch resume 019a5c1e-7f3a-7c40-8a5e-3b1f0c2d4e5f
    """
    _control(batch_id, ControlOperation.RESUME, None, lambda seen: seen.state is not BatchState.PAUSED, no_wait, json)


def abort(batch_id: BatchId, *, no_wait: _NoWait = False, json: Json = False) -> None:
    """Stop a batch for good; what it has ended stays ended, what it has asked to end is waited for.

    Example: streams batch abort 019a5c1e-7f3a-7c40-8a5e-3b1f0c2d4e5f
    """
    _control(batch_id, ControlOperation.ABORT, None, lambda seen: False, no_wait, json)  # noqa: ARG005


def rate(
    batch_id: BatchId,
    rows: Annotated[float, typer.Argument(help="Invocations a second, over all partitions.", show_default=False)],
    *,
    no_wait: _NoWait = False,
    json: Json = False,
) -> None:
    """Make a batch slower or faster while it runs.

    Example: streams batch rate 019a5c1e-7f3a-7c40-8a5e-3b1f0c2d4e5f 5000
    """
    try:
        check_rate(rows)
    except CommandRefusedError as refusal:
        raise typer.BadParameter(refusal.message, param_hint="ROWS") from None
    _control(batch_id, ControlOperation.SET_RATE, rows, lambda seen: seen.max_rate == rows, no_wait, json)


def _control(
    batch_id: str,
    operation: ControlOperation,
    max_rate: float | None,
    shows: Callable[[BatchProgress], bool],
    no_wait: bool,  # noqa: FBT001 - as Typer gives them
    json: bool,  # noqa: FBT001
) -> None:
    connection = connection_of_command()
    if not no_wait:
        progress = wait_until_known(connection, batch_id)
        _refuse_late(progress, operation)
        _refuse_rate(progress, max_rate)
    options: ControlOptions = {"actor": whoever_this_is(connection.settings)}
    if max_rate is not None:
        options["max_rate"] = max_rate
    with Client(*connection) as client:
        client.control_batch(batch_id, operation, **options)
    if no_wait:
        _print_sent(batch_id, operation, as_json=json)
        return
    progress = _await(connection, batch_id, shows)
    with already_done(f"{operation} of batch {batch_id} has taken effect, which is {progress.state}"):
        if json:
            print_json(to_json(progress))
        else:
            print_whole(table(progress))


def _refuse_late(progress: BatchProgress, operation: ControlOperation) -> None:
    if progress.state not in PAGING_STATES:
        raise StreamsError(
            f"batch {progress.batch_id} is {progress.state}: all that it was to do is done or given up, "
            f"{operation} would change nothing and was not sent"
        )


def _refuse_rate(progress: BatchProgress, max_rate: float | None) -> None:
    stands = standing_of(progress)
    if max_rate is not None and stands is not None:
        raise StreamsError(
            f"batch {progress.batch_id} {stands} and takes no rate: what arrives is ended at once; nothing was sent"
        )


def _await(connection: Connection, batch_id: str, shows: Callable[[BatchProgress], bool]) -> BatchProgress:
    """The batch's progress, once the command has taken effect or all pages are done."""
    with suppress(BatchTimeoutError):
        for progress in ProgressReader(*connection).follow(batch_id, _PATIENCE_S):
            if shows(progress) or progress.state not in PAGING_STATES:
                return progress
    raise StreamsError(
        f"batch {batch_id}: the command is in the log, and has not taken effect within {_PATIENCE_S:g} s; "
        f"`streams batch show {batch_id}` shows it later"
    )


def _print_sent(batch_id: str, operation: ControlOperation, *, as_json: bool) -> None:
    with already_done(f"{operation} of batch {batch_id} is in the log"):
        if as_json:
            print_json({"batch_id": batch_id, "operation": operation})
            return
        out.print(f"{operation} of batch {batch_id} is in the log", markup=False)
    err.print(f"see it: streams batch show {batch_id}", markup=False)
