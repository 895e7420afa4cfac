"""Text files from any system: UTF-8 with or without a byte order mark, UTF-16 with one. Others are refused by name.

A line ends only at a line feed, with or without a carriage return before it: an id may hold any of the other characters
at which Python splits lines.
"""

from __future__ import annotations

import codecs
import errno
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO, Final

from streams.errors import StreamsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

UTF_16: Final = "UTF-16"
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "UTF-32"),  # begins like the mark of UTF-16
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, UTF_16),
    (codecs.BOM_UTF16_BE, UTF_16),
)
_LONGEST = 4


class UnreadableError(StreamsError):
    """A file that cannot be read as text, or not to its end; the message names it, the line and the encoding."""


def unreadable(name: str, error: OSError) -> UnreadableError:
    """The error text for a failed read. A descriptor that is open only for writing stands for a closed one."""
    why = "it is closed" if error.errno == errno.EBADF else error.strerror
    return UnreadableError(f"{name} cannot be read: {why}")


def encoding_of(head: bytes) -> str | None:
    """The encoding that a file's first four bytes show, unless it is UTF-8: UTF-16, UTF-32, or a guess at them."""
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    return "UTF-16 or UTF-32 without a byte order mark" if b"\0" in head[:_LONGEST] else None


def raw_lines(file: BinaryIO, name: str) -> Iterator[bytes]:
    """The lines in UTF-8, each with its line feed, without a byte order mark. What begins like UTF-8 is taken for it.

    `name` of the file, for messages.

    Raises:
        UnreadableError: another encoding, broken UTF-16, or an error of the file. All lines before it were yielded.
    """
    try:
        first = file.readline()
        encoding = encoding_of(first[:_LONGEST])
        if encoding is None:
            yield from chain([first.removeprefix(codecs.BOM_UTF8)] if first else [], file)
        elif encoding == UTF_16:
            order = "utf-16-le" if first.startswith(codecs.BOM_UTF16_LE) else "utf-16-be"
            yield from _decoded(chain([first[len(codecs.BOM_UTF16) :]], file), order, name)
        else:
            raise UnreadableError(f"{name}, line 1: this is {encoding}: save it as UTF-8")
    except OSError as error:
        raise unreadable(name, error) from None


def text_lines(file: BinaryIO, name: str) -> Iterator[str]:
    """The lines as text, without line ends.

    Raises:
        UnreadableError: as for `raw_lines`, or a line is not UTF-8.
    """
    for number, line in enumerate(raw_lines(file, name), 1):
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            byte = f"byte {line[error.start]:02X} at {error.start + 1}"
            raise UnreadableError(
                f"{name}, line {number}: {byte} is not UTF-8, as of Latin-1 or Windows-1252: save it as UTF-8"
            ) from None
        yield text.removesuffix("\n").removesuffix("\r")


def _decoded(pieces: Iterable[bytes], encoding: str, name: str) -> Iterator[bytes]:
    """Pieces of UTF-16 as lines in UTF-8."""
    decoder = codecs.getincrementaldecoder(encoding)()
    number, rest, broken = 1, "", ""
    for piece in chain(pieces, [None]):
        try:
            text = decoder.decode(piece or b"", final=piece is None)
        except UnicodeDecodeError as error:
            text, broken = error.object[: error.start].decode(encoding), error.reason
        *whole, rest = (rest + text).split("\n")
        for line in whole:
            yield f"{line}\n".encode()
        number += len(whole)
        if broken:
            raise UnreadableError(f"{name}, line {number}: broken UTF-16 ({broken}): save it as UTF-8")
    if rest:
        yield rest.encode()
