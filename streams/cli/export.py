"""`export`: the table as commands, for `send` under another prefix."""

from __future__ import annotations

from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from streams.cli.context import connection_of_command
from streams.cli.records import typed_json
from streams.cli.show.console import Exit, err
from streams.cli.show.partition_bars import partition_bars
from streams.cli.show.times import duration_of, iso
from streams.cli.sink import Sink
from streams.clock import wall_clock
from streams.errors import StreamsError
from streams.model import Status
from streams.offline import export as runtime
from streams.offline.moves import Terms

if TYPE_CHECKING:
    from collections import Counter

    from streams.cli.context import Connection
    from streams.offline.export import Exported

_LISTED = 10


class Started(StrEnum):
    """The treatment of invocations that executors have in hand."""

    ADOPT = "adopt"
    RESTART = "restart"


_Output = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE|-",
        dir_okay=False,
        help="A file is written whole or not at all, the one that a link leads to as well; a device or a fifo is "
        "written to. - is stdout.",
    ),
]


def export(
    *,
    output: _Output = Path("-"),
    started: Annotated[
        Started,
        typer.Option(
            help="READY and RUNNING: adopt them (RUNNING, no START: whoever runs them goes on), or restart them "
            "(a START again: their executors were stopped)."
        ),
    ] = Started.ADOPT,
    import_within: Annotated[
        str,
        typer.Option(
            metavar="DURATION",
            help="How soon the file is sent: what was paused before its start is scheduled no earlier, so that it is "
            "paused again and not started.",
        ),
    ] = "1h",
    force: Annotated[
        bool,
        typer.Option("--force", metavar="", help="Although workers run, or commands wait that nobody has applied."),
    ] = False,
) -> None:
    """Write what has not ended as commands, JSON lines that `streams send` takes under another prefix or cluster.

    So one moves to more partitions. Kept: ids, service, handler, labels and the like, payloads, schedules, SUSPENDED,
    BACKING_OFF with its time, PAUSED, CANCELLING with its cause and what is left of its grace. Attempt, seq and times
    start again; what has ended, and batches, stay behind, and stderr says how many. All workers must be stopped, with
    every command applied.

    Example: streams export --output table.jsonl
    """
    now = wall_clock()
    no_start_before = now + (duration_of("--import-within", import_within) or 0)
    connection = connection_of_command()
    terms = Terms(now, started is Started.RESTART, no_start_before)
    try:
        with closing(Sink(output)) as sink:
            exported = _written(connection, terms, sink, force=force)
            sink.finish()
    except KeyboardInterrupt:
        err.print("stopped: nothing whole was written")
        raise typer.Exit(Exit.INTERRUPTED) from None
    _tell(exported, terms)


def _written(connection: Connection, terms: Terms, sink: Sink, *, force: bool) -> Exported:
    exported = runtime.Exported()
    encode = msgspec.json.Encoder().encode
    with partition_bars() as progress:
        try:
            with runtime.restored(*connection, progress, force=force) as (stores, unrest):
                for line in unrest:
                    err.print(f"not at rest: {line}", markup=False)
                for command in runtime.commands(stores, terms, exported, progress):
                    sink.write(encode(typed_json(command)) + b"\n")
        except runtime.NotAtRestError as error:
            raise StreamsError(f"{error}\nnothing was exported; --force takes the table as it is now") from None
    return exported


def _tell(exported: Exported, terms: Terms) -> None:
    """Report what was written, what to know about it, and what stays behind."""
    which = f" ({_listed(exported.moved)})" if exported.moved else ""
    err.print(f"exported, in {exported.commands:,} commands: {exported.invocations:,}{which}", markup=False)
    _say("flows that are cancelled there, too, before anybody joins", exported.cancelled)
    restarted = "cancelled flows that are open there, for the sake of members that were restarted"
    _say(restarted, len(exported.opened), _named(exported.opened))
    in_hand = exported.moved[Status.READY] + exported.moved[Status.RUNNING]
    if terms.restart:
        _say("started again, with a START", in_hand)
    else:
        _say("adopted, RUNNING without a START; whoever runs them reports as attempt 1", in_hand)
    _say(f"paused before their start, to be sent before {iso(terms.no_start_before)}", exported.shelved)
    _say("ended, left behind", exported.ended.total(), _listed(exported.ended))
    _say("batches that are not over, left behind", len(exported.batches), _named(exported.batches))


def _say(what: str, count: int, which: str = "") -> None:
    """Print one line, unless there is nothing to report."""
    if count:
        err.print(f"{what}: {count:,}{f' ({which})' if which else ''}", markup=False)


def _listed(counts: Counter[Status]) -> str:
    return ", ".join(f"{status} {counts[status]:,}" for status in Status if counts[status])


def _named(ids: list[str]) -> str:
    return ", ".join(ids[:_LISTED] + (["..."] if len(ids) > _LISTED else []))
