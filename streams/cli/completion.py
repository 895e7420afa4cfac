"""Completions for the shell: statuses, and ids and services of the batches and flows that Kafka still has."""

from __future__ import annotations

import contextlib
import threading
from typing import Any, Final

from streams.client import FlowReader, ProgressReader
from streams.config import load_settings
from streams.errors import StreamsError
from streams.model import Status

_PATIENCE_S: Final = 2.0
"""Longest wait for Kafka after a press of Tab, seconds."""


def statuses(incomplete: str) -> list[str]:
    """Statuses with this beginning, in small letters or capitals like the text."""
    written = str.lower if incomplete.islower() else str.upper
    return [name for name in map(written, Status) if name.startswith(incomplete)]


def batch_ids(incomplete: str) -> list[tuple[str, str]]:
    """Ids of batches with this beginning, newest first, each with action and state; none if Kafka does not answer."""
    newest = sorted(_known(ProgressReader), key=lambda batch: -batch.created_at)
    return [(each.batch_id, f"{each.action} {each.state}") for each in newest if each.batch_id.startswith(incomplete)]


def services(incomplete: str) -> list[str]:
    """Services with this beginning with which earlier batches matched something: no topic lists all services."""
    found = {name for each in _known(ProgressReader) if each.matched for name in each.filter.services or ()}
    return sorted(name for name in found if name.startswith(incomplete))


def flow_ids(incomplete: str) -> list[tuple[str, str]]:
    """Ids of flows with this beginning, the last changed first, each with its state; none if Kafka does not answer."""
    newest = sorted(_known(FlowReader), key=lambda flow: -flow.updated_at)
    return [(each.flow_id, each.state) for each in newest if each.flow_id.startswith(incomplete)]


def _known(reader: type[ProgressReader | FlowReader]) -> list[Any]:
    found: list[Any] = []

    def read() -> None:
        with contextlib.suppress(StreamsError):
            found.extend(reader(load_settings()).latest(_PATIENCE_S).values())

    # The wait for an absent broker is far longer than anyone waits for a completion.
    reading = threading.Thread(target=read, daemon=True)
    reading.start()
    reading.join(_PATIENCE_S)
    return list(found)
