"""What all records have in common."""

from __future__ import annotations

import msgspec

ENGINE_VERSION = 2
"""Version written into internal records; a worker stops at a record of a newer engine."""


class Record(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Base of all records: immutable, and cheap for the garbage collector."""
