"""The options of the verbs that send a command: who asks and why, what is waited for, and a cancel's grace."""

from __future__ import annotations

import getpass
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.completion import batch_ids, flow_ids
from streams.model import OnTimeout

if TYPE_CHECKING:
    from streams.config import Settings

Json = Annotated[bool, typer.Option("--json", metavar="", help="One JSON object on stdout.")]
BatchId = Annotated[str, typer.Argument(help="The batch's id.", show_default=False, autocompletion=batch_ids)]
FlowId = Annotated[str, typer.Argument(help="The flow's id.", show_default=False, autocompletion=flow_ids)]


Reason = Annotated[str | None, typer.Option(metavar="TEXT", help="Why; kept with it, and with what it ends.")]
Actor = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Who asks for it; kept likewise. STREAMS_ACTOR, or USER@HOST, when absent."),
]


def _duration(*names: str, meaning: str) -> Any:
    return typer.Option(*names, metavar="DURATION", help=meaning, show_default=False)


@dataclass(frozen=True)
class Sending:
    """Options of every command that starts a batch."""

    dry_run: Annotated[
        bool, typer.Option("--dry-run", metavar="", help="Only count what matches; nothing is touched.")
    ] = False
    reason: Reason = None
    actor: Actor = None
    batch_id: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Its id; sent again with the same id and content, it still runs once. Write times as ISO then: 2h is "
            "another time in each run.",
        ),
    ] = None
    yes: Annotated[bool, typer.Option("--yes", "-y", metavar="", help="Neither preview nor question.")] = False
    no_wait: Annotated[bool, typer.Option("--no-wait", metavar="", help="Return once the command is in the log.")] = (
        False
    )
    timeout: Annotated[
        str | None, _duration("--timeout", meaning="Wait at most this long, like 10m; the batch goes on.")
    ] = None
    json: Json = False


@dataclass(frozen=True)
class Cancelling:
    """Options of a cancel only."""

    grace: Annotated[
        str | None, _duration("--grace", meaning="How long executors have to end it, at most 24h; 30s when absent.")
    ] = None
    on_timeout: Annotated[
        OnTimeout, typer.Option(help="What happens when the grace is over.", case_sensitive=False)
    ] = OnTimeout.KILL


def whoever_this_is(settings: Settings) -> str:
    """The actor of a command, unless an option names another: `STREAMS_ACTOR`, or USER@HOST."""
    if settings.actor is not None:
        return settings.actor
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"  # as in a container, where a user id has no name
    return f"{user}@{socket.gethostname()}"
