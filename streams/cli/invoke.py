"""`invoke`: one invocation."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from streams.cli.context import connection_of_command
from streams.cli.options.labels import labels_of
from streams.cli.options.sending import Json  # noqa: TC001 - Typer reads the annotations
from streams.cli.show.console import out, print_json
from streams.cli.show.times import future_of
from streams.cli.stdio import already_done
from streams.client import Client, Delivery, new_invocation_id
from streams.model import Invocation, Invoke
from streams.protocol.validation import CommandRefusedError, check_invoke
from streams.textfiles import unreadable

_Payload = Annotated[
    str | None, typer.Argument(help="What the handler is given, at most 256 KiB; - reads stdin.", show_default=False)
]
_PayloadFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The payload is this file.", exists=True, dir_okay=False)
]
_ObjectKey = Annotated[
    str | None,
    typer.Option(metavar="KEY", help="The virtual object it is about: one at a time of each, in order of arrival."),
]
_Flow = Annotated[str | None, typer.Option(metavar="ID", help="The flow that it joins, to be cancelled with it.")]
_Parent = Annotated[
    str | None, typer.Option(metavar="ID", help="The invocation whose child it is, to be cancelled with it.")
]
_OPTIONS = {"flow_id": "--flow", "parent_id": "--parent"}


def invoke(
    service: Annotated[str, typer.Argument(help="Whose it is.", show_default=False)],
    handler: Annotated[str, typer.Argument(help="What its executor calls.", show_default=False)],
    payload: _Payload = None,
    *,
    payload_file: _PayloadFile = None,
    id: Annotated[  # noqa: A002 - the option's name
        str | None,
        typer.Option(metavar="ID", help="Its id; sent again with the same content it is the same one. Else a new one."),
    ] = None,
    object_key: _ObjectKey = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="May be given several times.", show_default=False)
    ] = None,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="When to start: ISO, or 2h for two hours from now. Else at once.")
    ] = None,
    flow: _Flow = None,
    parent: _Parent = None,
    deployment: Annotated[str | None, typer.Option(metavar="ID", help="The deployment that it is meant for.")] = None,
    adopt: Annotated[
        bool, typer.Option("--adopt", metavar="", help="It runs elsewhere already: no executor is told to start it.")
    ] = False,
    json: Json = False,
) -> None:
    """Invoke a handler once, and print the invocation's id.

    Example: streams invoke emails send '{"to": "ada"}' --label tenant=acme --at 10m
    """
    if id == "":
        raise typer.BadParameter("is empty: name one, or leave the option out", param_hint="--id")
    invocation = Invocation(
        id or new_invocation_id(service, object_key),
        service,
        handler,
        object_key,
        deployment,
        flow,
        parent,
        labels=labels_of("--label", label) or {},
    )
    command = Invoke(invocation, future_of("--at", at), adopt, _payload(payload, payload_file))
    _refuse_invalid(command)
    sent = _append(command)
    with already_done(f"invocation {invocation.invocation_id} is in the log"):
        if json:
            print_json({"invocation_id": invocation.invocation_id, "command": sent.place})
        else:
            out.print(invocation.invocation_id, markup=False)


def _refuse_invalid(command: Invoke) -> None:
    try:
        check_invoke(command)
    except CommandRefusedError as refusal:
        field, _, rule = refusal.message.partition(" ")
        option = _OPTIONS.get(field)
        raise typer.BadParameter(refusal.message if option is None else rule, param_hint=option) from None


def _payload(text: str | None, file: Path | None) -> bytes | None:
    if text is not None and file is not None:
        raise typer.BadParameter("PAYLOAD and --payload-file are both given: leave one of them out")
    if file is not None or text == "-":
        name = "stdin" if file is None else str(file)
        try:
            return sys.stdin.buffer.read() if file is None else file.read_bytes()
        except OSError as error:
            raise unreadable(name, error) from None
    return None if text is None else os.fsencode(text)  # bytes that are not text in this locale are kept as typed


def _append(command: Invoke) -> Delivery:
    deliveries: list[Delivery] = []
    with Client(*connection_of_command()) as client:
        client.send(command, deliveries.append)
    return deliveries[0]
