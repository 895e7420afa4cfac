"""A worker with batches under control: their pace by its ticks, and what a death in the middle leaves of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from streams.client import new_batch_id
from streams.config import Topic
from streams.model import Action, BatchHeader, BatchState, ControlBatch, ControlOperation, Filter, StartBatch
from support.service.worker_world import World, invocations

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ALL = Filter(match_all=True)
TURN_MS = 20
BATCH = new_batch_id()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """One service with rows, and a worker that has taken its partitions."""
    made = World(tmp_path)
    made.invoke(*invocations(range(1_600), service="mail"))
    made.run_until_idle()
    yield made
    made.close()


def turns(world: World, ms: int, turn_ms: int = TURN_MS) -> None:
    """Turns of the worker that take so long together."""
    for _ in range(ms // turn_ms):
        world._alive().step()
        world.pass_time(turn_ms)


def matched(world: World) -> int:
    """Rows that the batch has matched, which is what it has acted on here."""
    return sum(counters[1] for (batch_id, _), counters in world.counters().items() if batch_id == BATCH)


def state(world: World) -> BatchState:
    """The newest state of its header."""
    headers = [each for each in world.published(Topic.BATCH_SLICES) if isinstance(each, BatchHeader)]
    return max(headers, key=lambda header: header.revision).state


def control(world: World, operation: ControlOperation, max_rate: float | None = None) -> None:
    """Log a control of the batch."""
    world.send(ControlBatch(BATCH, operation, max_rate=max_rate), key=BATCH)


@pytest.mark.parametrize("turn_ms", [pytest.param(10, marks=pytest.mark.chaos), 40, 200])
@pytest.mark.parametrize("max_rate", [5.0, 80.0])
def test_a_worker_keeps_a_batchs_rate(world: World, max_rate: float, turn_ms: int) -> None:
    """Its ticks come in time, however slow its turns, and within a second of a new rate that one holds."""
    world.send(StartBatch(BATCH, Action.KILL, ALL, max_rate=max_rate), key=BATCH)
    turns(world, 2_000, turn_ms)
    begun = matched(world)
    turns(world, 10_000, turn_ms)
    assert matched(world) - begun == pytest.approx(10 * max_rate, rel=0.1)
    control(world, ControlOperation.SET_RATE, 60.0)
    turns(world, 1_000, turn_ms)
    before = matched(world)
    turns(world, 4_000, turn_ms)
    one_page = 60.0 * 3 * turn_ms / 1_000
    assert matched(world) - before == pytest.approx(240, rel=0.1, abs=one_page)


def test_paused_and_slow_batches_survive_a_death(world: World) -> None:
    """What was paused stays so, what was slow stays slow, and a limit is exact in the end."""
    world.send(StartBatch(BATCH, Action.KILL, ALL, limit=1_001, max_rate=100.0), key=BATCH)
    turns(world, 2_000)
    world.die()
    turns(world, 3_000)
    assert matched(world) == pytest.approx(500, rel=0.1)
    control(world, ControlOperation.PAUSE)
    turns(world, 100)
    acted = matched(world)
    world.die()
    turns(world, 2_000)
    assert (matched(world), state(world)) == (acted, BatchState.PAUSED)
    control(world, ControlOperation.RESUME)
    control(world, ControlOperation.SET_RATE, 10_000.0)
    turns(world, 2_000)
    assert (matched(world), state(world)) == (1_001, BatchState.COMPLETED)
    assert list(world.statuses().values()).count("KILLED") == 1_001
    world.assert_log_and_changelog_agree()


def test_a_batch_that_expires_while_no_worker_runs_is_aborted_by_the_next(world: World) -> None:
    """By its first tick; few rows, if any, are touched before it."""
    expires_at = world.cluster.now + 1_000
    world.send(StartBatch(BATCH, Action.KILL, ALL, max_rate=10.0, expires_at=expires_at), key=BATCH)
    turns(world, 500)
    world.die()
    world.pass_time(60_000)
    turns(world, 500)
    assert state(world) is BatchState.ABORTED
    assert matched(world) < 30
    assert {counters[0] for counters in world.counters().values()} == {"ABORTED"}
    world.assert_log_and_changelog_agree()
