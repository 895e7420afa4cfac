"""Logs of the processes of a tree: one log, each line with the name of who wrote it, or a file for each."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, BinaryIO, Final

if TYPE_CHECKING:
    from pathlib import Path

_KEPT: Final = 20
"""Last lines of each process that are kept for the message about its end."""
_LONGEST: Final = 1024 * 1024
"""A longer line is written as several, bytes."""
_WIDTH: Final = 9
_LAST_WORDS_S: Final = 1.0


class OneLog:
    """A log of several processes: a JSON line gets a field with the name, any other a prefix. Any thread may write.

    Args:
        target: where it is written to; None: standard error.
        field: the name of that field.
    """

    def __init__(self, target: BinaryIO | None = None, field: str = "part") -> None:
        self._target = target or sys.stderr.buffer
        self._field = field
        self._lock = threading.Lock()
        self._last: dict[str, deque[str]] = {}
        self._readers: dict[str, threading.Thread] = {}

    def write(self, name: str, line: str) -> None:
        """Write a line of one of them."""
        told = f'{{"{self._field}": "{name}", {line[1:]}' if line.startswith('{"') else f"{name:<{_WIDTH}}| {line}"
        with self._lock:
            self._target.write(told.encode() + b"\n")
            self._target.flush()

    def open(self, name: str) -> BinaryIO:
        """A pipe whose lines are written here as they come."""
        self._hear_out(name)
        reading, writing = os.pipe()
        self._last[name] = deque(maxlen=_KEPT)
        reader = threading.Thread(target=self._copy, args=(name, reading), name=f"log of {name}", daemon=True)
        self._readers[name] = reader
        reader.start()
        return os.fdopen(writing, "wb")

    def last_lines(self, name: str, most: int) -> list[str]:
        """The last lines of a process that has ended."""
        self._hear_out(name)
        return list(self._last[name])[-most:]

    def close(self) -> None:
        """Write the last lines of those that have ended."""
        for name in list(self._readers):
            self._hear_out(name)

    def _hear_out(self, name: str) -> None:
        """Wait for the last lines of a process that has ended; a child of its own may keep its output open."""
        if (reader := self._readers.pop(name, None)) is not None:
            reader.join(_LAST_WORDS_S)

    def _copy(self, name: str, reading: int) -> None:
        last = self._last[name]
        with os.fdopen(reading, "rb") as lines:
            while line := lines.readline(_LONGEST):
                text = line.decode("utf-8", "replace").rstrip("\n")
                last.append(text)
                self.write(name, text)


class Files:
    """A file `<name>.log` in a folder for each process, with what its last life has written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str) -> Path:
        """The file of a process."""
        return self._folder / f"{name}.log"

    def open(self, name: str) -> BinaryIO:
        """The file, emptied."""
        return self.path(name).open("wb")

    def last_lines(self, name: str, most: int) -> list[str]:
        """Its last lines."""
        return self.path(name).read_text(encoding="utf-8", errors="replace").splitlines()[-most:]
