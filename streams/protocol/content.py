"""A hash of what a command says: two commands with one id and one hash are the same command."""

from __future__ import annotations

from hashlib import blake2b
from struct import Struct
from typing import TYPE_CHECKING

import msgspec

from streams.model import Invoke

if TYPE_CHECKING:
    from streams.model import StartBatch

_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_encode_plain = msgspec.msgpack.Encoder().encode
_signed = Struct(">q").unpack


def content_hash(record: Invoke | StartBatch) -> int:
    """Hash of the decoded values as a signed 64-bit integer: BLAKE2b over their MessagePack form.

    Fields that hold their default are left out and maps are sorted, so a field added later changes no hash, and
    neither does the writer's schema or the order of a map on the wire.
    """
    if type(record) is Invoke:
        # Without `encoded`: it holds how the values arrived, not what they say.
        record = Invoke(record.invocation, record.scheduled_at, record.adopt, record.payload)
        encoded = _encode(record)
    else:
        # Via dicts: the head of an encoded struct depends on whether its type has more than 15 fields, set or not.
        encoded = _encode_plain(msgspec.to_builtins(record, order="deterministic"))
    digest: int = _signed(blake2b(encoded, digest_size=8).digest())[0]
    return digest
