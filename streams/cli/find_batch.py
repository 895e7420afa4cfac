"""The known progress of a batch that a command names, or the error that nothing is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.client import BatchTimeoutError, ProgressReader
from streams.errors import StreamsError

if TYPE_CHECKING:
    from streams.cli.context import Connection
    from streams.model import BatchProgress

_PATIENCE_S = 10.0


def wait_until_known(connection: Connection, batch_id: str) -> BatchProgress:
    """The current progress of the batch.

    A batch that was just started may not be known yet; one that nobody started never will be.

    Raises:
        StreamsError: the batch did not become known in time.
    """
    try:
        return next(ProgressReader(*connection).follow(batch_id, _PATIENCE_S))
    except BatchTimeoutError:
        raise unknown(batch_id) from None


def unknown(batch_id: str) -> StreamsError:
    """The error text for an unknown batch."""
    return StreamsError(f"batch {batch_id} is not known: see `streams batch list`; a finished one is forgotten later")
