"""Keys of a changelog's records: a letter for the kind, then the name."""

from __future__ import annotations

from typing import Final

from streams.state.errors import ChangelogError

META_KEY: Final = "m/"
_KINDS: Final = frozenset("ipbsdm")
_KEY_PARTS: Final = 2


def invocation_key(invocation_id: str) -> str:
    """Changelog key of an invocation's row."""
    return "i/" + invocation_id


def payload_key(invocation_id: str) -> str:
    """Changelog key of an invocation's payload."""
    return "p/" + invocation_id


def batch_key(batch_id: str) -> str:
    """Changelog key of a batch's record at its lead."""
    return "b/" + batch_id


def slice_key(batch_id: str) -> str:
    """Changelog key of a partition's slice of a batch."""
    return "s/" + batch_id


def delta_key(offset: int) -> str:
    """Changelog key of the page delta caused by the command at `offset`."""
    return f"d/{offset}"


def split_key(key: str) -> tuple[str, str]:
    """Kind (one letter) and name of a changelog key.

    Raises:
        ChangelogError: this engine writes no such key.
    """
    if key[1:2] != "/" or key[0] not in _KINDS:
        raise ChangelogError(f"changelog key {key!r} is of a kind this worker does not know: upgrade this worker")
    return key[0], key[_KEY_PARTS:]
