"""`send`: commands from JSON lines to the log."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, NamedTuple

import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from streams.cli.context import connection_of_command
from streams.cli.options.sending import Json  # noqa: TC001 - Typer reads the annotations
from streams.cli.records import BadLineError, command_of
from streams.cli.show.console import Exit, err, out, print_json
from streams.cli.stdio import already_done
from streams.client import Client, Delivery, DeliveryError, InvalidCommandError
from streams.textfiles import UnreadableError, raw_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from streams.client.producer import OnDelivery

_EVERY = 500


class Bad(NamedTuple):
    """A line that was not sent, counted from 1."""

    line: int
    reason: str


@dataclass
class Sent:
    """The results for the lines."""

    sent: int = 0
    bad: list[Bad] = field(default_factory=list)
    interrupted_after: int | None = None

    def refuse(self, line: int, reason: str) -> None:
        """Report a bad line at once: the end of the input may be far."""
        self.bad.append(Bad(line, reason))
        err.print(f"line {line}: {reason}", markup=False)

    @property
    def exit_code(self) -> Exit:
        """0 only if every line was sent."""
        if self.interrupted_after is not None:
            return Exit.INTERRUPTED
        return Exit.FAILED if self.bad else Exit.OK


def send(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE|-", help="Commands, one JSON object a line; - or nothing reads stdin."),
    ] = Path("-"),
    *,
    json: Json = False,
) -> None:
    """Check commands written as JSON lines, and send the good ones; the bad ones are listed with their line and reason.

    A line is {"type": "Invoke", ...} with the fields of the schema (`streams schemas show Invoke`), payloads in base64;
    `streams tail commands | jq -c .record` prints them so. Exit code 1 when any line was bad.

    Example: streams send commands.jsonl
    """
    with _opened(file) as lines, Client(*connection_of_command()) as client:
        name = "stdin" if str(file) == "-" else str(file)
        done = send_lines(client, _with_a_bar(raw_lines(lines, name), lines))
    with already_done(f"{done.sent:,} sent, {len(done.bad):,} bad"):
        if json:
            bad = [each._asdict() for each in done.bad]
            print_json({"sent": done.sent, "bad": bad, "interrupted_after": done.interrupted_after})
        else:
            out.print(f"{done.sent:,} sent, {len(done.bad):,} bad")
    raise typer.Exit(done.exit_code)


def send_lines(client: Client, lines: Iterable[bytes]) -> Sent:
    """Send the good lines, skipping blank ones. Returns once the broker has answered for all of them."""
    done = Sent()
    number = 0
    try:
        for number, line in enumerate(lines, 1):
            if line.strip():
                _send_line(client, done, number, line)
    except UnreadableError as error:
        done.refuse(number + 1, f"from here on nothing was read: {error}")
    except KeyboardInterrupt:
        done.interrupted_after = number
        err.print(f"stopped after line {number}; what is good up to there is sent")
    with suppress(DeliveryError):  # each was reported with its line
        client.flush()
    return done


def _send_line(client: Client, done: Sent, number: int, line: bytes) -> None:
    try:
        client.send(command_of(line), _told(done, number))
    except (BadLineError, InvalidCommandError) as error:
        done.refuse(number, str(error))


def _told(done: Sent, number: int) -> OnDelivery:
    def told(delivery: Delivery) -> None:
        if delivery.error is None:
            done.sent += 1
        else:
            done.refuse(number, f"not delivered: {delivery.error}")

    return told


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    if str(file) == "-":
        yield sys.stdin.buffer
        return
    try:
        opened = file.open("rb")
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}", param_hint="FILE") from None
    with opened:
        yield opened


def _with_a_bar(lines: Iterable[bytes], file: BinaryIO) -> Iterator[bytes]:
    """The file's lines, with a bar on a terminal: of bytes if the size is known, else of lines only."""
    if not err.is_terminal:
        yield from lines
        return
    status = os.fstat(file.fileno())
    size = status.st_size or None  # a pipe has no size
    columns = (TextColumn("sending"), BarColumn(), TextColumn("{task.fields[lines]:,} lines"), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as bars:
        task: TaskID = bars.add_task("", total=size, lines=0)
        read = 0
        for number, line in enumerate(lines, 1):
            read += len(line)
            if number % _EVERY == 0:
                bars.update(task, completed=read, lines=number)
            yield line
