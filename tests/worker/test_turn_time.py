"""A turn is bounded by time as well as by records."""

from __future__ import annotations

from contextlib import closing
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from streams import codec
from streams.model import ENGINE_VERSION, Action, Filter, MemberEnded, StartBatch
from streams.worker import turn as turns
from streams.worker.page_sizes import TURN_S, TunedSizes
from support.service.worker_world import PARTITIONS, World, invocations

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("look_s", [TURN_S / 8, TURN_S, 100 * TURN_S])
def test_what_takes_too_long_is_left_for_the_next_turn(
    look_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every partition goes on in every turn, however slow; nothing is lost, repeated or overtaken, pages included."""
    clock = count(0, look_s)
    with closing(World(tmp_path)) as world:
        world.run_until_idle()
        monkeypatch.setattr(turns, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
        world.invoke(*invocations(range(800)))
        world.send(StartBatch("b", Action.KILL, Filter(services=("orders",))), key="b")
        world.invoke(*invocations(range(800), "later", service="mail"))
        worker = world.worker
        assert worker is not None
        before = 0
        while worker.applied < 400 * PARTITIONS:
            offsets = [task.running_table.meta.next_offset for task in worker.tasks.values()]
            worker.step()
            after = [task.running_table.meta.next_offset for task in worker.tasks.values()]
            assert all(left < right for left, right in zip(offsets, after, strict=True))
            assert worker.applied - before <= 400 * PARTITIONS
            before = worker.applied
        world.run_until_idle()
        statuses = world.statuses()
        assert {statuses[f"i-{n}"] for n in range(800)} == {"KILLED"}
        assert {statuses[f"later-{n}"] for n in range(800)} == {"READY"}
        starts = [name for name, kind, *_ in world.signals() if kind == "START"]
        assert len(starts) == len(set(starts)) == 1_600
        world.assert_log_and_changelog_agree()


def test_a_few_long_lists_of_members_fill_a_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is looked at after each of them: many flows may be answered at once."""
    clock = count(0, TURN_S / 3)
    with closing(World(tmp_path)) as world:
        world.run_until_idle()
        for number in range(20):
            ended = MemberEnded(ENGINE_VERSION, 0, f"f{number}", False, 1, tuple(range(5_000)))
            world.log(codec.encode(ended), "f", 0)
        monkeypatch.setattr(turns, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
        worker = world.worker
        assert worker is not None
        worker.step()
        assert 1 <= worker.applied <= 4
        while worker.applied < 20:
            before = worker.applied
            worker.step()
            assert 1 <= worker.applied - before <= 4
        world.assert_log_and_changelog_agree()


def test_a_turn_takes_as_many_commands_as_fit_into_its_time() -> None:
    """Few when they are slow, more again step by step, never more than is set; a few commands say nothing."""
    sizes = TunedSizes(1_000)
    assert sizes.room(5_000) == 5_000
    sizes.learn_commands(5_000, 4 * 1_000 * TURN_S)
    assert sizes.room(5_000) == 1_250
    sizes.learn_commands(99, 60_000)
    assert sizes.room(5_000) == 1_250
    sizes.learn_commands(1_250, 1)
    assert sizes.room(5_000) == 3_750
    for _ in range(9):
        sizes.learn_commands(1_000, 1)
    assert sizes.room(5_000) == 5_000
    sizes.learn_commands(100, 1e9)
    assert sizes.room(5_000) == 100
    assert sizes.room(50) == 50
