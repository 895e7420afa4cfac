"""The parts of the api that its routes use."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self

from streams.gateway.api.observer import ApiObserver
from streams.gateway.board import Board
from streams.gateway.sending import Commands
from streams.health import Health
from streams.listing.fanout import FanOut
from streams.listing.signing import QuerySecret

if TYPE_CHECKING:
    from streams.config import Settings
    from streams.kafka.clients import Clients


class OtherPart(Protocol):
    """The merge, as the api sees it: another process, which may be stuck or gone."""

    async def ready(self) -> Health:
        """Its own answer; not ok, with the reason, where it gives none in time."""

    async def metrics(self) -> bytes:
        """Its metrics as text; empty where it gives none in time."""


class NoOtherPart:
    """For an api without a merge beside it, as in tests."""

    async def ready(self) -> Health:
        """Always."""
        return Health(True, {"ready": True})

    async def metrics(self) -> bytes:
        """None."""
        return b""


@dataclass
class Services:
    """The parts of the api that outlive a request; an async context manager that starts and ends them.

    `board`: what the topics say. `commands`: the way into the log. `listing`: asks the workers for rows. `merge`: the
    other part of the gateway. `observer`: the API's metrics.
    """

    settings: Settings
    clients: Clients
    board: Board
    commands: Commands
    listing: FanOut
    merge: OtherPart = field(default_factory=NoOtherPart)
    observer: ApiObserver = field(init=False)

    def __post_init__(self) -> None:
        """Count what happens here."""
        self.observer = ApiObserver(lambda: len(self.board.hub))

    @classmethod
    def of(cls, settings: Settings, clients: Clients, merge: OtherPart | None = None) -> Services:
        """The services of a gateway, not yet started.

        Raises:
            StreamsError: the file with the secret of queries cannot be used.
        """
        board, commands = Board(settings, clients), Commands(settings, clients)
        file = settings.worker_query_secret_file
        secret = None if file is None else QuerySecret(file)
        listing = FanOut(lambda: board.workers, lambda: commands.partitions, secret)
        return cls(settings, clients, board, commands, listing, merge or NoOtherPart())

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.commands)
            await stack.enter_async_context(self.board)
            stack.push_async_callback(self.listing.close)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def stop(self) -> None:
        """End all streams of events: the process is about to end."""
        self.board.hub.stop()
