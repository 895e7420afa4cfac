"""Kafka's own produce request, byte by byte: for records that client libraries would not write."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_PRODUCE, _VERSION = 0, 7
_TIMEOUT_S = 10
_CASTAGNOLI = 0x82F63B78


def produce(
    bootstrap: str, topic: str, partition: int, value: bytes | None, headers: Sequence[tuple[bytes, bytes | None]] = ()
) -> int:
    """Write one record; returns its offset. The broker named must lead the partition."""
    batch = _batch(_record(value, headers))
    name = topic.encode()
    body = struct.pack(">hhi", -1, -1, _TIMEOUT_S * 1_000)
    body += struct.pack(">ih", 1, len(name)) + name + struct.pack(">iii", 1, partition, len(batch)) + batch
    request = struct.pack(">hhih", _PRODUCE, _VERSION, 1, -1) + body
    host, _, port = bootstrap.rpartition(":")
    with socket.create_connection((host, int(port)), _TIMEOUT_S) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        answer = connection.makefile("rb")
        (size,) = struct.unpack(">i", answer.read(4))
        text = answer.read(size)
    # Behind correlation id, topics, name, partitions and partition: the error, then the offset.
    error, offset = struct.unpack_from(">hq", text, 4 + 4 + 2 + len(name) + 4 + 4)
    assert error == 0, f"the broker refuses it with error {error}"
    return int(offset)


def _batch(record: bytes) -> bytes:
    head = struct.pack(">hiqqqhii", 0, 0, 0, 0, -1, -1, -1, 1)
    checked = head + record
    tail = struct.pack(">ibI", -1, 2, _crc32c(checked)) + checked
    return struct.pack(">qi", 0, len(tail)) + tail


def _record(value: bytes | None, headers: Sequence[tuple[bytes, bytes | None]]) -> bytes:
    body = b"\0" + _varint(0) + _varint(0) + _sized(b"raw") + _sized(value) + _varint(len(headers))
    body += b"".join(_sized(name) + _sized(text) for name, text in headers)
    return _varint(len(body)) + body


def _sized(data: bytes | None) -> bytes:
    return _varint(-1) if data is None else _varint(len(data)) + data


def _varint(number: int) -> bytes:
    rest = number << 1 ^ number >> 63
    out = bytearray()
    while rest > 127:
        out.append(rest & 127 | 128)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def _crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (_CASTAGNOLI if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
