"""The pure core: what a command does to the table. No clock, randomness, I/O, Kafka or SQLite."""

from streams.engine.dispatch import HANDLERS, apply
from streams.engine.filters import Facts, matches
from streams.engine.lead import header_of
from streams.engine.slices import progress_of
from streams.protocol.content import content_hash

__all__ = [
    "HANDLERS",
    "Facts",
    "apply",
    "content_hash",
    "header_of",
    "matches",
    "progress_of",
]
