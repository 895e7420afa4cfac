"""The command line's verbs and its reports of errors."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from streams import __version__
from streams.cli import interrupts, stdio
from streams.cli.context import connect
from streams.cli.show.console import Exit, out, print_error
from streams.cli.verbs import Verbs
from streams.errors import StreamsError

app = typer.Typer(
    name="streams",
    cls=Verbs,
    help="Cancel or kill a large, filtered set of invocations with one command. Example: streams demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(value: bool) -> None:  # noqa: FBT001 - Typer calls it so
    if value:
        out.print(f"streams {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    ctx: typer.Context,
    *,
    version: Annotated[
        bool, typer.Option("--version", metavar="", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    del version
    connect(ctx.obj)


def main() -> None:
    """Run the command line. A known error is one line and exit code 1; `STREAMS_DEBUG=1` shows its traceback."""
    interrupts.never_dropped()
    stdio.prepare()
    for word in sys.argv[1:]:
        try:
            word.encode()
        except UnicodeEncodeError:
            print_error(f"{word!r} is not UTF-8: write it in UTF-8")
            sys.exit(Exit.USAGE)
    code = _run()
    try:
        sys.stdout.flush()
    except stdio.OutputError as lost:
        code = _lost(lost) if code in (None, Exit.OK) else code
        stdio.give_up()
    sys.exit(code)


def _run() -> str | int | None:
    """Run the verb; returns the exit code."""
    try:
        app()
    except SystemExit as ended:
        return ended.code
    except stdio.OutputError as lost:
        stdio.give_up()
        return _lost(lost)
    except Exception as error:
        if os.environ.get("STREAMS_DEBUG"):
            raise
        print_error(_told(error))
        return Exit.FAILED
    return Exit.OK


def _lost(lost: stdio.OutputError) -> int:
    if lost.reader_gone:
        return stdio.READER_GONE
    print_error(str(lost))
    return Exit.FAILED


def _told(error: Exception) -> str:
    if isinstance(error, StreamsError):
        return str(error)
    kafka = sys.modules.get("confluent_kafka")
    if kafka is not None and isinstance(error, kafka.KafkaException):
        return f"Kafka: {error.args[0].str() if error.args else error}"
    return f"{type(error).__name__}: {error}; this should not happen: STREAMS_DEBUG=1 shows where"
