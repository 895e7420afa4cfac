"""How far a partition's signals are dealt with.

The committed offset never passes a signal that is still open. What is dealt with above it stands in the commit's
metadata, so that one slow handler does not make a restart run again all that came after it.
"""

from __future__ import annotations

import logging
from typing import Self

log = logging.getLogger("streams.executor")

MAX_METADATA = 3_000
"""Characters; brokers take 4,096 unless told otherwise."""


class Watermark:
    """Open signals of one partition, by offset.

    `start`: where it begins. `below`, `open_before`: an earlier life had dealt with everything below `below` but for
    `open_before`.
    """

    def __init__(self, start: int = 0, below: int = 0, open_before: frozenset[int] = frozenset()) -> None:
        self._next = start
        self._open: dict[int, None] = {}
        self._below = below
        self._open_before = open_before

    @classmethod
    def restored(cls, offset: int, metadata: str | None) -> Self:
        """From a commit; an offset below 0 means that there is none."""
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
        """The offset after the last signal seen, or where it began."""
        return self._next

    def seen(self, offset: int) -> bool:
        """Note a signal, which is then open; False if it was dealt with before, or is here already."""
        if offset < self._next:
            return False
        self._next = offset + 1
        if offset < self._below and offset not in self._open_before:
            return False
        self._open[offset] = None
        return True

    def done(self, offset: int) -> None:
        """A signal is dealt with."""
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
