"""The base of all records, and the engine's version."""

from __future__ import annotations

import msgspec

ENGINE_VERSION = 5
"""Version written into internal records and into `m/`.

A worker stops at an `m/` of a newer engine; an internal record of a newer one is a dead letter.
"""


class Record(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Base of all records: immutable, and not tracked by the garbage collector."""
