"""A topic read to its end: where it begins, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from streams.config import Topic
from streams.errors import StreamsError
from streams.kafka.tail import tail
from support.service.client_world import ClientWorld


@pytest.mark.parametrize(
    ("begin", "read"),
    [
        ({}, ["a", "b", "c", "other"]),
        ({"last": 1}, ["c", "other"]),
        ({"last": 9, "partition": 0}, ["a", "b", "c"]),
        ({"since": {0: 2}}, ["c", "other"]),
    ],
)
def test_a_tail_begins_where_it_is_told(begin: dict[str, Any], read: list[str]) -> None:
    """At the start, so many offsets before each end, or at offsets by partition; of one partition or of all."""
    world = ClientWorld()
    for key in "abc":
        world.write(Topic.SIGNALS, key, b"")
    world.cluster.append(("t.signals", 3), b"other", b"")
    with tail(world.settings, world.cluster, Topic.SIGNALS, **begin) as records:
        assert sorted(message.key().decode() for message in records.read_to_end(60)) == read
        assert records.ends()[0] == 3


def test_a_partition_that_is_not_there_is_refused_by_name() -> None:
    """The line says which there are."""
    world = ClientWorld()
    reading = tail(world.settings, world.cluster, Topic.SIGNALS, partition=4)
    with pytest.raises(StreamsError, match=r"t\.signals has no partition 4: it has 0 to 3"), reading:
        raise AssertionError("nothing can be read")
