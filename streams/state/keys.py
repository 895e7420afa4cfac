"""Keys of a changelog's records: a letter for the kind, then the name."""

from __future__ import annotations

import re
from typing import Final

from streams.protocol.validation import MAX_LONG
from streams.state.errors import ChangelogError

META_KEY: Final = "m/"
_KINDS: Final = frozenset("ipbsdfgm")
_KEY_PARTS: Final = 2
_MEMBER_PARTS: Final = 3
_NUMBER: Final = re.compile("0|[1-9][0-9]{0,18}").fullmatch
_FLOWS: Final = ("n", "c")
"""Named flows, and those of children."""


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


def flow_key(children: bool, flow_id: str) -> str:  # noqa: FBT001
    """Changelog key of a named flow, or of that of the children of the invocation `flow_id`."""
    return f"f/{_FLOWS[children]}/{flow_id}"


def member_prefix(children: bool, flow_id: str) -> str:  # noqa: FBT001
    """What the changelog keys of a flow's members begin with; the member's partition, "/" and its seq follow."""
    return f"g/{_FLOWS[children]}/{flow_id}/"


def flow_named(name: str) -> tuple[bool, str]:
    """The flow that a key's name stands for: of children or not, and its id.

    Raises:
        ChangelogError: it stands for none.
    """
    kind, slash, flow_id = name.partition("/")
    if kind not in _FLOWS or not slash or not flow_id:
        raise _unknown("f/" + name)
    return bool(_FLOWS.index(kind)), flow_id


def member_named(name: str) -> tuple[tuple[bool, str], int, int]:
    """The flow, partition and seq that a member's key stands for; a flow's id may hold slashes.

    Raises:
        ChangelogError: it stands for none.
    """
    parts = name.rsplit("/", 2)
    if len(parts) < _MEMBER_PARTS or not all(map(_is_number, parts[1:])):
        raise _unknown("g/" + name)
    return flow_named(parts[0]), int(parts[1]), int(parts[2])


def _is_number(text: str) -> bool:
    """True if a key may hold this as a number: no other text stands for the same one, and a record can hold it."""
    return _NUMBER(text) is not None and int(text) <= MAX_LONG


def split_key(key: str) -> tuple[str, str]:
    """Kind (one letter) and name of a changelog key.

    Raises:
        ChangelogError: this engine writes no such key.
    """
    if key[1:2] != "/" or key[0] not in _KINDS:
        raise _unknown(key)
    return key[0], key[_KEY_PARTS:]


def _unknown(key: str) -> ChangelogError:
    return ChangelogError(f"changelog key {key!r} is of a kind this worker does not know: upgrade this worker")
