"""Child processes whose output is one log, each line with the name of the part that wrote it."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, BinaryIO

from streams.cli.children import Children

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEPT = 20
"""Last lines of each part that are kept for the message about its end."""
_WIDTH = 9
_LAST_WORDS_S = 1.0


class OneLog:
    """A log of several parts: a JSON line gets a field `part`, any other a prefix. Any thread may write."""

    def __init__(self, target: BinaryIO | None = None) -> None:
        self._target = target or sys.stderr.buffer
        self._lock = threading.Lock()

    def write(self, part: str, line: str) -> None:
        """Write a line of a part."""
        told = f'{{"part": "{part}", {line[1:]}' if line.startswith('{"') else f"{part:<{_WIDTH}}| {line}"
        with self._lock:
            self._target.write(told.encode() + b"\n")
            self._target.flush()


class TalkingChildren(Children):
    """Children whose lines go to a log as they come."""

    def __init__(self, variables: Mapping[str, str], log: OneLog) -> None:
        super().__init__(variables)
        self._log = log
        self._last: dict[str, deque[str]] = {}
        self._readers: dict[str, threading.Thread] = {}

    def stop(self) -> None:
        """End all processes, and write the last of what they say."""
        super().stop()
        for name in list(self._readers):
            self._hear_out(name)

    def _output(self, name: str) -> BinaryIO:
        reading, writing = os.pipe()
        self._last[name] = deque(maxlen=_KEPT)
        reader = threading.Thread(target=self._copy, args=(name, reading), name=f"log of {name}", daemon=True)
        self._readers[name] = reader
        reader.start()
        return os.fdopen(writing, "wb")

    def _last_lines(self, name: str, most: int) -> list[str]:
        self._hear_out(name)
        return list(self._last[name])[-most:]

    def _hear_out(self, name: str) -> None:
        """Wait for the last lines of a process that has ended; a child of its own may keep its output open."""
        if (reader := self._readers.pop(name, None)) is not None:
            reader.join(_LAST_WORDS_S)

    def _copy(self, name: str, reading: int) -> None:
        with os.fdopen(reading, "rb") as lines:
            for line in lines:
                text = line.decode("utf-8", "replace").rstrip("\n")
                self._last[name].append(text)
                self._log.write(name, text)
