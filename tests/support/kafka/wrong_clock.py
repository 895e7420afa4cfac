"""A broker with a wrong clock, and what is to be seen of it."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from streams import codec
from streams.client import DeadLetter, DeadLetterReader
from streams.config import Topic
from streams.model import BatchHeader, Invocation, Invoke
from support.service.worker_world import PARTITIONS, World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOUR = 3_600_000
DAY = 24 * HOUR
TEN_YEARS = 3_650 * DAY


def invoke(name: str, service: str = "orders", scheduled_at: int | None = None) -> Invoke:
    """An invocation."""
    return Invoke(Invocation(name, service, "run"), scheduled_at)


def letters_of(world: World) -> list[DeadLetter]:
    """Every dead letter."""
    return DeadLetterReader(world.settings, world.cluster).all()


def named(world: World) -> list[tuple[int, int]]:
    """(partition, offset) of each record that a dead letter of this kind names, once for each time."""
    commands = world.settings.topic(Topic.COMMANDS)
    places = []
    for letter in letters_of(world):
        if letter.code == "clock_ahead":
            assert (letter.key, letter.value, letter.source_topic) == (None, None, commands)
            assert letter.source_partition is not None
            assert letter.source_offset is not None
            assert letter.source_last_offset is not None
            records = world.cluster.records(commands, letter.source_partition)
            within = range(letter.source_offset, letter.source_last_offset + 1)
            places += [(letter.source_partition, each.offset) for each in records if each.offset in within]
    return sorted(places)


def stamped_after(world: World, latest: int) -> list[tuple[int, int]]:
    """(partition, offset) of the commands that the broker stamped later than that."""
    commands = world.settings.topic(Topic.COMMANDS)
    return [
        (partition, record.offset)
        for partition in range(PARTITIONS)
        for record in world.cluster.records(commands, partition)
        if record.timestamp[1] > latest
    ]


def clocks(world: World) -> list[int]:
    """Each partition's clock."""
    assert world.worker is not None
    return [world.worker.tasks[partition].running_table.meta.clock for partition in range(PARTITIONS)]


def rows(world: World) -> list[tuple[str, int]]:
    """Of each invocation its id, and when it was created by its partition's clock."""
    assert world.worker is not None
    dumps = [task.store.dump() for task in world.worker.tasks.values()]
    return sorted(
        (key, codec.decode_row(value)[0].created_at) for dump in dumps for key, value in dump if key[:2] == "i/"
    )


def states(world: World) -> dict[str, str]:
    """Each batch's newest state."""
    headers = [each for each in world.published(Topic.BATCH_SLICES) if isinstance(each, BatchHeader)]
    return {each.batch_id: str(each.state) for each in sorted(headers, key=lambda each: each.revision)}


@contextmanager
def begun_world(folder: Path) -> Iterator[World]:
    """A service that has begun, with right clocks."""
    with closing(World(folder)) as made:
        made.invoke(*(Invoke(Invocation(f"before-{n}", "before", "run")) for n in range(8)))
        made.run_until_idle()
        yield made
