"""The target of an export: a file that is written whole or not at all, or anything else with that name."""

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
    """Output to a path, or to stdout for `-`.

    A regular file, new or not, is written under another name beside it and takes its name once it is complete; it keeps
    its permissions. For a symbolic link, this is done with its target: the link stays. Everything else (a device, a
    fifo, an open descriptor such as `/dev/stdout`) is written to directly.

    Raises:
        StreamsError: the target cannot be written.
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
            # No other program's file may have that name: it is created here, or not at all.
            part = self._target.with_name(f"{self._target.name[:_LONGEST_NAME]}.{secrets.token_hex(4)}.part")
            made = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            self._part, self._file = part, os.fdopen(made, "wb")
            if found is not None:
                os.fchmod(made, stat.S_IMODE(found.st_mode))

    def write(self, line: bytes) -> None:
        """Write a line, its line feed included; raises `StreamsError` where that fails."""
        with self._told():
            self._file.write(line)

    def finish(self) -> None:
        """Complete the file: it takes its name."""
        with self._told():
            self._file.flush()
            if self._part is not None:
                os.fsync(self._file.fileno())
                self._part.replace(self._target)
                self._part = None

    def close(self) -> None:
        """Close; remove a file that is not finished."""
        if self._name == "-":
            return
        with suppress(OSError):  # the error was reported at the write
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
    """The `stat` of a path's target; None if there is nothing yet."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _is_descriptor(path: Path) -> bool:
    """True if a path is, or links to, an open descriptor, whose file must not be replaced."""
    for _ in range(_MOST_LINKS):
        folder = os.path.realpath(path.parent)
        if _DESCRIPTORS.fullmatch(folder):
            return True
        if not path.is_symlink():
            return False
        path = Path(folder, path.readlink())
    return False
