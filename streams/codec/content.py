"""Telling a repeated command from one that reuses its id."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec

from streams.model import Invoke

if TYPE_CHECKING:
    from streams.model import StartBatch

_ENCODER = msgspec.msgpack.Encoder(order="deterministic")


def content_hash(record: Invoke | StartBatch) -> int:
    """Signed 64-bit hash of what the command says: over its values, defaults left out, maps sorted.

    Two writers with different schema versions get the same hash for the same content; `encoded` has no part in it.
    """
    if isinstance(record, Invoke):
        record = Invoke(record.invocation, record.scheduled_at, record.adopt, record.payload)
    digest = blake2b(_ENCODER.encode(record), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
