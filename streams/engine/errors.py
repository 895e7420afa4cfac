"""How the engine says no."""

from __future__ import annotations


class CommandRefusedError(Exception):
    """A command that breaks a rule of the protocol; it becomes a dead letter and changes nothing.

    `code` is the dead letter's `error-code`; the message names the field, the rule and the way out.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class NewerEngineError(Exception):
    """An internal record written by a newer engine: this worker must be upgraded, never misread it."""

    def __init__(self, version: int, own: int) -> None:
        super().__init__(
            f"the log holds records of engine version {version}, this worker is {own}: upgrade this worker"
        )
