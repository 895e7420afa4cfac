"""`flow cancel`: one command, and its effect."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.completion import flow_ids
from streams.cli.context import connection_of_command
from streams.cli.options.sending import Actor, Json, Reason, whoever_this_is
from streams.cli.show.console import Exit, err, on_a_terminal, out, print_error, print_json, print_whole, require_yes
from streams.cli.show.flows import WatchedFlow, flow_table, numbers, watch_flow
from streams.cli.show.preview import after_grace
from streams.cli.show.times import duration_of
from streams.cli.stdio import already_done
from streams.client import Client, Delivery, FlowReader
from streams.codec.json_form import to_json
from streams.model import CancelFlow, CancelPolicy, FlowAction, FlowState, OnTimeout
from streams.protocol.validation import MAX_GRACE_MS, CommandRefusedError, check_cancel_flow

if TYPE_CHECKING:
    from streams.cli.context import Connection
    from streams.model import FlowProgress


class Policy(StrEnum):
    """A `CancelPolicy` as it is typed."""

    CANCEL_ALL = "cancel-all"
    CANCEL_PENDING = "cancel-pending"
    FLOW_ONLY = "flow-only"


_REACHED = {
    Policy.CANCEL_ALL: "all its members",
    Policy.CANCEL_PENDING: "its members that have not started",
    Policy.FLOW_ONLY: "none of its members",
}
_FlowId = Annotated[str | None, typer.Argument(help="The flow's id.", show_default=False, autocompletion=flow_ids)]
_ChildrenOf = Annotated[
    str | None,
    typer.Option("--children-of", metavar="ID", help="Instead of a flow, the children of this invocation."),
]
_Policy = Annotated[
    Policy,
    typer.Option(help="Whom it reaches, now and later: all members, those not started, or none.", case_sensitive=False),
]
_Kill = Annotated[bool, typer.Option("--kill", metavar="", help="End members at once, whatever their executors do.")]
_Grace = Annotated[
    str | None,
    typer.Option(metavar="DURATION", help="How long executors have to end it, at most 24h; 30s when absent."),
]
_OnTimeout = Annotated[
    OnTimeout | None,
    typer.Option(help="What happens when the grace is over; kill when absent.", case_sensitive=False),
]
_Wait = Annotated[
    bool | None,
    typer.Option(
        "--wait/--no-wait",
        help="Wait until it is done, or return once the command is in the log. Children are not waited for.",
        show_default="wait",
    ),
]


def cancel(
    flow_id: _FlowId = None,
    *,
    children_of: _ChildrenOf = None,
    policy: _Policy = Policy.CANCEL_ALL,
    kill: _Kill = False,
    grace: _Grace = None,
    on_timeout: _OnTimeout = None,
    reason: Reason = None,
    actor: Actor = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", metavar="", help="No question.")] = False,
    wait: _Wait = None,
    timeout: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Wait at most this long, like 10m; the cancel goes on.")
    ] = None,
    json: Json = False,
) -> None:
    """Cancel a flow: its members end, on all partitions, and so do those that join later.

    Cancelled again, it tries members once more that were left; --kill, or a policy that reaches more, is taken over.
    Nothing is weakened. Exit code 0 once it is CANCELLED, 3 if members of it were left.

    Example: streams flow cancel checkout-4711 --reason "customer left" --grace 2m
    """
    _refuse_contradictions(flow_id, children_of, grace, on_timeout, kill=kill, wait=wait)
    connection = connection_of_command()
    command = CancelFlow(
        flow_id or children_of or "",
        FlowAction.KILL if kill else FlowAction.CANCEL,
        CancelPolicy[policy.name],
        duration_of("--grace", grace),
        on_timeout or OnTimeout.KILL,
        reason,
        actor or whoever_this_is(connection.settings),
        children=children_of is not None,
    )
    timeout_ms = duration_of("--timeout", timeout)
    _refuse_invalid(command)
    if not yes:
        _confirm(connection, command, policy, grace)
    sent = _append(connection, command)
    if command.children or wait is False:
        _print_sent(command, sent, as_json=json)
        return
    err.print(f"cancel of {_name(command)}: partition {sent.partition}, offset {sent.offset}", markup=False)
    watched = watch_flow(connection, command.flow_id, timeout_ms, sent.offset or 0)
    _report(watched, command, sent, as_json=json)
    raise typer.Exit(watched.exit_code)


def _refuse_contradictions(
    flow_id: str | None,
    children_of: str | None,
    grace: str | None,
    on_timeout: OnTimeout | None,
    *,
    kill: bool,
    wait: bool | None,
) -> None:
    if flow_id is None and children_of is None:
        raise typer.BadParameter("say which flow, or --children-of and an invocation's id", param_hint="FLOW_ID")
    if flow_id is not None and children_of is not None:
        raise typer.BadParameter("a flow is named, too: leave one of them out", param_hint="--children-of")
    if kill and (grace is not None or on_timeout is not None):
        option = "--on-timeout" if grace is None else "--grace"
        raise typer.BadParameter("a kill gives no time: leave this out, or --kill", param_hint=option)
    if children_of is not None and wait:
        message = (
            f"children publish no progress: leave it out, and look by `streams kill --parent {children_of} --dry-run`"
        )
        raise typer.BadParameter(message, param_hint="--wait")


def _refuse_invalid(command: CancelFlow) -> None:
    """Apply the engine's own rules before anything is sent."""
    if command.grace_ms is not None and command.grace_ms > MAX_GRACE_MS:
        raise typer.BadParameter("is longer than 24h, the most there is", param_hint="--grace")
    try:
        check_cancel_flow(command)
    except CommandRefusedError as refusal:
        field, _, rule = refusal.message.partition(" ")
        option = f"--{field}" if field != "flow_id" else "--children-of" if command.children else "FLOW_ID"
        raise typer.BadParameter(rule, param_hint=option) from None


