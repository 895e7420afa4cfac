"""The base of all records, and the engine's version."""

from __future__ import annotations

import msgspec

ENGINE_VERSION = 6
"""Version written into internal records and into `m/`.

A worker stops at an `m/` of a newer engine; an internal record of a newer one is a dead letter. To be raised whenever
the same log would lead to another table: then `streams verify` knows which part it cannot compare. Rules are also the
first sizes of pages, and which zones of rows a page passes over.
"""


class Record(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Base of all records: immutable, and not tracked by the garbage collector."""
