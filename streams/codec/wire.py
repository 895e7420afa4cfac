"""Avro's binary encoding of single values.

A long is a zigzag varint: 7 bits a byte, the lowest first, the highest bit set on all bytes but the last. Two bytes
at a time come from tables, which is twice as fast as shifting them out one by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

_LONGEST = 10
_FEW = 32
"""Up to here a loop is faster than numpy."""

_PAIRS = 1 << 14
_LAST = tuple(bytes((n,)) if n < 128 else bytes((n & 127 | 128, n >> 7)) for n in range(_PAIRS))  # noqa: PLR2004
_MORE = tuple(bytes((n & 127 | 128, n >> 7 | 128)) for n in range(_PAIRS))


_SHIFTS = np.arange(0, 7 * _LONGEST, 7).astype(np.uint64)


class MalformedError(ValueError):
    """Bytes that break a rule of the encoding."""


def write_long(number: int) -> bytes:
    """`ValueError` when the number does not fit in 64 bits."""
    rest = number << 1 if number >= 0 else ~(number << 1)
    if rest < _PAIRS:
        return _LAST[rest]
    if rest >> 64:
        raise ValueError(f"{number} does not fit in 64 bits")
    out = _MORE[rest & 16383]
    rest >>= 14
    while rest >= _PAIRS:
        out += _MORE[rest & 16383]
        rest >>= 14
    return out + _LAST[rest]


def write_bytes(value: bytes) -> bytes:
    """Length, then the bytes."""
    return write_long(len(value)) + value


def write_text(value: str) -> bytes:
    """Length in bytes, then UTF-8; `UnicodeEncodeError` for a lone surrogate."""
    encoded = value.encode()
    return write_long(len(encoded)) + encoded


def write_longs(numbers: Sequence[int]) -> bytes:
    """The numbers, one after the other, fast for thousands."""
    if len(numbers) < _FEW:
        return b"".join(map(write_long, numbers))
    signed = np.array(numbers, np.int64)
    rest = (signed.astype(np.uint64) << np.uint64(1)) ^ (signed >> np.int64(63)).astype(np.uint64)
    if rest.max() < 128:  # noqa: PLR2004
        return rest.astype(np.uint8).tobytes()
    groups = rest[:, None] >> _SHIFTS
    out = (groups & np.uint64(127)).astype(np.uint8)
    out[:, :-1][groups[:, 1:] > 0] |= 128
    wanted = groups > 0
    wanted[:, 0] = True
    encoded: bytes = out[wanted].tobytes()
    return encoded


def read_long(data: bytes, at: int) -> tuple[int, int]:
    """The number and the position after it."""
    byte = data[at]
    rest = byte & 127
    shift = 7
    while byte > 127:  # noqa: PLR2004
        at += 1
        byte = data[at]
        rest |= (byte & 127) << shift
        shift += 7
        if shift > 7 * _LONGEST:
            raise MalformedError("a number of more than 10 bytes")
    if rest >> 64:
        raise MalformedError("a number of more than 64 bits")
    return rest >> 1 ^ -(rest & 1), at + 1


def read_length(data: bytes, at: int) -> tuple[int, int]:
    """A length and the position after it."""
    length, at = read_long(data, at)
    if length < 0:
        raise MalformedError(f"a length of {length}")
    return length, at


def read_block(data: bytes, at: int) -> tuple[int, int]:
    """How many items the block of an array or a map has, and the position of the first."""
    count, at = read_long(data, at)
    if count < 0:
        _, at = read_length(data, at)
        count = -count
    if not count:
        raise MalformedError("a block count of 0 in more than one byte")
    return count, at


def read_longs(data: bytes, at: int, count: int) -> tuple[list[int], int]:
    """So many numbers, and the position after them, fast for thousands."""
    if count < _FEW:
        few = []
        for _ in range(count):
            number, at = read_long(data, at)
            few.append(number)
        return few, at
    if count > len(data) - at:
        raise IndexError
    window = np.frombuffer(data, np.uint8, min(count * _LONGEST, len(data) - at), at)
    ends = np.flatnonzero(window < 128)[:count]  # noqa: PLR2004
    if len(ends) < count:
        raise IndexError
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts
    if (lengths >= _LONGEST).any() or (window[ends[lengths == _LONGEST - 1]] > 1).any():
        raise MalformedError("a number of more than 64 bits")
    rest = np.zeros(count, np.uint64)
    for group in range(int(lengths.max()) + 1):
        longer = lengths >= group
        rest[longer] |= (window[starts[longer] + group] & np.uint64(127)) << np.uint64(7 * group)
    numbers = (rest >> np.uint64(1)).astype(np.int64) ^ -(rest & np.uint64(1)).astype(np.int64)
    return numbers.tolist(), at + int(ends[-1]) + 1


def bad_branch(branch: int) -> None:
    """Raises: an optional value is marked absent (0) or present (2)."""
    raise MalformedError(f"neither absent nor present (branch byte {branch})")
