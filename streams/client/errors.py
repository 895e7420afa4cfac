"""Errors of clients."""

from __future__ import annotations

from streams.errors import StreamsError


class InvalidCommandError(StreamsError, ValueError):
    """A command that breaks a rule of the protocol; nothing was sent.

    `code`: the `error-code` that its dead letter would have. The message names the field, the rule and the way out.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class DeliveryError(StreamsError):
    """Commands that the broker did not take.

    `count`: how many since the last `flush`. `keys`: routing keys of the first of them, at most 20. `cause`: what was
    said of one of them.
    """

    def __init__(self, count: int, keys: tuple[str, ...], cause: str) -> None:
        shown = ", ".join(keys[:3]) + (", ..." if count > len(keys[:3]) else "")
        super().__init__(f"{count} command(s) did not reach the log ({shown}): {cause}; send them again")
        self.count = count
        self.keys = keys
        self.cause = cause


class BatchTimeoutError(StreamsError, TimeoutError):
    """A batch has not ended within the given time. It goes on without its reader."""


class FlowTimeoutError(StreamsError, TimeoutError):
    """A flow has not come to the state within the given time. What was asked of it goes on without its reader."""


class UnreadableProgressError(StreamsError):
    """A progress record that this version cannot read."""


class UnreadableSignalError(StreamsError):
    """A signal that this version cannot read."""
