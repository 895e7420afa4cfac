"""The pure core: what a command does to the table. No clock, randomness, I/O, Kafka or SQLite."""

from streams.engine.content import content_hash
from streams.engine.dispatch import HANDLERS, apply
from streams.engine.errors import CommandRefusedError, NewerEngineError
from streams.engine.filters import Facts, matches
from streams.engine.lead import header_of
from streams.engine.slices import progress_of

__all__ = [
    "HANDLERS",
    "CommandRefusedError",
    "Facts",
    "NewerEngineError",
    "apply",
    "content_hash",
    "header_of",
    "matches",
    "progress_of",
]
