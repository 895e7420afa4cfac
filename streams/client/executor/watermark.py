"""The progress through a partition's signals.

The committed offset never passes a signal that is still open. Signals done above it are listed in the commit's
metadata, so that after one slow handler a restart does not rerun everything that came later.
"""

from __future__ import annotations

import logging
from typing import Self

log = logging.getLogger("streams.executor")

MAX_METADATA = 3_000
"""Longest metadata, in characters; by default, brokers accept 4,096."""


class Watermark:
    """The open signals of one partition, by offset.

    `start`: the first offset. `below`, `open_before`: in an earlier life, all signals below `below` were done except
    for `open_before`.
    """

    def __init__(self, start: int = 0, below: int = 0, open_before: frozenset[int] = frozenset()) -> None:
        self._next = start
        self._open: dict[int, None] = {}
        self._below = below
        self._open_before = open_before

    @classmethod
    def restored(cls, offset: int, metadata: str | None) -> Self:
        """The watermark from a commit; an offset below 0 means that there is no commit."""
        if offset < 0 or not metadata:
            return cls(max(0, offset))
        try:
            below, _, gaps = metadata.partition(";")
            opened, at = set(), offset
            for gap in gaps.split(",") if gaps else []:
                at += int(gap)
                opened.add(at)
            return cls(offset, int(below), frozenset(opened))
        except ValueError:
            log.warning("offset %d was committed with metadata of another program, ignored: %r", offset, metadata)
            return cls(offset)

    @property
    def next(self) -> int:
        """The offset after the last signal seen; before any, the first offset."""
        return self._next

    def seen(self, offset: int) -> bool:
        """Note a signal, which is then open. Returns False if it was done before, or was noted already."""
        if offset < self._next:
            return False
        self._next = offset + 1
        if offset < self._below and offset not in self._open_before:
            return False
        self._open[offset] = None
        return True

    def done(self, offset: int) -> None:
        """Mark a signal as done."""
        self._open.pop(offset, None)

    def commit(self) -> tuple[int, str]:
        """The offset to commit, and its metadata."""
        opened = [*self._open, *sorted(each for each in self._open_before if each >= self._next)]
        below = max(self._next, self._below)
        if not opened:
            return below, ""
        gaps, length, at = [], len(str(below)) + 1, opened[0]
        for each in opened:
            gap = str(each - at)
            if length + len(gap) + 1 > MAX_METADATA:
                below = each
                break
            gaps.append(gap)
            length += len(gap) + 1
            at = each
        return opened[0], f"{below};{','.join(gaps)}"
