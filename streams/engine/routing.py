"""The partition of a command: Kafka's own partitioner over the routing key."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from streams.model import Act, CancelFlow, ControlBatch, Invoke, ReportTransition, StartBatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from streams.model import Command

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF
_POSITIVE = 0x7FFFFFFF
_VECTOR_FROM = 8
"""From this many keys of one length, numpy is faster than plain Python."""


def routing_key(invocation_id: str) -> str:
    """The part of the id before its last `~`, or the whole id if it has none."""
    return invocation_id.rpartition("~")[0] if "~" in invocation_id else invocation_id


def murmur2(data: bytes) -> int:
    """32-bit MurmurHash2 with Kafka's seed, unsigned (`org.apache.kafka.common.utils.Utils.murmur2`)."""
    length = len(data)
    h = _SEED ^ length
    whole = length & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * _M & _MASK
        k = (k ^ k >> 24) * _M & _MASK
        h = h * _M & _MASK ^ k
    if length > whole:
        h = (h ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15


def partition_of(key: str, partitions: int) -> int:
    """The partition of a routing key, as Kafka's Java partitioner and `murmur2_random` choose it."""
    return (murmur2(key.encode()) & _POSITIVE) % partitions


def partitions_of(keys: Sequence[str], partitions: int) -> list[int]:
    """`partition_of` for many routing keys at once, in their order."""
    encoded = [key.encode() for key in keys]
    by_length: defaultdict[int, list[int]] = defaultdict(list)
    for index, length in enumerate(map(len, encoded)):
        by_length[length].append(index)
    if len(by_length) == 1 and len(keys) >= _VECTOR_FROM:
        return _vector(encoded, partitions)
    found = [0] * len(keys)
    for indexes in by_length.values():
        if len(indexes) < _VECTOR_FROM:
            for index in indexes:
                found[index] = (murmur2(encoded[index]) & _POSITIVE) % partitions
        else:
            group = _vector([encoded[index] for index in indexes], partitions)
            for index, partition in zip(indexes, group, strict=True):
                found[index] = partition
    return found


def _vector(keys: list[bytes], partitions: int) -> list[int]:
    """Partitions of keys that all have the same length in bytes."""
    length = len(keys[0])
    m = np.uint32(_M)
    h = np.full(len(keys), _SEED ^ length, dtype=np.uint32)
    words = _words(keys, length)
    words *= m
    words ^= words >> np.uint32(24)
    words *= m
    for word in words:
        h *= m
        h ^= word
    if length & 3:
        h ^= _tails(keys, length)
        h *= m
    h ^= h >> np.uint32(13)
    h *= m
    h ^= h >> np.uint32(15)
    found: list[int] = ((h & np.uint32(_POSITIVE)) % np.uint32(partitions)).tolist()
    return found


def _words(keys: list[bytes], length: int) -> NDArray[np.uint32]:
    """The whole little-endian words of each key, as a fresh array of shape (length // 4, len(keys))."""
    octets = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(len(keys), length)
    words = np.ascontiguousarray(octets[:, : length & ~3]).view("<u4")
    return np.array(words.T, dtype=np.uint32, order="C")


def _tails(keys: list[bytes], length: int) -> NDArray[np.uint32]:
    """Each key's one to three bytes after its last whole word, as a little-endian number."""
    whole = length & ~3
    padded = b"".join([key[whole:].ljust(4, b"\0") for key in keys])
    return np.frombuffer(padded, dtype="<u4").astype(np.uint32)


def home(command: Command, partitions: int) -> int | None:
    """The partition that `command` belongs to; None for an internal command whose partition does not exist."""
    match command:
        case Invoke():
            key = routing_key(command.invocation.invocation_id)
        case ReportTransition() | Act():
            key = routing_key(command.invocation_id)
        case StartBatch() | ControlBatch():
            key = command.batch_id
        case CancelFlow():
            key = command.flow_id
        case _:
            return command.partition if 0 <= command.partition < partitions else None
    return partition_of(key, partitions)
