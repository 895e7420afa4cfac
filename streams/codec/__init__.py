"""Avro single-object encoding of every record, both ways.

`C3 01`, the 8-byte little-endian CRC-64-AVRO fingerprint of the writer's schema, the body. Records written with any
schema ever released are read; whatever else the bytes hold, decoding raises `BadRecordError` and nothing else.
"""

from __future__ import annotations

from streams.codec import schemas
from streams.codec.errors import BadRecordError, Code
from streams.codec.records import Records
from streams.codec.spliced import Spliced

__all__ = [
    "BadRecordError",
    "Code",
    "decode",
    "decode_command",
    "decode_invocation",
    "decode_row",
    "encode",
    "encode_invocation",
    "encode_row",
    "encode_signal",
    "encode_signals",
]

_versions = schemas.load_all(schemas.folder())
_records = Records(_versions)
_spliced = Spliced(_versions[0], _records)

encode = _records.encode
decode = _records.decode
decode_command = _records.decode_command
encode_invocation = _records.encode_invocation
decode_invocation = _records.decode_invocation
decode_row = _records.decode_row
encode_row = _spliced.encode_row
encode_signal = _spliced.encode_signal
encode_signals = _spliced.encode_signals
