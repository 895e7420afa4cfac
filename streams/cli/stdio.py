"""stdin, stdout and stderr as this process was given them: closed, full, of another encoding, or with nobody to read.

Stdout has the results: what it does not take is an error, told apart from the work that was done before. Stderr only
tells about it: what that does not take is lost, and the work goes on.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from streams.errors import StreamsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import ReadableBuffer

READER_GONE: Final = 141
"""Exit code when whoever read stdout has ended, as `head` does: 128 and SIGPIPE's number, as of other programs."""

_IN, _OUT, _ERR = range(3)


class OutputError(StreamsError):
    """Stdout did not take what was to be printed. `done`: what has been done all the same, empty for nothing."""

    def __init__(self, why: OSError, done: str = "") -> None:
        closed = why.errno == errno.EBADF
        told = f"stdout cannot be written: {'it is closed' if closed else why.strerror}"
        super().__init__(f"{done}; {told}" if done else told)
        self.why = why

    @property
    def reader_gone(self) -> bool:
        """Whether nobody is there to read it: no failure, for whoever has seen enough ends."""
        return self.why.errno == errno.EPIPE


@contextmanager
def already_done(what: str) -> Iterator[None]:
    """Print what became of it: a failure to print is told after `what`, such as "batch b is COMPLETED".

    Raises:
        OutputError: stdout does not take it.
    """
    try:
        yield
        sys.stdout.flush()
    except OutputError as lost:
        raise OutputError(lost.why, what) from None


def prepare() -> None:
    """Make the three fit to use. Called once, first of all.

    A character that stdout's encoding lacks is written as its escape. One of the three that is closed gets its number
    back, as what can be neither read nor written: else the next file or connection would have it, and be written to.
    """
    for number in (_IN, _OUT, _ERR):
        _fill(number)
    if sys.stdin is None:
        sys.stdin = open(_IN, encoding="utf-8", closefd=False)  # noqa: SIM115 - a number, for good
    if sys.stdout is sys.__stdout__:
        sys.stdout = _text(_Stdout(_OUT, "wb", closefd=False), sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(_Stderr(_ERR, "wb", closefd=False), sys.stderr, line_buffering=True)


def give_up() -> None:
    """Throw away what stdout did not take: it would fail once more at the process's end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, _OUT)
    os.close(nowhere)


class _Stdout(io.FileIO):
    """Its failures are not an `OSError`: those others take for their own."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise OutputError(error) from None


class _Stderr(io.FileIO):
    """Loses what it cannot write."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def _text(file: io.FileIO, given: io.TextIOWrapper | None, *, line_buffering: bool = False) -> io.TextIOWrapper:
    """A text stream on the file, as the one that Python had made of it; None: of what was closed."""
    at_once = line_buffering or (given is not None and (given.line_buffering or given.write_through))
    encoding = "utf-8" if given is None else given.encoding
    return io.TextIOWrapper(
        io.BufferedWriter(file), encoding=encoding, errors="backslashreplace", line_buffering=at_once
    )


def _fill(number: int) -> None:
    try:
        os.fstat(number)
    except OSError:
        # The lowest number that is free is this one. What is opened the wrong way round fails at each use.
        os.set_inheritable(os.open(os.devnull, os.O_RDONLY if number == _OUT else os.O_WRONLY), True)
