"""`topics`: their creation and their check."""

from __future__ import annotations

from typing import Annotated

import typer

from streams.cli.context import connection_of_command
from streams.cli.show.console import Exit, out, print_error
from streams.cli.stdio import already_done
from streams.kafka import topics

app = typer.Typer(no_args_is_help=True, help="The topics in Kafka. Example: streams topics create --partitions 4")


@app.command()
def create(
    partitions: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Of commands, changelog and signals: fixed for the life of the topics. Else 4, or what "
            "those have that exist.",
        ),
    ] = None,
    replication_factor: Annotated[
        int | None, typer.Option(min=1, help="Copies of each record; else 3, or as many as there are brokers.")
    ] = None,
) -> None:
    """Create the topics that are missing; those that exist are checked.

    Example: streams topics create --partitions 16 --replication-factor 3
    """
    created = topics.create(connection_of_command().settings, partitions, replication_factor)
    with already_done("the topics exist"):
        for each in created:
            state = "existed" if each.existed else "created"
            out.print(f"{state}  {each.name}  ({each.partitions} partition{'s' if each.partitions > 1 else ''})")


@app.command()
def check() -> None:
    """Check that the topics exist and are as the service needs them.

    Example: streams topics check
    """
    problems = topics.check(connection_of_command().settings)
    for each in problems:
        print_error(each)
    if problems:
        raise typer.Exit(Exit.FAILED)
    out.print("the topics are as they must be")
