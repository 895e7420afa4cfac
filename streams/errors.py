"""Errors shown to people: one clear line, never a traceback."""

from __future__ import annotations


class StreamsError(Exception):
    """An error that a person can put right. The message names the thing, the rule and the way out. Exit code 1."""


class PartitionError(StreamsError):
    """One partition cannot go on, whichever worker has it; the others can."""

    def __init__(self, text: str, partition: int) -> None:
        super().__init__(text)
        self.partition = partition


class ConfigError(StreamsError):
    """Unusable settings; one line per setting."""
