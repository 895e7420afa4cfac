"""Text files made elsewhere: what is read of them is all that stands there, or they are refused by name."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.textfiles import UnreadableError, raw_lines, text_lines, unreadable

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16")
ENDS = ("\n", "\r\n")


def _text(content: bytes) -> list[str]:
    return list(text_lines(io.BytesIO(content), "f"))


@given(
    st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"])).filter(bool), min_size=1),
    st.sampled_from(ENCODINGS),
    st.sampled_from(ENDS),
    st.booleans(),
)
def test_lines_are_the_same_in_every_encoding(lines: list[str], encoding: str, end: str, whole: bool) -> None:  # noqa: FBT001
    """Whatever characters they hold, those included at which others would cut; the last line may lack its end."""
    if lines[0][0] in "\ufeff\0" or any(line.endswith("\r") for line in lines):
        return
    text = end.join(lines) + (end if whole else "")
    if "\0" in text[:4]:
        return
    assert _text(text.encode(encoding)) == lines


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("between", ["\u0085", "\u2028", "\u2029", "\v", "\f", "\x1c", "\r", "\ufeff"])
def test_a_line_ends_at_a_line_feed_only(encoding: str, between: str) -> None:
    """An id, or a payload in JSON, may hold any of these."""
    assert _text(f"a{between}b\nc\n".encode(encoding)) == [f"a{between}b", "c"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_raw_lines_are_utf_8_with_their_ends(encoding: str) -> None:
    """Big-endian UTF-16 as well; a line feed is looked for among characters, not bytes."""
    text = "\u0a0d\u4e00\n\U0001f600\n"
    assert list(raw_lines(io.BytesIO(text.encode(encoding)), "f")) == text.encode().splitlines(keepends=True)
    assert _text(b"\xfe\xff" + text.encode("utf-16-be")) == ["\u0a0d\u4e00", "\U0001f600"]


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"\xff\xfe"])
def test_an_empty_file_has_no_id_in_it(content: bytes) -> None:
    """A byte order mark is none."""
    assert not any(_text(content))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a\nb\n".encode("utf-32"), "f, line 1: this is UTF-32: save it as UTF-8"),
        ("a\nb\n".encode("utf-16-le"), "f, line 1: this is UTF-16 or UTF-32 without a byte order mark"),
        ("a\nb\n".encode("utf-16-be"), "f, line 1: this is UTF-16 or UTF-32 without a byte order mark"),
        ("a\nb\u00e4\n".encode("latin-1"), "f, line 2: byte E4 at 2 is not UTF-8, as of Latin-1 or Windows-1252"),
        ("a\nb\n".encode("utf-16") + b"c", "f, line 3: broken UTF-16 (truncated data): save it as UTF-8"),
        ("a\n".encode("utf-16") + b"\x00\xdc\x0a\x00", "f, line 2: broken UTF-16 (illegal encoding)"),
    ],
)
def test_what_is_neither_is_refused_with_its_line(content: bytes, said: str) -> None:
    """By name, where it can be told."""
    with pytest.raises(UnreadableError) as caught:
        _text(content)
    assert str(caught.value).startswith(said)


def test_what_stands_before_a_bad_place_is_given() -> None:
    """So that it can be said up to where a file was read."""
    lines = raw_lines(io.BytesIO("a\nb\n".encode("utf-16") + b"c"), "f")
    assert [next(lines), next(lines)] == [b"a\n", b"b\n"]
    with pytest.raises(UnreadableError):
        next(lines)


def test_a_file_that_fails_on_the_way_is_not_at_its_end() -> None:
    """As a disk does, or a folder that was given for a file."""

    class Failing(io.RawIOBase):
        def __init__(self) -> None:
            self.reads = iter([b"a\nb"])

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            for found in self.reads:
                memoryview(buffer)[: len(found)] = found
                return len(found)
            raise OSError(5, "Input/output error")

    lines = text_lines(io.BufferedReader(Failing()), "f")
    assert next(lines) == "a"
    with pytest.raises(UnreadableError, match=r"^f cannot be read: Input/output error$"):
        next(lines)
    assert str(unreadable("stdin", OSError(9, "Bad file descriptor"))) == "stdin cannot be read: it is closed"
