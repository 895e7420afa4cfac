"""Errors with which the engine refuses."""

from __future__ import annotations

from streams.protocol.validation import CommandRefusedError

__all__ = ["CommandRefusedError", "NewerEngineError"]


class NewerEngineError(Exception):
    """The table was written by a newer engine: this worker would misread it and must be upgraded."""

    def __init__(self, version: int, own: int) -> None:
        super().__init__(
            f"the table was written by engine version {version}, this worker is {own}: upgrade this worker"
        )
