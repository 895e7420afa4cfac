"""PAUSE, RESUME and PURGE by a whole worker: the table, its changelog and the signals."""

from __future__ import annotations

import shutil
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from streams.model import Act, Action, Filter, Invocation, Invoke, ReportTransition, StartBatch, Status
from support.service.worker_world import World

if TYPE_CHECKING:
    from pathlib import Path

FAR = 10**14
ALL = Filter(match_all=True)


def lived(world: World) -> tuple[dict[str, str], list[tuple[str, str, int, int, int]]]:
    """Statuses and signals of a life in which all is paused, resumed, paused again in part, and the ended purged."""
    with closing(world):
        for n in range(20):
            invocation = Invocation(f"i-{n}", ("orders", "mail")[n % 2], "run")
            world.invoke(Invoke(invocation, FAR if n % 5 == 0 else None, payload=b"p"))
        world.send(StartBatch("pause", Action.PAUSE, ALL), key="pause")
        world.run_until_idle()
        world.send(ReportTransition("i-1", 1, to=Status.COMPLETED), key="i-1")
        world.send(ReportTransition("i-2", 1, to=Status.RUNNING), key="i-2")
        world.send(Act("i-3", Action.RESUME), key="i-3")
        world.send(Act("i-5", Action.KILL), key="i-5")
        world.run_until_idle()
        world.send(StartBatch("resume", Action.RESUME, Filter(services=("mail",))), key="resume")
        world.run_until_idle()
        world.send(StartBatch("purge", Action.PURGE, ALL), key="purge")
        world.run_until_idle()
        world.invoke(Invoke(Invocation("i-1", "mail", "other")))
        world.run_until_idle()
        world.cluster.faults.cancel()
        world.assert_log_and_changelog_agree()
        return world.statuses(), world.signals()


@pytest.mark.parametrize("deaths", [(), (40, 90, 140), (60, 61, 110, 150)])
def test_what_is_paused_goes_on_and_what_has_ended_is_gone_whatever_the_worker_dies_of(
    deaths: tuple[int, ...], tmp_path: Path
) -> None:
    """Each executor hears of each change once; a purged id is free for other content."""
    world = World(tmp_path)
    for step in deaths:
        world.cluster.faults.crash_at(step)
    statuses, signals = lived(world)
    assert world.deaths == len(deaths)
    scheduled, mail = {f"i-{n}" for n in range(0, 20, 5)}, {f"i-{n}" for n in range(1, 20, 2)}
    expected = dict.fromkeys({f"i-{n}" for n in range(20)} - {"i-5"}, "PAUSED")
    expected |= dict.fromkeys(mail - scheduled, "READY") | {"i-15": "SCHEDULED"}
    assert statuses == expected
    kinds = Counter((name, kind, attempt) for name, kind, _, attempt, _ in signals)
    started = {f"i-{n}" for n in range(20)} - scheduled
    wanted = Counter((name, kind, 1) for name in started for kind in ("START", "PAUSE"))
    wanted += Counter((name, "START", 2) for name in mail & started - {"i-1"})
    assert kinds == wanted + Counter([("i-1", "START", 1)])


def test_a_pause_is_restored_from_the_changelog(tmp_path: Path) -> None:
    """Rows that rest on a pause's delta, those that have left it, and those that are gone."""
    world = World(tmp_path)
    statuses, signals = lived(world)
    shutil.rmtree(world.settings.state_dir)
    with closing(world):
        world.run_until_idle()
        assert (world.statuses(), world.signals()) == (statuses, signals)
        world.send(StartBatch("go on", Action.RESUME, ALL), key="go on")
        world.run_until_idle()
        assert set(world.statuses().values()) == {"READY", "SCHEDULED"}
        world.assert_log_and_changelog_agree()
