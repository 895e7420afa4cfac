"""Where an export goes: a file that is there whole or not at all, or whatever else stands under that name."""

from __future__ import annotations

import os
import re
import secrets
import stat
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from streams.errors import StreamsError

if TYPE_CHECKING:
    from collections.abc import Iterator

_DESCRIPTORS: Final = re.compile(r"/dev/fd|/proc/.+/fd")
_MOST_LINKS: Final = 40
_LONGEST_NAME: Final = 200


class Sink:
    """What is written to a path, or to stdout for `-`.

    A regular file, new or not, is written under another name beside it and takes its name once it is whole; it keeps
    its permissions. Of a symbolic link this is the file that it leads to: the link stays. Everything else (a device, a
    fifo, an open descriptor such as `/dev/stdout`) is written to as it is.

    Raises:
        StreamsError: it cannot be written.
    """

    def __init__(self, output: Path) -> None:
        self._name = str(output)
        self._part: Path | None = None
        self._file: BinaryIO
        if self._name == "-":
            self._file = sys.stdout.buffer
            return
        with self._told():
            found = _stat(output)
            if _is_descriptor(output) or not (found is None or stat.S_ISREG(found.st_mode)):
                self._file = os.fdopen(os.open(output, os.O_WRONLY | os.O_APPEND), "wb")
                return
            self._target = Path(os.path.realpath(output))
            # Nobody else's file may have that name: it is made here, or not at all.
            part = self._target.with_name(f"{self._target.name[:_LONGEST_NAME]}.{secrets.token_hex(4)}.part")
            made = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            self._part, self._file = part, os.fdopen(made, "wb")
            if found is not None:
                os.fchmod(made, stat.S_IMODE(found.st_mode))

    def write(self, line: bytes) -> None:
        """Write a line."""
        with self._told():
            self._file.write(line)

    def finish(self) -> None:
        """All is written."""
        with self._told():
            self._file.flush()
            if self._part is not None:
                os.fsync(self._file.fileno())
                self._part.replace(self._target)
                self._part = None

    def close(self) -> None:
        """Nothing is left of a file that is not finished."""
        if self._name == "-":
            return
        with suppress(OSError):  # it was told when it was written
            self._file.close()
        if self._part is not None:
            self._part.unlink(missing_ok=True)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StreamsError(f"{self._name} cannot be written: {error.strerror}") from None


def _stat(path: Path) -> os.stat_result | None:
    """Of what a path leads to; None when there is nothing yet."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _is_descriptor(path: Path) -> bool:
    """Whether a path is, or is a link to, an open descriptor: its file is not to be replaced."""
    for _ in range(_MOST_LINKS):
        folder = os.path.realpath(path.parent)
        if _DESCRIPTORS.fullmatch(folder):
            return True
        if not path.is_symlink():
            return False
        path = Path(folder, path.readlink())
    return False
