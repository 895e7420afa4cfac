"""The options that say how much a batch does: its number of rows, its rate, its end, and whether it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec.structs import replace

from streams.cli.show.times import future_of, iso
from streams.model import PAGING_STATES, StartBatch

if TYPE_CHECKING:
    from streams.model import BatchProgress


def _bound(metavar: str, meaning: str) -> Any:
    """An option that limits a batch, in its own panel of the help."""
    return typer.Option(metavar=metavar, help=meaning, rich_help_panel="How much of it", show_default=False)


@dataclass(frozen=True)
class Bounds:
    """The limits of a batch."""

    limit: Annotated[int | None, _bound("N", "Act on at most N.")] = None
    max_rate: Annotated[float | None, _bound("N", "Act on at most N per second in all; see `batch rate`.")] = None
    expires_at: Annotated[
        str | None, _bound("TIME", "Abort it if it is still at work then: ISO, or 2h for two hours from now.")
    ] = None

    def of(self, start: StartBatch) -> StartBatch:
        """The batch with these limits.

        Raises:
            typer.BadParameter: a time that cannot be read, naming the option.
        """
        return replace(
            start, limit=self.limit, max_rate=self.max_rate, expires_at=future_of("--expires-at", self.expires_at)
        )


@dataclass(frozen=True)
class Standing:
    """The option that makes a batch stand."""

    standing_until: Annotated[
        str | None,
        _bound("TIME", "Until then, also end what matches as it arrives: ISO, or 2h for two hours from now."),
    ] = None

    def of(self, start: StartBatch) -> StartBatch:
        """The batch, made standing if requested.

        Raises:
            typer.BadParameter: a time that cannot be read, naming the option.
        """
        return replace(start, standing_until=future_of("--standing-until", self.standing_until))


def standing_of(progress: BatchProgress) -> str | None:
    """The end of the batch's standing, in words; None if it never stood or no longer does."""
    until = progress.standing_until
    if until is None or progress.dry_run or progress.state not in PAGING_STATES:
        return None
    return f"stands until {iso(until)}"
