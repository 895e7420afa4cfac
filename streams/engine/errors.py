"""How the engine says no."""

from __future__ import annotations

from streams.rules import CommandRefusedError

__all__ = ["CommandRefusedError", "NewerEngineError"]


class NewerEngineError(Exception):
    """A table written by a newer engine: this worker must be upgraded, never misread it."""

    def __init__(self, version: int, own: int) -> None:
        super().__init__(
            f"the table was written by engine version {version}, this worker is {own}: upgrade this worker"
        )
