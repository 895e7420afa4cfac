"""`flow`: the known flows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli import flow_cancel
from streams.cli.context import connection_of_command
from streams.cli.options.sending import FlowId, Json  # noqa: TC001 - Typer reads the annotations
from streams.cli.show.console import err, print_error, print_json, print_whole
from streams.cli.show.fitting import print_fitting, terminal_width
from streams.cli.show.flows import flow_table, listed, watch_flow
from streams.cli.show.times import duration_of
from streams.cli.stdio import already_done
from streams.client import FlowReader
from streams.codec.json_form import to_json
from streams.errors import StreamsError
from streams.model import FlowState  # noqa: TC001 - Typer reads the annotations

if TYPE_CHECKING:
    from streams.model import FlowProgress

app = typer.Typer(no_args_is_help=True, help="Look at flows, and cancel them. Example: streams flow list")
app.command()(flow_cancel.cancel)


@app.command()
def show(flow_id: FlowId, *, json: Json = False) -> None:
    """Show one flow as it stands: its state, the numbers of its members, its failures.

    Example: streams flow show checkout-4711
    """
    progress = FlowReader(*connection_of_command()).get(flow_id)
    if progress is None:
        raise StreamsError(
            f"flow {flow_id} is not known: nobody has joined it, or it is forgotten; see `streams flow list`"
        )
    _print(progress, as_json=json)


@app.command()
def watch(
    flow_id: FlowId,
    *,
    timeout: Annotated[
        str | None, typer.Option(metavar="DURATION", help="At most this long, like 10m.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Follow one flow until it is cancelled; Ctrl-C changes nothing. Exit code 3 if members of it were left.

    Example: streams flow watch checkout-4711 --timeout 10m
    """
    timeout_ms = duration_of("--timeout", timeout)
    watched = watch_flow(connection_of_command(), flow_id, timeout_ms)
    if watched.problem is not None and not watched.interrupted:
        print_error(watched.problem)
    if watched.last is not None:
        with already_done(watched.stands):
            _print(watched.last, as_json=json)
    raise typer.Exit(watched.exit_code)


@app.command("list")
def list_(
    *,
    state: Annotated[
        FlowState | None, typer.Option(help="In this state only.", case_sensitive=False, show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """List the flows, the last changed first.

    Example: streams flow list --state cancelling
    """
    latest = FlowReader(*connection_of_command()).latest().values()
    flows = sorted(latest, key=lambda each: (each.updated_at, each.flow_id), reverse=True)
    flows = [each for each in flows if state is None or each.state is state]
    if json:
        print_json({"flows": [to_json(each, whole=False) for each in flows]})
    elif flows:
        print_fitting(listed(flows, terminal_width()))
    else:
        err.print("no flows" if state is None else f"no flow is {state}")


def _print(progress: FlowProgress, *, as_json: bool) -> None:
    if as_json:
        print_json(to_json(progress))
    else:
        print_whole(flow_table(progress))
