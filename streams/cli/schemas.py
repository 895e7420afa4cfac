"""`schemas`: the Avro schemas, and the gate that keeps them compatible."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated

import typer

from streams.cli.show.console import Exit, out, print_error
from streams.codec import schemas
from streams.errors import StreamsError

app = typer.Typer(no_args_is_help=True, help="The Avro schemas. Example: streams schemas show StartBatch")


def _names() -> list[str]:
    return sorted(schemas.load(schemas.folder()))


@app.command()
def check(
    against: Annotated[
        str, typer.Option(help="A folder of schemas, or a git ref of this repository.", metavar="FOLDER|REF")
    ],
) -> None:
    """Fail when today's schemas would break a reader or writer of the earlier ones.

    Example: streams schemas check --against main
    """
    from streams.offline.schema_gate import check_against  # noqa: PLC0415 - the other two do without its libraries

    problems = list(check_against(against))
    for problem in problems:
        print_error(str(problem))
    if problems:
        raise typer.Exit(Exit.FAILED)
    out.print(f"compatible with {against}")


@app.command("list")
def list_() -> None:
    """List the records that have a schema.

    Example: streams schemas list
    """
    for name in _names():
        out.print(name)


@app.command()
def show(
    name: Annotated[
        str,
        typer.Argument(help="The record, such as StartBatch.", show_default=False, autocompletion=_names),
    ],
) -> None:
    """Print a record's schema: all that a client in another language needs.

    Example: streams schemas show Invoke > Invoke.avsc
    """
    known = {each.lower(): each for each in _names()}
    if name.lower() not in known:
        near = get_close_matches(name.lower(), known, 1)
        hint = f"did you mean {known[near[0]]}?" if near else "see `streams schemas list`"
        raise StreamsError(f"there is no record {name}: {hint}")
    path = schemas.folder() / f"{known[name.lower()]}.avsc"
    typer.echo(path.read_text(encoding="utf-8").rstrip("\n"))
