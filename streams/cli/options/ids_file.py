"""A file of invocation ids, one per line."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Final

from streams.textfiles import UnreadableError, text_lines, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_AROUND: Final = " \t"
_QUOTED: Final = re.compile(r"[\[{]?\s*[\"'\u201c\u201e]")


def ids_of(path: Path) -> list[str]:
    """The ids in a file, without surrounding spaces and blank lines. `-` is stdin.

    Raises:
        UnreadableError: the file cannot be read, or a line is not an id; the message names the line.
    """
    if str(path) == "-":
        return list(_ids(text_lines(sys.stdin.buffer, "stdin"), "stdin"))
    try:
        with path.open("rb") as file:
            return list(_ids(text_lines(file, str(path)), str(path)))
    except OSError as error:
        raise unreadable(str(path), error) from None


def fits_a_line(invocation_id: str) -> bool:
    """True if an id, written as a line of such a file, is read as the same id."""
    return (
        invocation_id == invocation_id.strip(_AROUND)
        and not _QUOTED.match(invocation_id)
        and len(f"{invocation_id}.".splitlines()) == 1
    )


def _ids(lines: Iterator[str], name: str) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        written = line.strip(_AROUND)
        if _QUOTED.match(written):
            # If quotes were removed, an id that does begin with one would be taken for another one, which would then be
            # ended.
            raise UnreadableError(
                f"{name}, line {number}: {written[:40]} is quoted: write bare ids, as `jq -r` does (--id takes one "
                "that does begin with a quotation mark)"
            )
        if "\0" in written or "\r" in written:
            what = "a carriage return" if "\r" in written else "a zero byte"
            raise UnreadableError(f"{name}, line {number}: holds {what} within: write one id a line, in UTF-8")
        if written:
            yield written
