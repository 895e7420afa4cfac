"""`dead-letters`: the records that became dead letters, and their replay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from streams.cli.context import connection_of_command
from streams.cli.options.sending import Json  # noqa: TC001 - Typer reads the annotations
from streams.cli.records import decoded
from streams.cli.show.console import (
    Exit,
    err,
    on_a_terminal,
    out,
    print_error,
    print_json,
    print_whole,
    require_yes,
)
from streams.cli.show.fitting import Column, fitting, plain, print_fitting, terminal_width
from streams.cli.show.times import iso
from streams.cli.stdio import already_done
from streams.client import DeadLetterReader
from streams.client.dead_letters import brief
from streams.client.replay import APPLIED, send_again, was_applied, why_not
from streams.errors import StreamsError

if TYPE_CHECKING:
    from streams.client import DeadLetter

app = typer.Typer(no_args_is_help=True, help="Records that became dead letters. Example: streams dead-letters list")

_Code = Annotated[
    list[str] | None,
    typer.Option(
        "--code", metavar="CODE", help="With this error code. May be given several times.", show_default=False
    ),
]
_PLACE = "PARTITION:OFFSET"
_COLUMNS = (
    Column("place"),
    Column("at", rank=1),
    Column("code"),
    Column("key", least=16),
    Column("message", least=30, fold=True),
)


@app.command("list")
def list_(*, code: _Code = None, json: Json = False) -> None:
    """List the dead letters, oldest first.

    Example: streams dead-letters list --code unknown_schema
    """
    letters = _with_codes(DeadLetterReader(*connection_of_command()).all(), code)
    if json:
        print_json({"dead_letters": [brief(each) for each in letters]})
    elif letters:
        print_fitting(_listed(letters))
    else:
        err.print("no dead letters")


@app.command()
def show(
    place: Annotated[str, typer.Argument(metavar=_PLACE, help="Its place, as listed.", show_default=False)],
    *,
    json: Json = False,
) -> None:
    """Show one dead letter with all that it holds.

    Example: streams dead-letters show 0:17
    """
    partition, offset = _parsed(place)
    letter = _chosen(DeadLetterReader(*connection_of_command()).all(), [(partition, offset)])[0]
    refused = why_not(letter)
    full = {**brief(letter), **decoded(letter.value), **({} if refused is None else {"not_sent_again": refused})}
    if json:
        print_json(full)
        return
    grid = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    grid.add_column(style="bold")
    grid.add_column()
    for name, value in full.items():
        if value is not None:
            grid.add_row(name.replace("_", " "), Text(_text(value)))
    print_whole(grid)


@app.command()
def replay(
    places: Annotated[
        list[str] | None, typer.Argument(metavar=f"[{_PLACE}]...", help="Their places, as listed.", show_default=False)
    ] = None,
    *,
    code: _Code = None,
    all_: Annotated[bool, typer.Option("--all", metavar="", help="All that there are.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", metavar="", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Send the originals again, each to its partition of the command log; the dead letters stay where they are.

    One whose cause is not gone becomes another dead letter. One whose value was cut cannot be sent; exit code 1. One
    with the code clock_ahead only names the places of records that were applied, and is passed over.

    Example: streams dead-letters replay --code unknown_schema --yes
    """
    if sum(map(bool, (places, code, all_))) != 1:
        raise typer.BadParameter(f"say which: {_PLACE}, --code or --all, one of the three")
    wanted = [_parsed(each) for each in places or ()]
    connection = connection_of_command()
    found = DeadLetterReader(*connection).all()
    letters = _chosen(found, wanted) if wanted else _with_codes(found, code)
    applied = [each.place for each in letters if was_applied(each)]
    letters = [each for each in letters if not was_applied(each)]
    refused = {each.place: reason for each in letters if (reason := why_not(each)) is not None}
    sound = [each for each in letters if each.place not in refused]
    for place, reason in refused.items():
        print_error(f"dead letter {place}: {reason}")
    if sound:
        _confirm(len(sound), yes=yes)
        send_again(*connection, sound)
    passed = f", {len(applied):,} passed over: {APPLIED}" if applied else ""
    told = f"{len(sound):,} sent again, {len(refused):,} refused{passed}"
    with already_done(told):
        if json:
            print_json({"sent": [each.place for each in sound], "refused": refused, "passed_over": applied})
        else:
            out.print(told)
    raise typer.Exit(Exit.FAILED if refused else Exit.OK)


def _confirm(count: int, *, yes: bool) -> None:
    if yes:
        return
    if not on_a_terminal():
        raise typer.BadParameter("there is no terminal to ask on: say --yes")
    require_yes(f"Send {count:,} record{'' if count == 1 else 's'} again?")


def _with_codes(letters: list[DeadLetter], codes: list[str] | None) -> list[DeadLetter]:
    return [each for each in letters if not codes or each.code in codes]


def _chosen(letters: list[DeadLetter], places: list[tuple[int, int]]) -> list[DeadLetter]:
    by_place = {(each.partition, each.offset): each for each in letters}
    missing = [f"{partition}:{offset}" for partition, offset in places if (partition, offset) not in by_place]
    if missing:
        raise StreamsError(f"there is no dead letter {', '.join(missing)}: see `streams dead-letters list`")
    return [by_place[each] for each in dict.fromkeys(places)]


def _parsed(place: str) -> tuple[int, int]:
    partition, colon, offset = place.partition(":")
    if not (colon and partition.isascii() and partition.isdigit() and offset.isascii() and offset.isdigit()):
        raise typer.BadParameter(f"{place!r} is not a place of a dead letter: write {_PLACE}, like 0:17")
    return int(partition), int(offset)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def _listed(letters: list[DeadLetter]) -> Table:
    rows = [
        plain(each.place, iso(each.timestamp), each.code, (each.key or b"").decode(errors="replace"), each.message)
        for each in letters
    ]
    return fitting(_COLUMNS, rows, terminal_width())
