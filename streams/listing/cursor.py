"""Cursors of lists: the place in each partition, and the filter they belong to.

A place is a seq. Within a partition created_at never falls from one seq to the next, because the partition clock never
goes back; so newest first is seq downwards, and rows that end, go or arrive between two pages move no other row.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import msgspec

from streams.listing.query import QueryRefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.model import Filter

_VERSION: Final = 1
_DIGEST_BYTES: Final = 12
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(tuple[int, bytes, dict[int, int | None]]).decode


def encode_cursor(filter_: Filter, places: Mapping[int, int | None]) -> str:
    """The cursor of the page that follows.

    Args:
        filter_: the list's.
        places: by partition, the seq below which its rows are left; None: all of them are. Partitions that are done
            are left out.
    """
    packed = _encode((_VERSION, _digest(filter_), dict(sorted(places.items()))))
    return urlsafe_b64encode(packed).decode().rstrip("=")


def decode_cursor(cursor: str, filter_: Filter) -> dict[int, int | None]:
    """The places of a cursor, as for `encode_cursor`.

    Raises:
        QueryRefusedError: it is no cursor of this release, or belongs to another filter.
    """
    try:
        version, digest, places = _decode(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, msgspec.MsgspecError):
        raise QueryRefusedError("cursor is none that a list has given: leave it out to begin again", "cursor") from None
    if version != _VERSION:
        raise QueryRefusedError("cursor is of another release: leave it out to begin again", "cursor")
    if digest != _digest(filter_):
        raise QueryRefusedError("cursor belongs to another filter: leave it out, or ask with its own filter", "cursor")
    return places


def _digest(filter_: Filter) -> bytes:
    """A digest of the filter's meaning: the order of listed values makes no difference."""
    meant = _sorted(msgspec.to_builtins(filter_))
    return sha256(msgspec.json.encode(meant, order="deterministic")).digest()[:_DIGEST_BYTES]


def _sorted(value: Any) -> Any:
    match value:
        case dict():
            return {key: _sorted(part) for key, part in value.items()}
        case list() | tuple():
            return sorted(set(value))
        case _:
            return value
