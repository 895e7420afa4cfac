"""Kafka's partitioner for many keys at once."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from streams.protocol.routing import POSITIVE, SEED, M, choose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_VECTOR_FROM = 8
"""From this many keys of one length, numpy is faster than plain Python."""


def partitions_of(keys: Sequence[str], partitions: int) -> list[int]:
    """`routing.partition_of` for many routing keys at once, in their order."""
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
                found[index] = choose(encoded[index], partitions)
        else:
            group = _vector([encoded[index] for index in indexes], partitions)
            for index, partition in zip(indexes, group, strict=True):
                found[index] = partition
    return found


def _vector(keys: list[bytes], partitions: int) -> list[int]:
    """Partitions of keys that all have the same length in bytes."""
    length = len(keys[0])
    m = np.uint32(M)
    h = np.full(len(keys), SEED ^ length, dtype=np.uint32)
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
    found: list[int] = ((h & np.uint32(POSITIVE)) % np.uint32(partitions)).tolist()
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
