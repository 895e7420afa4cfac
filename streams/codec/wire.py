"""Avro's binary encoding of single values.

A long is a zigzag varint: 7 bits per byte, the lowest first, the highest bit set on all bytes but the last. Two bytes
at a time are taken from tables, which is twice as fast as shifting them out one by one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_LONGEST = 10
_OVERFLOW = 63
"""Number of bits in all bytes of the longest number except its last."""

_PAIRS = 1 << 14
_FOURS = 1 << 28
_ENDS = [bytes((n,)) for n in range(128)]
_GOES_ON = [bytes((n,)) for n in range(128, 256)]
_LAST = (*_ENDS, *[first + second for second in _ENDS[1:] for first in _GOES_ON])
SMALL = _LAST
"""The bytes of n at 2 n, for numbers from 0 to half its length: for those who save a call."""
_MORE = tuple([first + second for second in _GOES_ON for first in _GOES_ON])


_TIME_BYTES = 6
_MANY = 8192
KNOWN_TIMES: dict[bytes, int] = {}
"""Recent times, in milliseconds, by their six bytes (from 1970 to 2039): many records of a log share one."""

_LONG_LIST = 100
_MOST_BYTES = 2 * 1024 * 1024
_long_lists: tuple[tuple[tuple[str, ...], bytes], ...] = ()
"""Recent long lists of texts and their bytes, up to 2 MiB: a filter's list is in each record of its batch.

Replaced, never changed: threads read it.
"""


class MalformedError(ValueError):
    """Bytes that break a rule of the encoding."""


def write_long(number: int) -> bytes:
    """The bytes of a number; raises `ValueError` if it does not fit in 64 bits."""
    rest = number << 1 if number >= 0 else ~(number << 1)
    if rest < _PAIRS:
        return _LAST[rest]
    if rest < _FOURS:
        return _MORE[rest & 16383] + _LAST[rest >> 14]
    if rest >> 64:
        raise ValueError(f"{number} does not fit in 64 bits")
    out = _MORE[rest & 16383] + _MORE[rest >> 14 & 16383]
    rest >>= 28
    if rest < _PAIRS:
        return out + _LAST[rest]
    out += _MORE[rest & 16383]
    rest >>= 14
    if rest < _PAIRS:
        return out + _LAST[rest]
    return out + _MORE[rest & 16383] + _LAST[rest >> 14]


write_recalled = lru_cache(_MANY)(write_long)
"""Like `write_long`, cached for numbers that soon repeat: times, an invocation's offset in its row and its signal."""


def write_bytes(value: bytes) -> bytes:
    """The bytes after their length."""
    return write_long(len(value)) + value


def write_text(value: str) -> bytes:
    """A text in UTF-8 after its length in bytes; raises `UnicodeEncodeError` for a lone surrogate."""
    encoded = value.encode()
    size = len(encoded)
    return (_LAST[size << 1] if size < _PAIRS >> 1 else write_long(size)) + encoded


def write_texts(texts: Sequence[str]) -> bytes:
    """The texts, one after the other."""
    if len(texts) < _LONG_LIST:
        return b"".join(map(write_text, texts))
    for known, body in _long_lists:
        if known is texts:
            return body
    body = b"".join(map(write_text, texts))
    if isinstance(texts, tuple):
        _remember(texts, body)
    return body


def _remember(texts: tuple[str, ...], body: bytes) -> None:
    global _long_lists  # noqa: PLW0603 - see there
    kept, left = [(texts, body)], _MOST_BYTES - len(body)
    for each in _long_lists:
        left -= len(each[1])
        if left < 0:
            break
        kept.append(each)
    _long_lists = tuple(kept)


def write_longs(numbers: Sequence[int]) -> bytes:
    """The numbers, one after the other; fast for thousands of small ones, of which the first may have any size."""
    if not numbers:
        return b""
    rest = numbers[1:]
    if rest and min(rest) >= 0 and max(rest) < _PAIRS >> 1:
        return write_long(numbers[0]) + b"".join([_LAST[number << 1] for number in rest])
    return b"".join(map(write_long, numbers))


def read_long(data: bytes, at: int) -> tuple[int, int]:
    """The number and the position after it."""
    rest = shift = 0
    for byte in data[at : at + _LONGEST]:
        at += 1
        if byte < 128:  # noqa: PLR2004
            rest |= byte << shift
            if shift < _OVERFLOW or rest >> 64 == 0:
                return rest >> 1 ^ -(rest & 1), at
            break
        rest |= (byte & 127) << shift
        shift += 7
    else:
        if shift < 7 * _LONGEST:
            raise IndexError
    raise MalformedError("a number of more than 64 bits")


def read_time(data: bytes, at: int) -> tuple[int, int]:
    """Like `read_long`; adds the time to `KNOWN_TIMES`."""
    time, end = read_long(data, at)
    if end - at == _TIME_BYTES:
        if len(KNOWN_TIMES) >= _MANY:
            KNOWN_TIMES.clear()
        KNOWN_TIMES[data[at:end]] = time
    return time, end


def read_length(data: bytes, at: int) -> tuple[int, int]:
    """A length and the position after it."""
    length, at = read_long(data, at)
    if length < 0:
        raise MalformedError(f"a length of {length}")
    return length, at


def read_block(data: bytes, at: int) -> tuple[int, int]:
    """The number of items in the block of an array or a map, and the position of the first."""
    count, at = read_long(data, at)
    if count < 0:
        _, at = read_length(data, at)
        count = -count
    if not count:
        raise MalformedError("a block count of 0 in more than one byte")
    return count, at


def read_longs(data: bytes, at: int, count: int) -> tuple[list[int], int]:
    """`count` numbers, and the position after them; fast for thousands of small ones."""
    numbers = []
    for _ in range(count):
        byte = data[at]
        if byte < 128:  # noqa: PLR2004
            numbers.append(byte >> 1 ^ -(byte & 1))
            at += 1
            continue
        last = data[at + 1]
        if last < 128:  # noqa: PLR2004
            rest = byte - 128 | last << 7
            numbers.append(rest >> 1 ^ -(rest & 1))
            at += 2
        else:
            number, at = read_long(data, at)
            numbers.append(number)
    return numbers, at


def read_texts(data: bytes, at: int, count: int) -> tuple[tuple[str, ...], int]:
    """`count` texts, and the position after them. A long list that is known already is returned as the same object."""
    if count >= _LONG_LIST:
        for known, body in _long_lists:
            if len(known) == count and data.startswith(body, at):
                return known, at + len(body)
    begin, found = at, []
    for _ in range(count):
        length = data[at]
        if length & 129:
            length, at = read_length(data, at)
        else:
            length, at = length >> 1, at + 1
        found.append(data[at : at + length].decode())
        at += length
    texts = tuple(found)
    # Truncated data is noticed later: such a list must not be remembered.
    if count >= _LONG_LIST and at <= len(data):
        _remember(texts, data[begin:at])
    return texts, at


def bad_branch(branch: int) -> None:
    """Raise `MalformedError`: an optional value is marked absent (0) or present (2), nothing else."""
    raise MalformedError(f"neither absent nor present (branch byte {branch})")