def _confirm(connection: Connection, command: CancelFlow, policy: Policy, grace: str | None) -> None:
    """Show the flow, and ask; returns if the answer is yes."""
    if not on_a_terminal():
        raise typer.BadParameter("there is no terminal to ask on: say --yes", param_hint="--yes")
    _tell(connection, command)
    asked = f"{command.action.capitalize()} {_name(command)}, and {_REACHED[policy]}?"
    if policy is not Policy.FLOW_ONLY and command.action is FlowAction.CANCEL:
        asked += f" {after_grace(command.on_timeout, grace)}"
    require_yes(asked)


def _tell(connection: Connection, command: CancelFlow) -> None:
    if command.children:
        return
    known = FlowReader(*connection).get(command.flow_id)
    if known is None:
        err.print(f"flow {command.flow_id} is not known: who joins it later is reached", markup=False)
        return
    err.print(f"flow {command.flow_id} is {known.state}: {numbers(known)}", markup=False)
    if known.state is not FlowState.OPEN:
        err.print(
            f"its cancel stays ({_stored(known.policy, known.reason)}); only more than that is taken over", markup=False
        )


def _append(connection: Connection, command: CancelFlow) -> Delivery:
    deliveries: list[Delivery] = []
    try:
        with Client(*connection) as client:
            client.send(command, deliveries.append)
    except KeyboardInterrupt:
        err.print(
            f"the cancel of {_name(command)} may be in the log already; sent again, it does no harm", markup=False
        )
        raise typer.Exit(Exit.INTERRUPTED) from None
    return deliveries[0]


def _print_sent(command: CancelFlow, sent: Delivery, *, as_json: bool) -> None:
    with already_done(f"the cancel of {_name(command)} is in the log"):
        if as_json:
            print_json({"flow_id": command.flow_id, "children": command.children, "command": sent.place})
            return
        out.print(
            f"the cancel of {_name(command)} is in the log: partition {sent.partition}, offset {sent.offset}",
            markup=False,
        )
    see = f"kill --parent {command.flow_id} --dry-run" if command.children else f"flow watch {command.flow_id}"
    err.print(f"see it: streams {see}", markup=False)


def _report(watched: WatchedFlow, command: CancelFlow, sent: Delivery, *, as_json: bool) -> None:
    last = watched.last
    if watched.problem is not None and not watched.interrupted:
        print_error(watched.problem)
    if last is not None and _differs(last, command):
        err.print(f"an earlier cancel stays: {last.action}, {_stored(last.policy, last.reason)}", markup=False)
    if last is not None and last.members == 0:
        err.print(
            f"flow {command.flow_id} has no members: is the id right? Who joins it later is reached", markup=False
        )
    with already_done(watched.stands):
        if as_json:
            progress = {} if last is None else to_json(last)
            print_json({"flow_id": command.flow_id, "state": None, **progress, "command": sent.place})
        elif last is not None:
            print_whole(flow_table(last))


def _differs(last: FlowProgress, command: CancelFlow) -> bool:
    asked = (command.policy, command.action, command.reason or last.reason)
    return (last.policy, last.action, last.reason) != asked


def _name(command: CancelFlow) -> str:
    return f"the children of {command.flow_id}" if command.children else f"flow {command.flow_id}"


def _stored(policy: CancelPolicy | None, reason: str | None) -> str:
    return f"{policy}, reason {reason}"
