"""The command line on the cluster in memory, with progress of batches and flows that a test chooses."""

from __future__ import annotations

import socket
from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING, Any

import httpx
from click.testing import CliRunner, Result
from msgspec.structs import replace
from typer.main import get_command

from streams import codec
from streams.cli.app import app
from streams.cli.context import Connection
from streams.cli.gateway import HTTP
from streams.config import Topic
from streams.model import Action, BatchProgress, BatchState, FlowProgress, StartBatch
from support.kafka.fake_consumer import FakeConsumer
from support.service.client_world import ClientWorld
from support.service.invocations_api import nobody

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


ME = f"ada@{socket.gethostname()}"
"""Who sends the commands."""


def progress_of(start: StartBatch, state: BatchState, **changes: Any) -> BatchProgress:
    """A progress record of the batch, of 7 invocations that are done unless `changes` says otherwise."""
    fields: dict[str, Any] = {
        "batch_id": start.batch_id,
        "action": start.action,
        "filter": start.filter,
        "dry_run": start.dry_run,
        "limit": start.limit,
        "max_rate": start.max_rate,
        "grace_ms": 30_000 if start.action is Action.CANCEL and start.grace_ms is None else start.grace_ms,
        "on_timeout": start.on_timeout,
        "standing_until": start.standing_until,
        "expires_at": start.expires_at,
        "reason": start.reason,
        "actor": start.actor,
        "invocation_ids_count": None,
        "state": state,
        "error": None,
        "partitions_total": 4,
        "partitions_done": 4,
        "scan_total": 10,
        "scanned": 10,
        "matched": 7,
        "done": 7,
        "pending": 0,
        "skipped": 0,
        "failed": 0,
        "rate": 7.0,
        "eta_ms": None,
        "samples": (),
        "failures": (),
        "revision": 5,
        "created_at": 1_000,
        "updated_at": 2_000,
        "finished_at": 2_000,
    }
    return BatchProgress(**(fields | changes))


class Service(ClientWorld):
    """A service in memory with one partition, whose progress is what a test makes it.

    `answer` gives the records of `batches` or `flows` that follow a command, written one by one while somebody reads.
    `api` answers what is asked of the gateway; nobody does unless a test sets it.
    """

    def __init__(self) -> None:
        super().__init__(partitions=1)
        self.answer: Callable[[Any], Iterator[BatchProgress | FlowProgress]] = lambda start: iter(
            [progress_of(start, BatchState.RUNNING, done=3, pending=4), progress_of(start, BatchState.COMPLETED)]
        )
        self.api: Callable[[httpx.Request], httpx.Response] = nobody
        self._answered = self._revision = 0
        self._left: Iterator[BatchProgress | FlowProgress] = iter(())

    @property
    def sent(self) -> list[Any]:
        """The commands in the log, in their order."""
        return self.commands()

    def publish(self, *found: BatchProgress | FlowProgress) -> None:
        """Write these records to `batches` and `flows`, with rising revisions."""
        for each in found:
            self._revision += 1
            value = codec.encode(replace(each, revision=self._revision))
            if isinstance(each, FlowProgress):
                self.write(Topic.FLOWS, each.flow_id, value)
            else:
                self.write(Topic.BATCHES, each.batch_id, value)

    def advance(self) -> None:
        """Write the next record of the answer to the newest command."""
        sent = self.sent
        if len(sent) > self._answered:
            self._answered, self._left = len(sent), self.answer(sent[-1])
        self.publish(*islice(self._left, 1))

    def consumer(self, properties: Mapping[str, Any]) -> Any:
        """A consumer, before each of whose waits the service advances."""
        return _Consumer(self, properties)

    def producer(self, properties: Mapping[str, Any]) -> Any:
        """A producer of the cluster."""
        return self.cluster.producer(properties)

    def admin(self, properties: Mapping[str, Any]) -> Any:
        """An admin client of the cluster."""
        return self.cluster.admin(properties)

    def run(self, *words: str, typed: str | None = None) -> Result:
        """One command line. `typed`: the input on its terminal; None: it has no terminal."""
        keyboard = None if typed is None else _Terminal(typed.encode())
        command: Any = get_command(app)
        token = HTTP.set(httpx.Client(transport=httpx.MockTransport(self.api)))
        try:
            return CliRunner().invoke(command, list(words), input=keyboard, obj=Connection(self.settings, self))
        finally:
            HTTP.reset(token)


class _Consumer(FakeConsumer):
    def __init__(self, service: Service, properties: Mapping[str, Any]) -> None:
        super().__init__(service.cluster, properties)
        self._service = service

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Any]:
        if timeout > 0:
            self._service.advance()
        return super().consume(num_messages, timeout)


class _Terminal(BytesIO):
    def isatty(self) -> bool:
        return True
