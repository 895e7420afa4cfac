"""Safe stdin, stdout and stderr, even if they are closed, full, of another encoding, or without a reader.

Stdout has the results: a failure to write is an error, reported separately from the work done before. Stderr only has
reports: what it does not take is lost, and the work goes on.
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
"""Exit code if the reader of stdout has ended, as `head` does: 128 plus SIGPIPE's number, as for other programs."""

_IN, _OUT, _ERR = range(3)


class OutputError(StreamsError):
    """Stdout did not take the output. `done`: the work that was done all the same, empty for none."""

    def __init__(self, why: OSError, done: str = "") -> None:
        closed = why.errno == errno.EBADF
        told = f"stdout cannot be written: {'it is closed' if closed else why.strerror}"
        super().__init__(f"{done}; {told}" if done else told)
        self.why = why

    @property
    def reader_gone(self) -> bool:
        """True if the reader has gone. That is not a failure: a reader that has seen enough ends."""
        return self.why.errno == errno.EPIPE


@contextmanager
def already_done(what: str) -> Iterator[None]:
    """A context for printing results: a failure to print is reported after `what`, such as "batch b is COMPLETED".

    Raises:
        OutputError: stdout does not take the output.
    """
    try:
        yield
        sys.stdout.flush()
    except OutputError as lost:
        raise OutputError(lost.why, what) from None


def prepare() -> None:
    """Make the three streams usable. Called once, before anything else.

    A character that stdout's encoding lacks is written as an escape. A closed stream gets its descriptor back, one that
    can be neither read nor written: else the next file or connection would get that number, and be written to.
    """
    for number in (_IN, _OUT, _ERR):
        _fill(number)
    if sys.stdin is None:
        sys.stdin = open(_IN, encoding="utf-8", closefd=False)  # noqa: SIM115 - the descriptor is held for good
    if sys.stdout is sys.__stdout__:
        sys.stdout = _text(_Stdout(_OUT, "wb", closefd=False), sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(_Stderr(_ERR, "wb", closefd=False), sys.stderr, line_buffering=True)


def give_up() -> None:
    """Drop what stdout did not take: it would fail again at the end of the process."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, _OUT)
    os.close(nowhere)


class _Stdout(io.FileIO):
    """Stdout whose failures are not `OSError`, which other code would take for its own."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise OutputError(error) from None


class _Stderr(io.FileIO):
    """Stderr that drops what it cannot write."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def _text(file: io.FileIO, given: io.TextIOWrapper | None, *, line_buffering: bool = False) -> io.TextIOWrapper:
    """A text stream on the descriptor, like the one that Python made; None was a closed one."""
    at_once = line_buffering or (given is not None and (given.line_buffering or given.write_through))
    encoding = "utf-8" if given is None else given.encoding
    return io.TextIOWrapper(
        io.BufferedWriter(file), encoding=encoding, errors="backslashreplace", line_buffering=at_once
    )


def _fill(number: int) -> None:
    try:
        os.fstat(number)
    except OSError:
        # The lowest free number is this one. A descriptor opened in the wrong direction fails at each use.
        os.set_inheritable(os.open(os.devnull, os.O_RDONLY if number == _OUT else os.O_WRONLY), True)
