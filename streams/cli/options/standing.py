"""The option for a standing batch, which goes on ending what arrives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from msgspec.structs import replace

from streams.cli.options.bounds import bound
from streams.cli.show.times import future_of, iso
from streams.model import PAGING_STATES, StartBatch

if TYPE_CHECKING:
    from streams.model import BatchProgress


@dataclass(frozen=True)
class Standing:
    """The option that makes a batch stand."""

    standing_until: Annotated[
        str | None,
        bound("TIME", "Until then, also end what matches as it arrives: ISO, or 2h for two hours from now."),
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
