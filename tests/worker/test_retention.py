"""What is over is forgotten by a whole worker: rows, page deltas, batches and slices, a bounded part at a time."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from streams import codec
from streams.config import Topic
from streams.model import Act, Action, Filter, Invocation, Invoke, OnTimeout, ReportTransition, StartBatch, Status, Tick
from streams.worker.task import RETENTION_CHECK_MS
from support.service.worker_world import PARTITIONS, World

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from streams.model import Record

RETENTION_MS, BATCH_RETENTION_MS = 100_000, 1_000_000
MOST = 7
ALL = Filter(match_all=True)


@pytest.fixture
def make_world(tmp_path: Path) -> Callable[..., World]:
    """A function that makes a service that forgets early, and little at a time."""

    def make(**settings: Any) -> World:
        bounds = {"retention_ms": RETENTION_MS, "batch_retention_ms": BATCH_RETENTION_MS, "tick_max_rows": MOST}
        return World(tmp_path, **(bounds | settings))

    return make


def invoke(world: World, prefix: str, count: int) -> None:
    """`count` with a payload, which start at once."""
    for number in range(count):
        invocation = Invocation(f"{prefix}-{number}", "mail", "send")
        world.invoke(Invoke(invocation, payload=b"p"))


def send(world: World, command: StartBatch) -> None:
    """A batch, and all that follows from it."""
    world.send(command, key=command.batch_id)
    world.run_until_idle()


def rest(world: World, ms: int) -> None:
    """Time goes by, and the worker looks for what to forget until it finds nothing more."""
    world.pass_time(ms)
    for _ in range(3):
        world.pass_time(RETENTION_CHECK_MS)
        world.run_until_idle()


def kept(world: World, topic: Topic) -> dict[tuple[int, str], Record]:
    """What compaction keeps of a topic: the newest record of each key, unless it is a tombstone."""
    name = world.settings.topic(topic)
    logs = [world.cluster.records(name, partition) for partition in range(PARTITIONS)]
    newest = {(p, (each.key or b"").decode()): each.value for p, log in enumerate(logs) for each in log}
    return {key: codec.decode(value) for key, value in newest.items() if value is not None}


def kinds(world: World) -> Counter[str]:
    """How many keys of each kind the changelog keeps, `m/` left out."""
    found = Counter(key.partition("/")[0] for _, key in kept(world, Topic.CHANGELOG))
    del found["m"]
    return found


def ticks(world: World) -> int:
    """How many ticks are in the log."""
    return sum(isinstance(codec.decode(each.value), Tick) for each in _entries(world, Topic.COMMANDS))


def _entries(world: World, topic: Topic) -> list[Any]:
    return list(world.cluster.records(world.settings.topic(topic)))


@pytest.mark.parametrize("deaths", [(), (150, 200, 260, 300)])
def test_nothing_is_left_of_what_is_over(deaths: tuple[int, ...], make_world: Callable[..., World]) -> None:
    """Rows go with their payloads and deltas; batches later, here, at every partition and for their readers."""
    with closing(make_world()) as world:
        for step in deaths:
            world.cluster.faults.crash_at(step)
        invoke(world, "i", 60)
        world.run_until_idle()
        world.send(ReportTransition("i-1", 1, to=Status.COMPLETED), key="i-1")
        world.send(Act("i-2", Action.KILL), key="i-2")
        send(world, StartBatch("kill", Action.KILL, ALL))
        send(world, StartBatch("rejected", Action.KILL, Filter()))
        assert set(world.statuses().values()) == {"KILLED", "COMPLETED"}
        assert kinds(world).keys() == {"i", "p", "d", "b", "s"}
        rest(world, RETENTION_MS)
        assert kinds(world) == {"b": 2, "s": PARTITIONS}
        assert len(kept(world, Topic.BATCH_SLICES)) == 2 + PARTITIONS
        rest(world, BATCH_RETENTION_MS)
        assert kinds(world) == {}
        assert kept(world, Topic.BATCH_SLICES) == {}
        world.cluster.faults.cancel()
        world.assert_log_and_changelog_agree()
        # An id that is forgotten means nothing any longer.
        invoke(world, "i", 3)
        send(world, StartBatch("kill", Action.PAUSE, ALL))
        assert set(world.statuses().values()) == {"PAUSED"}


def test_a_delta_that_is_too_old_has_its_rows_written_out(make_world: Callable[..., World]) -> None:
    """What a cancel has left to itself, and what is paused, rests on no page for ever, and stays what it was."""
    with closing(make_world()) as world:
        invoke(world, "left", 20)
        world.run_until_idle()
        send(world, StartBatch("leave", Action.CANCEL, ALL, grace_ms=0, on_timeout=OnTimeout.LEAVE))
        rest(world, 1)
        invoke(world, "held", 20)
        world.run_until_idle()
        send(world, StartBatch("pause", Action.PAUSE, ALL))
        before = world.statuses()
        assert kinds(world)["d"] > 0
        rest(world, BATCH_RETENTION_MS)
        assert kinds(world) == {"i": 40, "p": 40}
        assert world.statuses() == before
        assert Counter(before.values()) == {"CANCELLING": 20, "PAUSED": 20}
        world.assert_log_and_changelog_agree()


def test_a_tick_forgets_no_more_than_it_may(make_world: Callable[..., World]) -> None:
    """However much is over, other commands stand between two of its parts."""
    with closing(make_world()) as world:
        invoke(world, "i", 60)
        world.run_until_idle()
        send(world, StartBatch("kill", Action.KILL, ALL))
        before = ticks(world)
        rest(world, RETENTION_MS)
        gone = [each.key for each in _entries(world, Topic.CHANGELOG) if each.value is None]
        assert len({key for key in gone if key is not None and key.startswith(b"i/")}) == 60
        assert ticks(world) - before >= 60 / MOST


def test_a_worker_with_nothing_to_forget_writes_no_tick(make_world: Callable[..., World]) -> None:
    """Also where a page ended some rows, forgotten by now, and asked others that never answered."""
    with closing(make_world(tick_max_rows=1_000)) as world:
        invoke(world, "i", 10)
        for number in range(10):
            later = Invoke(Invocation(f"s-{number}", "mail", "send"), scheduled_at=10**14)
            world.invoke(replace(later, payload=b"p"))
        world.run_until_idle()
        send(world, StartBatch("leave", Action.CANCEL, ALL, grace_ms=5_000, on_timeout=OnTimeout.LEAVE))
        rest(world, 5_000)
        rest(world, RETENTION_MS)
        assert set(world.statuses().values()) == {"CANCELLING"}
        done = ticks(world)
        rest(world, RETENTION_MS)
        assert ticks(world) == done
