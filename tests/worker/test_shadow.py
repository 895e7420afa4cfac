"""A worker beside a live system: it keeps the table and runs batches, and no executor hears of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from streams.config import Topic
from streams.model import Action, Filter, StartBatch
from support.service.worker_world import World, invocations

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("shadow", [False, True])
def test_shadow_changes_nothing_but_signals(tmp_path: Path, *, shadow: bool) -> None:
    """Table and counters are as ever; with it there are no signals, without it one for each start and kill."""
    world = World(tmp_path, shadow=shadow)
    world.invoke(*invocations(range(6)))
    world.run_until_idle()
    world.send(StartBatch("b", Action.KILL, Filter(services=("orders",))), key="b")
    world.run_until_idle()
    assert set(world.statuses().values()) == {"KILLED"}
    assert sum(counters[1] for counters in world.counters().values()) == 6
    assert world.published_count(Topic.SIGNALS) == (0 if shadow else 12)
    world.assert_log_and_changelog_agree()
    world.close()
