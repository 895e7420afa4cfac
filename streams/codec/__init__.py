"""Avro single-object encoding of every record, both ways.

`C3 01`, the 8-byte little-endian CRC-64-AVRO fingerprint of the writer's schema, the body. Records written with any
schema ever released are read; whatever else the bytes hold, `decode` raises `BadRecordError` and nothing else.
"""

from __future__ import annotations

from streams.codec.content import content_hash
from streams.codec.errors import BadRecordError, Code
from streams.codec.records import (
    ENGINE,
    decode,
    decode_command,
    decode_invocation,
    decode_row,
    encode,
    encode_delta,
    encode_invocation,
    encode_row,
    encode_signal,
)

__all__ = [
    "ENGINE",
    "BadRecordError",
    "Code",
    "content_hash",
    "decode",
    "decode_command",
    "decode_invocation",
    "decode_row",
    "encode",
    "encode_delta",
    "encode_invocation",
    "encode_row",
    "encode_signal",
]
