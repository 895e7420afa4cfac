"""The options that limit a batch: its number of rows, its rate, its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer
from msgspec.structs import replace

from streams.cli.show.times import future_of
from streams.model import StartBatch  # noqa: TC001 - read by Typer's hints


def bound(metavar: str, meaning: str) -> Any:
    """An option that limits a batch, in its own panel of the help."""
    return typer.Option(metavar=metavar, help=meaning, rich_help_panel="How much of it", show_default=False)


@dataclass(frozen=True)
class Bounds:
    """The limits of a batch."""

    limit: Annotated[int | None, bound("N", "Act on at most N.")] = None
    max_rate: Annotated[float | None, bound("N", "Act on at most N per second in all; see `batch rate`.")] = None
    expires_at: Annotated[
        str | None, bound("TIME", "Abort it if it is still at work then: ISO, or 2h for two hours from now.")
    ] = None

    def of(self, start: StartBatch) -> StartBatch:
        """The batch with these limits.

        Raises:
            typer.BadParameter: a time that cannot be read, naming the option.
        """
        return replace(
            start, limit=self.limit, max_rate=self.max_rate, expires_at=future_of("--expires-at", self.expires_at)
        )
