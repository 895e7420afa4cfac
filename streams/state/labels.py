"""An invocation's labels as the text of one column, which SQL searches for single labels."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_LABEL, _VALUE = "\x1f", "\x1e"
LABEL_END: Final = f"char({ord(_LABEL)})"
"""SQL for the end of a label's value."""
_KNOWN_LABELS: Final = 1_024
"""Number of label texts remembered: many invocations have the same labels."""
_KNOWN_LENGTH: Final = 1_024
"""Most characters of remembered labels: longer ones would fill the memory, and rarely repeat."""
_UNSAFE: Final = re.compile("[\x00\x1b\x1e\x1f]")


def escape_label(text: str) -> str:
    """Escape separators, and NUL, which ends a text in some functions of SQLite. No two texts give the same result."""
    return text if text.isprintable() else _UNSAFE.sub(lambda found: f"\x1b{ord(found[0]) + 0x40:c}", text)


def label_text(key: str, value: str) -> str:
    """The text of one label: the text of labels contains it exactly if the labels do."""
    return f"{label_head(key)}{escape_label(value)}{_LABEL}"


def label_head(key: str) -> str:
    """The text before a label's value in the text of labels; `escape_label` of the value and `LABEL_END` follow."""
    return f"{_LABEL}{escape_label(key)}{_VALUE}"


def texts_of_labels(labels: str) -> list[str]:
    """The `label_text` of each label, given the text of all."""
    return [f"{_LABEL}{each}{_LABEL}" for each in labels.split(_LABEL)[1::2]]


def labels_text(labels: Mapping[str, str]) -> str | None:
    """All labels in the form of their column; None without labels."""
    if not labels:
        return None
    known = sum(map(len, labels)) + sum(map(len, labels.values())) <= _KNOWN_LENGTH
    return _joined(tuple(labels.items())) if known else _join(labels.items())


def _join(labels: Iterable[tuple[str, str]]) -> str:
    return "".join([label_text(key, value) for key, value in labels])


_joined = lru_cache(_KNOWN_LABELS)(_join)
