"""The merge of partitions' rows, newest first, into one page."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from streams.listing.query import Reached

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Key = tuple[int, int, int]
"""(created_at, partition, seq) of a row."""


class Merged(NamedTuple):
    """The first keys of a merge, and what each partition has reached with them; those that are done are left out."""

    keys: list[Key]
    left: dict[int, Reached]


def merged(found: Mapping[int, Sequence[Key]], reached: Mapping[int, Reached], limit: int) -> Merged:
    """At most `limit` keys, newest first.

    None is older than a place that some partition has not looked behind: a newer row may still be found there.

    Args:
        found: the keys of each partition's rows, all down to the place it has reached.
        reached: that place, of each of the partitions.
        limit: the most keys.
    """
    bound = max(
        ((place.created_at, partition, place.seq) for partition, place in reached.items() if not place.done),
        default=None,
    )
    keys = sorted((key for keys in found.values() for key in keys), reverse=True)
    taken = [key for key in keys if bound is None or key >= bound][:limit]
    left = {partition: place for partition, place in reached.items() if not place.done}
    for created_at, partition, seq in reversed(keys[len(taken) :]):
        left[partition] = Reached(seq + 1, created_at)
    return Merged(taken, left)


def by_partition(keys: Iterable[Key]) -> dict[int, list[Key]]:
    """The keys of each partition."""
    found: dict[int, list[Key]] = {}
    for key in keys:
        found.setdefault(key[1], []).append(key)
    return found
