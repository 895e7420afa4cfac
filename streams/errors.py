"""Errors that a person sees: one clear line, never a traceback."""

from __future__ import annotations


class StreamsError(Exception):
    """Something a person can put right; the message names the thing, the rule and the way out. Exit code 1."""


class PartitionError(StreamsError):
    """One partition cannot go on, whoever has it; the others can."""

    def __init__(self, text: str, partition: int) -> None:
        super().__init__(text)
        self.partition = partition


class ConfigError(StreamsError):
    """Settings that cannot be used; one line a setting."""
