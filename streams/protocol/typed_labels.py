r"""A label as one text, KEY=VALUE, as the command line, the lists of the API and the page write it.

The key ends at the first `=`. A backslash says that what follows is meant: an `=` of the key, a `!` at the end of the
key, an `=` at the beginning of the value, the latter two with the backslashes before them. A backslash of the key that
stands before an `=` or at the end is written twice. Any other is a character like others:

    tenant=gold   a\=b=c    tenant\!=gold   tenant=\=gold
    tenant gold   a=b  c    tenant! gold    tenant =gold
"""

from __future__ import annotations

import re

_TEXT = re.compile(r"((?:[^\\=]|\\.)+)=(.*)", flags=re.DOTALL)


def typed_label(key: str, value: str) -> str:
    """The text of a label; `read_label` gives the label again."""
    key = re.sub(r"(\\*)(=|\Z)", lambda found: 2 * found[1] + ("\\=" if found[2] else ""), key)
    key = re.sub(r"(\\*!)\Z", r"\\\1", key, count=1)
    value = re.sub(r"\A(\\*=)", r"\\\1", value)
    return f"{key}={value}"


def read_label(text: str) -> tuple[str, str] | None:
    """Key and value of a text; None if it has no key, or no `=` behind one."""
    found = _TEXT.fullmatch(text)
    if found is None:
        return None
    key = re.sub(r"\\(\\*!)\Z", r"\1", found[1], count=1)
    key = re.sub(r"(\\+)(=|\Z)", lambda run: len(run[1]) // 2 * "\\" + run[2], key)
    return key, re.sub(r"\A\\(\\*=)", r"\1", found[2])


def comparison(text: str) -> str | None:
    """`!=` or `==` if the text looks like such a comparison of a key and a value; None if it is meant as it stands."""
    found = _TEXT.fullmatch(text)
    if found is None:
        return None
    if re.search(r"(?<!\\)!\Z", found[1]):
        return "!="
    return "==" if found[2].startswith("=") else None
