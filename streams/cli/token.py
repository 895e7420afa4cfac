"""`token`: the tokens by which people and programs use the gateway."""

from __future__ import annotations

from typing import Annotated

import typer

from streams.cli.show.console import err
from streams.gateway.access.callers import Role  # noqa: TC001 - Typer reads the annotations

app = typer.Typer(no_args_is_help=True, help="Tokens of the gateway. Example: streams token new ann --role operator")


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Who has it: the actor of what is done with it.", show_default=False)],
    role: Annotated[
        Role, typer.Option(help="viewer: sees all but payloads; operator: may change it.", show_default=False)
    ],
) -> None:
    """Make a token, and print it with its line for the tokens file; it is kept nowhere.

    Example: streams token new ann --role operator
    """
    from streams.gateway.access.tokens import line_of, new_secret  # noqa: PLC0415 - help does not wait for it

    secret = new_secret()
    line = line_of(name, role, secret)
    typer.echo(f"token {secret}\nline  {line}")
    err.print("The token is for its holder, and is not shown again. The line is for STREAMS_GATEWAY_TOKENS_FILE.")
