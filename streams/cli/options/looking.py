"""The options of the verbs that only look at invocations."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.options.selection import Selection
from streams.cli.options.sending import Json  # noqa: TC001 - Typer reads the annotations

if TYPE_CHECKING:
    from streams.model import Filter

Watch = Annotated[
    bool, typer.Option("--watch", "-w", metavar="", help="Show it again every two seconds, until Ctrl-C.")
]


class CountedBy(StrEnum):
    """What invocations are counted by, besides their status."""

    SERVICE = "service"
    HANDLER = "handler"
    DEPLOYMENT = "deployment"

    @property
    def field(self) -> str:
        """The API's name of it."""
        return "deployment_id" if self is CountedBy.DEPLOYMENT else self.value


@dataclass(frozen=True)
class Looking(Selection):
    """The filter options of a verb that only looks: nothing chosen is everything."""

    all: Annotated[bool, typer.Option("--all", metavar="", help="All of them, not only the newest.")] = False

    def filter(self) -> Filter:
        """The filter, not yet checked against the protocol's rules.

        Raises:
            typer.BadParameter: an option that cannot be read, named.
        """
        return Selection.filter(dataclasses.replace(self, all=False))


@dataclass(frozen=True)
class ListOptions:
    """How much of a list is shown, and how."""

    limit: Annotated[
        int | None, typer.Option("--limit", "-n", min=1, help="The newest N; 50 when absent.", show_default=False)
    ] = None
    ids_only: Annotated[
        bool, typer.Option("--ids-only", metavar="", help="Only ids, one a line, as `--ids-file -` takes them.")
    ] = False
    cursor: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Go on where a list ended: its next_cursor in --json.", show_default=False),
    ] = None
    watch: Watch = False
    json: Json = False


@dataclass(frozen=True)
class Grouping:
    """How invocations are counted."""

    group_by: Annotated[
        CountedBy | None, typer.Option(help="By this field as well.", case_sensitive=False, show_default=False)
    ] = None
    watch: Watch = False
    json: Json = False
