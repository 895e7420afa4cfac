"""What the shell completes: statuses, and ids and services of the batches that Kafka still tells of."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Final

from streams.client import ProgressReader
from streams.config import load_settings
from streams.errors import StreamsError
from streams.model import Status

if TYPE_CHECKING:
    from streams.model import BatchProgress

_PATIENCE_S: Final = 2.0
"""How long somebody who pressed Tab waits for Kafka at most."""


def statuses(incomplete: str) -> list[str]:
    """Statuses that begin so, written as what is there: in small letters or capitals."""
    written = str.lower if incomplete.islower() else str.upper
    return [name for name in map(written, Status) if name.startswith(incomplete)]


def batch_ids(incomplete: str) -> list[tuple[str, str]]:
    """Ids of batches that begin so, newest first, each with its action and state; none where Kafka does not answer."""
    newest = sorted(_earlier(), key=lambda batch: -batch.created_at)
    return [(each.batch_id, f"{each.action} {each.state}") for each in newest if each.batch_id.startswith(incomplete)]


def services(incomplete: str) -> list[str]:
    """Services that begin so, by which earlier batches have matched something: no topic lists all there are."""
    found = {name for each in _earlier() if each.matched for name in each.filter.services or ()}
    return sorted(name for name in found if name.startswith(incomplete))


def _earlier() -> list[BatchProgress]:
    found: list[BatchProgress] = []

    def read() -> None:
        with contextlib.suppress(StreamsError):
            found.extend(ProgressReader(load_settings()).latest(_PATIENCE_S).values())

    # A broker that is away is waited for far longer than anybody waits for a completion.
    reading = threading.Thread(target=read, daemon=True)
    reading.start()
    reading.join(_PATIENCE_S)
    return list(found)
