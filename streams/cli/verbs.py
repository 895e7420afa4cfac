"""The verbs, in the order of the help. The module of a verb is loaded once that verb is called: most need Kafka."""

from __future__ import annotations

from collections import UserDict
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from streams.errors import StreamsError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Verb(NamedTuple):
    """A verb: where it is defined, `module:name` within this package, its panel of the help, and its line there.

    `extra`: the part of the installation that it needs.
    """

    home: str
    panel: str
    line: str
    extra: str = "cli"


_ACT, _LOOK, _RUN = "Act", "Look after", "Run"
VERBS = {
    "kill": Verb("actions:kill", _ACT, "End invocations at once, whatever their executors do."),
    "cancel": Verb(
        "actions:cancel",
        _ACT,
        "Ask executors to end invocations; those that do not within the grace are killed, or left.",
    ),
    "pause": Verb(
        "actions:pause", _ACT, "Hold invocations where they stand, until they are resumed, cancelled or killed."
    ),
    "resume": Verb(
        "actions:resume",
        _ACT,
        "Let paused invocations go on: what was started starts again, from its beginning, as its next attempt.",
    ),
    "restart": Verb(
        "actions:restart", _ACT, "Run what has ended again, from its beginning, with its payload, as its next attempt."
    ),
    "purge": Verb(
        "actions:purge", _ACT, "Remove ended invocations for good, with their payloads, before their retention is over."
    ),
    "invoke": Verb("invoke:invoke", _ACT, "Invoke a handler once, and print the invocation's id."),
    "send": Verb(
        "send:send",
        _ACT,
        "Check commands written as JSON lines, and send the good ones; the bad ones are listed with their line and "
        "reason.",
    ),
    "tail": Verb(
        "tail:tail", _LOOK, "Print a topic's committed records as JSON lines; those of one partition in their order."
    ),
    "demo": Verb(
        "demo:demo",
        _RUN,
        "Show a kill by filter on a broker, two workers, a gateway and an executor; ends by itself, leaves nothing.",
        "all",
    ),
    "up": Verb(
        "up:up",
        _RUN,
        "Run workers, the gateway with its page and, if asked for, a broker, in one log, until Ctrl-C.",
        "all",
    ),
    "worker": Verb(
        "processes:worker", _RUN, "Run a worker until SIGTERM or Ctrl-C; a second Ctrl-C stops it at once.", "worker"
    ),
    "gateway": Verb(
        "processes:gateway",
        _RUN,
        "Run the gateway: HTTP API, events and page, and the merge of the partitions' progress.",
        "gateway",
    ),
    "broker": Verb("processes:broker", _RUN, "Run a Kafka broker for development on this machine until Ctrl-C."),
    "verify": Verb(
        "verify:verify",
        _LOOK,
        "Replay the command log through a fresh engine and compare the table with the changelog's.",
        "worker",
    ),
    "export": Verb(
        "export:export",
        _LOOK,
        "Write what has not ended as commands, JSON lines that `streams send` takes under another prefix or cluster.",
        "worker",
    ),
    "batch": Verb("batch:app", _ACT, "Look at batches, and control those that run. Example: streams batch list"),
    "flow": Verb("flow:app", _ACT, "Look at flows, and cancel them. Example: streams flow list"),
    "invocation": Verb(
        "invocation:app",
        _LOOK,
        "Look at invocations, by the gateway. Example: streams invocation list --status failed",
    ),
    "dead-letters": Verb(
        "dead_letters:app", _LOOK, "Records that became dead letters. Example: streams dead-letters list"
    ),
    "token": Verb("token:app", _RUN, "Tokens of the gateway. Example: streams token new ann --role operator"),
    "topics": Verb("topics:app", _LOOK, "The topics in Kafka. Example: streams topics create --partitions 4"),
    "schemas": Verb("schemas:app", _LOOK, "The Avro schemas. Example: streams schemas show StartBatch", "schemas"),
}


class Verbs(TyperGroup):
    """The group of all verbs; its help and its completion load none of them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = _Loading(VERBS)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help, with a verb's line in its place."""
        with self._lines():
            super().format_help(ctx, formatter)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Complete the name of a verb."""
        with self._lines():
            return super().shell_complete(ctx, incomplete)

    def invoke(self, ctx: Any) -> Any:
        """Run a verb; what it imports at work may not be installed either."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            raise _lacking(ctx.invoked_subcommand, error) from error

    @contextmanager
    def _lines(self) -> Iterator[None]:
        loading = self.commands
        self.commands = {
            name: TyperCommand(name, help=verb.line, rich_help_panel=verb.panel) for name, verb in VERBS.items()
        }
        try:
            yield
        finally:
            self.commands = loading


class _Loading(UserDict[str, Any]):
    """Commands by name; a look-up loads one."""

    def __getitem__(self, name: str) -> Any:
        if isinstance(found := self.data[name], Verb):
            self.data[name] = found = _loaded(name, found)
        return found


def _loaded(name: str, verb: Verb) -> Any:
    module, _, attribute = verb.home.partition(":")
    try:
        found = getattr(import_module(f"streams.cli.{module}"), attribute)
    except ModuleNotFoundError as error:
        raise _lacking(name, error) from error
    around = typer.Typer()
    if isinstance(found, typer.Typer):
        around.add_typer(found, name=name, rich_help_panel=verb.panel)
    else:
        around.command(name, cls=getattr(found, "kind", None), rich_help_panel=verb.panel)(found)
    return _unwrapped(typer.main.get_group(around).commands[name])


def _unwrapped(command: Any) -> Any:
    """The command with each paragraph of its help as one line: the terminal breaks it, whatever its width."""
    paragraphs = (command.help or "").split("\n\n")
    command.help = "\n\n".join(" ".join(each.split()) for each in paragraphs)
    for inner in getattr(command, "commands", {}).values():
        _unwrapped(inner)
    return command


def _lacking(name: str, error: ModuleNotFoundError) -> Exception:
    """The error that names the extra; a missing module of this package itself is a defect, and stays as it is."""
    if (error.name or "").startswith("streams"):
        return error
    extra = VERBS[name].extra
    return StreamsError(
        f"streams {name} needs {error.name}, which is not installed: install the extra streams[{extra}]"
    )
