"""Commands into the log, for requests: each is either there, or not, or nobody knows, and the answer says which."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, Self

import structlog

from streams.client import AsyncClient, DeliveryError
from streams.errors import StreamsError

if TYPE_CHECKING:
    from streams.client import Delivery
    from streams.config import Settings
    from streams.kafka.clients import Clients
    from streams.model import ClientCommand

DELIVERY_MS: Final = 8_000
"""Time for the broker to take a command, milliseconds."""
_PROBE_S: Final = 4.0
_PAUSE_S: Final = 1.0

log = structlog.get_logger("streams.gateway")


class NotAcceptedError(StreamsError):
    """The broker does not answer, or refuses: the command was not sent, and has no effect."""


class NotKnownError(StreamsError):
    """The broker has not confirmed the command in time: it may be in the log, or come there yet."""


class Commands:
    """Appends commands to the log. Use it as an async context manager; an absent broker is not an error yet."""

    def __init__(self, settings: Settings, clients: Clients) -> None:
        self._settings, self._clients = settings, clients
        self._client: AsyncClient | None = None
        self._connecting = asyncio.Lock()
        self._doubtful = False
        self._failed: tuple[float, str] | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._connected()
        except NotAcceptedError as error:
            log.warning("commands cannot be sent yet", why=str(error))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._client is None:
            return
        try:
            async with asyncio.timeout(_PROBE_S):
                await self._client.close()
        except (TimeoutError, DeliveryError) as error:
            log.warning("commands were left unsent", why=str(error) or "the broker does not answer")

    @property
    def partitions(self) -> int:
        """The number of partitions of the log; 0 until the broker has answered for the first time."""
        return 0 if self._client is None else self._client.partitions

    async def send(self, command: ClientCommand) -> Delivery:
        """Append a command and return its place.

        Raises:
            InvalidCommandError: it breaks a rule of the protocol; nothing was sent.
            NotAcceptedError: it is not in the log, and will not be.
            NotKnownError: it may be in the log.
        """
        client = await self._connected()
        try:
            delivery = await client.send(command)
        except DeliveryError as error:
            self._doubtful = True
            if _refused(error.cause):
                raise NotAcceptedError(f"the broker refuses the command: {error}") from error
            raise NotKnownError(f"the broker has not confirmed the command: {error}") from error
        self._doubtful = False
        return delivery

    async def _connected(self) -> AsyncClient:
        """The client; after a failure only once the broker answers again, so that nothing is sent into the void."""
        if self._client is not None and not self._doubtful:
            return self._client
        async with self._connecting:
            if self._client is None or self._doubtful:
                if self._failed and time.monotonic() < self._failed[0]:
                    raise NotAcceptedError(self._failed[1])
                made = AsyncClient(self._settings, self._clients, linger_ms=0, message_timeout_ms=DELIVERY_MS)
                try:
                    async with asyncio.timeout(_PROBE_S):
                        await made.__aenter__()
                except (StreamsError, TimeoutError) as error:
                    why = f"the broker does not answer: {str(error) or f'no word within {_PROBE_S:g} s'}"
                    self._failed = time.monotonic() + _PAUSE_S, why
                    raise NotAcceptedError(why) from error
                self._client, self._doubtful = made, False
            return self._client


def _refused(cause: str) -> bool:
    """True if the broker itself has said no; a time-out, its own included, leaves the outcome open."""
    return cause.startswith("Broker: ") and "timed out" not in cause and "append" not in cause
