"""Pages merged from partitions that look at their rows at different speeds."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from streams.listing.merging import Key, merged
from streams.listing.query import Reached


def looked(rows: list[Key], below: int | None, random: Random, most: int) -> tuple[list[Key], Reached]:
    """What a partition finds below a place in a random time: up to `most` of its rows, which fall."""
    left = [key for key in rows if below is None or key[2] < below]
    found = left[: random.randrange(most + 1)]
    rest = left[len(found) :]
    if not rest and random.random() < 0.7:
        return found, Reached(0, 0, done=True)
    reached = found[-1][2] if found else (rest[0][2] + 1 if rest else 0)
    return found, Reached(reached, rest[0][0] if rest else 0, done=not rest)


@given(st.integers(0, 2**32), st.integers(1, 5), st.integers(1, 6))
def test_pages_always_have_every_row_once_newest_first(seed: int, partitions: int, limit: int) -> None:
    """However little each partition has looked at when its time is up."""
    random = Random(seed)
    tables: dict[int, list[Key]] = {}
    for partition in range(partitions):
        created_at, keys = 0, list[Key]()
        for seq in sorted(random.sample(range(200), random.randrange(15))):
            created_at += random.randrange(3)
            keys.append((created_at, partition, seq))
        tables[partition] = keys[::-1]
    places: dict[int, int | None] = dict.fromkeys(tables)
    seen: list[Key] = []
    pages = 0
    while places:
        answers = {partition: looked(tables[partition], below, random, limit) for partition, below in places.items()}
        page = merged(
            {partition: keys for partition, (keys, _) in answers.items()},
            {partition: reached for partition, (_, reached) in answers.items()},
            limit,
        )
        assert len(page.keys) <= limit
        seen += page.keys
        places = {partition: reached.seq for partition, reached in page.left.items()}
        pages += 1
        assert pages < 5_000
    assert seen == sorted((key for keys in tables.values() for key in keys), reverse=True)
