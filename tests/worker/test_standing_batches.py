"""Rules that stand at the door of a whole worker: through deaths, and restored from the changelog."""

from __future__ import annotations

import shutil
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from streams.config import Topic
from streams.model import (
    Action,
    BatchHeader,
    BatchState,
    ControlBatch,
    ControlOperation,
    Filter,
    Invocation,
    Invoke,
    ReportTransition,
    StartBatch,
    Status,
)
from support.service.worker_world import World

if TYPE_CHECKING:
    from pathlib import Path

MAIL = Filter(services=("mail",))
UNTIL_MS = 600_000


def arrive(world: World, prefix: str, count: int = 12) -> None:
    """A number of each service; every fourth runs elsewhere already."""
    for number in range(count):
        for service in ("mail", "bill"):
            invocation = Invocation(f"{prefix}-{service}-{number}", service, "run")
            world.invoke(Invoke(invocation, adopt=number % 4 == 0))


def state(world: World, batch_id: str) -> BatchState:
    """The newest state of its header."""
    headers = [each for each in world.published(Topic.BATCH_SLICES) if isinstance(each, BatchHeader)]
    return max((each for each in headers if each.batch_id == batch_id), key=lambda header: header.revision).state


def counted(world: World, batch_id: str) -> tuple[int, ...]:
    """(matched, done, pending, skipped, failed) over both partitions."""
    found = [counters[1:] for (each, _), counters in world.counters().items() if each == batch_id]
    return tuple(map(sum, zip(*found, strict=True)))


def started(world: World, service: str) -> Counter[str]:
    """What of a service executors were told to start, by the prefix of its id."""
    names = [name.split("-") for name, kind, *_ in world.signals() if kind == "START"]
    return Counter(prefix for prefix, each, _ in names if each == service)


@pytest.mark.parametrize("restored", [False, True])
@pytest.mark.parametrize("deaths", [(), (30, 70, 71, 120), (45, 90, 140, 150)])
def test_nothing_that_a_rule_matches_is_started_whatever_the_worker_dies_of(
    deaths: tuple[int, ...],
    restored: bool,  # noqa: FBT001
    tmp_path: Path,
) -> None:
    """Before, while and after it stands, each invocation has the fate that its place in the log gives it."""
    world = World(tmp_path)
    for step in deaths:
        world.cluster.faults.crash_at(step)
    with closing(world):
        arrive(world, "before")
        until = world.cluster.now + UNTIL_MS
        world.send(StartBatch("kill", Action.KILL, MAIL, standing_until=until), key="kill")
        world.run_until_idle()
        arrive(world, "while")
        world.run_until_idle()
        if restored:
            world.die()
            shutil.rmtree(world.settings.state_dir)
        arrive(world, "again")
        world.run_until_idle()
        assert state(world, "kill") is BatchState.RUNNING
        world.pass_time(UNTIL_MS)
        arrive(world, "after")
        world.run_until_idle()
        world.cluster.faults.cancel()
        assert (state(world, "kill"), counted(world, "kill")) == (BatchState.COMPLETED, (36, 36, 0, 0, 0))
        assert started(world, "mail") == {"before": 9, "after": 9}
        assert started(world, "bill") == dict.fromkeys(("before", "while", "again", "after"), 9)
        killed = [name for name, kind, *_ in world.signals() if kind == "KILL"]
        assert Counter(name.split("-")[0] for name in killed) == {"before": 12, "while": 3, "again": 3}
        world.assert_log_and_changelog_agree()


@pytest.mark.parametrize("operation", [ControlOperation.PAUSE, ControlOperation.ABORT])
def test_a_door_that_was_opened_stays_open_through_a_death(operation: ControlOperation, tmp_path: Path) -> None:
    """And a cancel at the door is waited for as any other."""
    with closing(World(tmp_path)) as world:
        until = world.cluster.now + UNTIL_MS
        world.send(StartBatch("c", Action.CANCEL, MAIL, grace_ms=UNTIL_MS, standing_until=until), key="c")
        world.run_until_idle()
        arrive(world, "while", 4)
        world.run_until_idle()
        world.send(ControlBatch("c", operation), key="c")
        world.run_until_idle()
        world.die()
        arrive(world, "open", 4)
        world.run_until_idle()
        assert counted(world, "c") == (4, 3, 1, 0, 0)
        assert started(world, "mail") == {"open": 3}
        world.send(ReportTransition("while-mail-0", 1, to=Status.CANCELLED), key="while-mail-0")
        world.pass_time(UNTIL_MS)
        world.run_until_idle()
        assert counted(world, "c") == (4, 4, 0, 0, 0)
        over = BatchState.ABORTED if operation is ControlOperation.ABORT else BatchState.COMPLETED
        assert state(world, "c") is over
        world.assert_log_and_changelog_agree()
