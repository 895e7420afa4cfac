"""Telling a repeated command from one that reuses its id."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec

from streams.model import Invoke

if TYPE_CHECKING:
    from streams.model import StartBatch

_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_encode_plain = msgspec.msgpack.Encoder().encode


def content_hash(record: Invoke | StartBatch) -> int:
    """Signed 64-bit hash of what the command says: over its values, defaults left out, maps sorted.

    Two writers with different schema versions get the same hash for the same content; `encoded` has no part in it.
    """
    if isinstance(record, Invoke):
        record = Invoke(record.invocation, record.scheduled_at, record.adopt, record.payload)
        encoded = _encode(record)
    else:
        # By way of dicts: the head of a struct's encoding tells whether its type has more than 15 fields, set or not.
        encoded = _encode_plain(msgspec.to_builtins(record, order="deterministic"))
    digest = blake2b(encoded, digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
