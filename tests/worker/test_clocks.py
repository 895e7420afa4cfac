"""The broker's clock and the worker's need not agree."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from streams.model import Action, Filter, Invocation, Invoke, StartBatch
from streams.worker.worker import Worker
from support.service.worker_world import World

if TYPE_CHECKING:
    from pathlib import Path

_AHEAD_MS = 10_000


def test_ticks_go_on_where_the_broker_is_ahead(tmp_path: Path) -> None:
    """A tick that was too small has a successor on the broker's clock; the worker's next does not wait for that."""
    with closing(World(tmp_path, tick_max_rows=1)) as world:
        first = world.cluster.now + 1_000
        later = first + 200
        for number, at in enumerate([first, first, first, later]):
            world.invoke(Invoke(Invocation(f"same~{number}", "orders", "run"), scheduled_at=at))
        with closing(Worker(world.settings, world.cluster, lambda: world.cluster.now - _AHEAD_MS)) as worker:
            for passed, started in ((first + _AHEAD_MS, 3), (later + _AHEAD_MS, 4)):
                world.pass_time(passed - world.cluster.now)
                for _ in range(40):
                    worker.step()
                assert len(world.signals()) == started


def test_a_clock_put_back_does_not_stop_time(tmp_path: Path) -> None:
    """The worker's clock was an hour ahead and is put right: what falls due afterwards is started in time."""
    ahead = 3_600_000
    with closing(World(tmp_path)) as world:
        begin = world.cluster.now
        for number, at in enumerate([begin + 1_000, begin + 60_000]):
            world.invoke(Invoke(Invocation(f"same~{number}", "orders", "run"), scheduled_at=at))
        with closing(Worker(world.settings, world.cluster, lambda: world.cluster.now + ahead)) as worker:
            for passed, skew, started in ((2_000, 3_600_000, 1), (65_000, 0, 2)):
                ahead = skew
                world.pass_time(begin + passed - world.cluster.now)
                for _ in range(40):
                    worker.step()
                    world.pass_time(1)
                assert len(world.signals()) == started


def test_a_kill_that_stood_in_the_log_is_not_beaten_by_time(tmp_path: Path) -> None:
    """No worker runs, a schedule falls due after a kill was sent: the next worker starts nothing that it matches."""
    names = [f"due{number}" for number in range(20)]
    with closing(World(tmp_path, max_turn_records=5)) as world:
        at = world.cluster.now + 60_000
        world.invoke(*(Invoke(Invocation(name, "orders", "run"), scheduled_at=at) for name in names))
        world.run_until_idle()
        world.close()
        world.invoke(*(Invoke(Invocation(f"b~{number}", "other", "run"), adopt=True) for number in range(20)))
        world.send(StartBatch("b", Action.KILL, Filter(services=("orders",))), key="b")
        world.pass_time(120_000)
        world.run_until_idle()
        assert world.signals() == []
        assert {world.statuses()[name] for name in names} == {"KILLED"}
