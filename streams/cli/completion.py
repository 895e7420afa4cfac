"""Completions for the shell: statuses, ids and services of batches and flows, ids of the newest invocations."""

from __future__ import annotations

import contextlib
import contextvars
import threading
from typing import TYPE_CHECKING, Any, Final

from streams.cli.gateway import gateway_of_command
from streams.client import FlowReader, ProgressReader
from streams.config import load_settings
from streams.errors import StreamsError
from streams.model import Filter, Status

if TYPE_CHECKING:
    from collections.abc import Callable

_PATIENCE_S: Final = 2.0
"""Longest wait for Kafka or the gateway after a press of Tab, seconds."""
_NEWEST: Final = 200


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


def invocation_ids(incomplete: str) -> list[tuple[str, str]]:
    """Ids of the newest invocations with this beginning, each with its status; none if the gateway does not answer."""
    found = _in_time(lambda: [item for page in gateway_of_command().pages(Filter(), _NEWEST) for item in page.items])
    return [(each["invocation_id"], each["status"]) for each in found if each["invocation_id"].startswith(incomplete)]


def _known(reader: type[ProgressReader | FlowReader]) -> list[Any]:
    return _in_time(lambda: list(reader(load_settings()).latest(_PATIENCE_S).values()))


def _in_time(read: Callable[[], list[Any]]) -> list[Any]:
    """What is read; nothing if that fails or takes too long."""
    found: list[Any] = []

    def keep() -> None:
        with contextlib.suppress(StreamsError, ModuleNotFoundError):
            found.extend(read())

    # The wait for an absent broker is far longer than anyone waits for a completion.
    reading = threading.Thread(target=contextvars.copy_context().run, args=(keep,), daemon=True)
    reading.start()
    reading.join(_PATIENCE_S)
    return list(found)
