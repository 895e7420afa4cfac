"""The options that bound a batch: how many, how fast, until when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer
from msgspec.structs import replace

from streams.cli.times import future_ms
from streams.model import StartBatch  # noqa: TC001 - read by Typer's hints

PANEL = "How much of it"


@dataclass(frozen=True)
class Bounds:
    """How far a batch may go."""

    limit: Annotated[
        int | None,
        typer.Option(metavar="N", help="Act on so many and no more.", rich_help_panel=PANEL, show_default=False),
    ] = None
    max_rate: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            help="Act on so many a second, over all partitions; see `batch rate`.",
            rich_help_panel=PANEL,
            show_default=False,
        ),
    ] = None
    expires_at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Abort it if it is still at work then: ISO, or 2h for two hours from now.",
            rich_help_panel=PANEL,
            show_default=False,
        ),
    ] = None

    def of(self, start: StartBatch) -> StartBatch:
        """The batch within these bounds.

        Raises:
            typer.BadParameter: a time that cannot be read, naming the option.
        """
        return replace(
            start, limit=self.limit, max_rate=self.max_rate, expires_at=future_of("--expires-at", self.expires_at)
        )


def future_of(option: str, text: str | None) -> int | None:
    """The time to come that an option was given, ms since 1970; an error names the option."""
    try:
        return None if text is None else future_ms(text)
    except typer.BadParameter as error:
        error.param_hint = option
        raise
