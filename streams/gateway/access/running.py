"""Streams that run, and their end from outside."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.gateway.access.callers import Token

MOST_STREAMS = 100
"""Streams of one token at once."""


@dataclass(frozen=True)
class Identity:
    """What a request was let in by; `session_id` is None for a token of its own."""

    token: Token
    session_id: str | None = None


@dataclass(eq=False, frozen=True)
class RunningStream:
    """A stream; its timeout is what ends it."""

    identity: Identity
    timeout: asyncio.Timeout


class RunningStreams:
    """The streams of all tokens."""

    def __init__(self) -> None:
        self._streams: set[RunningStream] = set()

    def begin(self, stream: RunningStream) -> bool:
        """Count a stream; False if its token has as many as it may have."""
        of_token = sum(each.identity.token == stream.identity.token for each in self._streams)
        if of_token >= MOST_STREAMS:
            return False
        self._streams.add(stream)
        return True

    def over(self, stream: RunningStream) -> None:
        """A stream has ended, if it ever began."""
        self._streams.discard(stream)

    def end(self, which: Callable[[Identity], bool]) -> None:
        """End the streams that were let in by these."""
        for stream in self._streams:
            if which(stream.identity):
                end_at(stream.timeout, 0.0)


def end_at(timeout: asyncio.Timeout, seconds: float) -> None:
    """Let a timeout that runs end after these seconds; 0: as soon as the loop comes round."""
    if not timeout.expired():
        timeout.reschedule(asyncio.get_running_loop().time() + seconds)
