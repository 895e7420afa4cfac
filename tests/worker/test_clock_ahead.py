"""A broker with a wrong clock stamps records far ahead: they are applied, and no partition's time follows them."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from streams import codec
from streams.config import Topic
from streams.model import Act, Action, Filter, ReportTransition, StartBatch, Status, Tick
from streams.worker import observer as observing
from streams.worker.task import STANDING_TICK_GAP_MS
from streams.worker.worker import Worker
from support.kafka.wrong_clock import (
    DAY,
    HOUR,
    TEN_YEARS,
    begun_world,
    clocks,
    invoke,
    letters_of,
    named,
    stamped_after,
    states,
)
from support.service.worker_world import PARTITIONS, World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.kafka.fake_log import Record


@pytest.fixture(autouse=True)
def _seen_each_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observing, "SNAPSHOT_EVERY_S", 0.0)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A service that has begun, with right clocks."""
    with begun_world(tmp_path) as made:
        yield made


def test_nothing_comes_early_and_nothing_stands_still_after_it(world: World) -> None:
    """Schedules, the time of a batch, a grace and a rate are all kept by the right time."""
    begin = world.cluster.now
    world.invoke(invoke("early", scheduled_at=begin + 5 * DAY), invoke("x"), *(invoke(f"m{n}", "m") for n in range(4)))
    world.send(ReportTransition("x", 1, to=Status.RUNNING), key="x")
    world.run_until_idle()
    with world.broker_ahead_by(TEN_YEARS):
        world.invoke(invoke("late", scheduled_at=begin + 5 * DAY), invoke("now"))
        world.send(Act("x", Action.CANCEL, grace_ms=30_000), key="x")
        world.send(StartBatch("e", Action.KILL, Filter(services=("before",)), expires_at=begin + DAY), key="e")
        world.send(StartBatch("r", Action.KILL, Filter(services=("m",)), max_rate=1.0), key="r")
        world.run_until_idle()
    found = world.statuses()
    assert [found[name] for name in ("early", "late", "now", "x")] == ["SCHEDULED", "SCHEDULED", "READY", "CANCELLING"]
    assert {found[f"before-{n}"] for n in range(8)} == {"KILLED"}
    assert states(world)["e"] == "COMPLETED"
    for _ in range(8):
        world.pass_time(5_000)
        world.run_until_idle()
    found = world.statuses()
    assert found["x"] == "KILLED"
    assert {found[f"m{n}"] for n in range(4)} == {"KILLED"}
    assert states(world) == {"e": "COMPLETED", "r": "COMPLETED"}
    assert {found["early"], found["late"]} == {"SCHEDULED"}
    world.pass_time(5 * DAY)
    world.run_until_idle()
    assert {kind for name, kind, *_ in world.signals() if name in {"early", "late"}} == {"START"}
    assert max(clocks(world)) <= world.cluster.now
    world.assert_log_and_changelog_agree()


def test_each_such_record_is_named_once_and_thousands_take_few_letters_and_lines(world: World) -> None:
    """One letter for those that follow one another in a turn, and one line in the log."""
    before = world.cluster.now
    assert world.worker is not None
    turns = world.worker.turns
    world.invoke(invoke("right"))
    with world.broker_ahead_by(TEN_YEARS), capture_logs() as lines:
        world.invoke(*(invoke(f"i{n}") for n in range(3_000)))
        world.run_until_idle()
    world.invoke(invoke("right again"))
    world.run_until_idle()
    turns = world.worker.turns - turns
    places = stamped_after(world, before + DAY)
    assert len(places) >= 3_000
    assert named(world) == places
    assert len(letters_of(world)) <= 2 * turns * PARTITIONS < 50
    told = [line for line in lines if "too far ahead" in line["event"]]
    assert sum(line["records"] for line in told) == len(places)
    assert len([line for line in lines if line["log_level"] == "warning"]) == len(told) <= turns
    assert max(clocks(world)) < before + DAY
    value = world.worker._observer.registry.get_sample_value
    assert value("streams_clock_ahead_total") == len(places)
    assert value("streams_dead_letters_total", {"code": "clock_ahead"}) == len(letters_of(world))
    world.assert_log_and_changelog_agree()


@pytest.mark.parametrize(("ahead", "follows"), [(HOUR, True), (HOUR + 1, False)], ids=["at the bound", "behind it"])
def test_the_bound_itself_is_not_too_far(world: World, ahead: int, follows: bool) -> None:  # noqa: FBT001
    """By the worker's clock when the record is applied."""
    world.close()
    world.invoke(invoke("a"), invoke("b"), invoke("c"))
    stamp = world.cluster.now
    before = []
    with closing(Worker(world.settings, world.cluster, lambda: stamp - ahead)) as worker:
        for _ in range(20):
            worker.step()
            before = [task.running_table.meta.clock for task in worker.tasks.values() if task.table is not None]
        assert len(before) == PARTITIONS
        assert (max(before) == stamp) is follows
    assert (stamped_after(world, stamp - 1) == named(world)) is not follows
    world.assert_log_and_changelog_agree()


def test_a_worker_whose_clock_is_late_applies_all_and_time_goes_on_when_it_is_right(world: World) -> None:
    """Put back by two hours, it takes every stamp for wrong; nothing is lost or comes early."""
    begin = world.cluster.now
    world.broker_ahead = 2 * HOUR
    world.invoke(invoke("soon", scheduled_at=begin + 1_000), invoke("now"))
    world.run_until_idle()
    world.pass_time(10_000)
    world.run_until_idle()
    assert (world.statuses()["soon"], world.statuses()["now"]) == ("SCHEDULED", "READY")
    assert max(clocks(world)) <= begin
    world.broker_ahead = 0
    world.pass_time(STANDING_TICK_GAP_MS)
    world.run_until_idle()
    assert world.statuses()["soon"] == "READY"
    world.assert_log_and_changelog_agree()


def test_a_partition_without_a_clock_begins_with_the_workers(tmp_path: Path) -> None:
    """What its first records do is not dated 1970, where it would be forgotten at once."""
    with closing(World(tmp_path)) as world:
        begin = world.cluster.now
        with world.broker_ahead_by(TEN_YEARS):
            world.invoke(*(invoke(f"i{n}") for n in range(10)))
            world.send(*(Act(f"i{n}", Action.KILL) for n in range(1)), key="i0")
            world.run_until_idle()
            assert all(begin <= clock < begin + HOUR for clock in clocks(world))
            world.assert_log_and_changelog_agree()
        world.invoke(invoke("i0"))
        world.pass_time(HOUR)
        world.run_until_idle()
        assert world.statuses()["i0"] == "KILLED"
        world.assert_log_and_changelog_agree()


def test_bad_records_and_strays_do_not_move_time_either(world: World) -> None:
    """They have a dead letter or a copy of their own, and their places are named as well."""
    before = world.cluster.now
    with world.broker_ahead_by(TEN_YEARS):
        for partition in range(PARTITIONS):
            world.log(b"garbage", "x", partition)
            world.log(codec.encode(invoke("stray")), "stray", partition)
        world.run_until_idle()
    world.run_until_idle()
    assert world.statuses()["stray"] == "READY"
    assert named(world) == stamped_after(world, before + DAY)
    assert sum(letter.code != "clock_ahead" for letter in letters_of(world)) == PARTITIONS
    assert max(clocks(world)) < before + DAY
    world.assert_log_and_changelog_agree()


def test_a_tick_looks_seldom_while_time_stands_still(world: World) -> None:
    """What is due waits for the broker's clock; a tick that could do nothing is not written twenty times a second."""
    world.invoke(*(invoke(f"due~{n}", scheduled_at=world.cluster.now + 10) for n in range(2)))
    world.run_until_idle()
    begin, spent = world.cluster.now, 4 * STANDING_TICK_GAP_MS
    with world.broker_ahead_by(TEN_YEARS):
        world.invoke(invoke("due~2"))
        for _ in range(spent // 100):
            world._alive().step()
            world.pass_time(100)
    ticks = [each for each in _commands(world, begin + DAY) if isinstance(codec.decode(each.value), Tick)]
    assert 0 < len(ticks) <= 6


def _commands(world: World, latest: int) -> list[Record]:
    topic = world.settings.topic(Topic.COMMANDS)
    return [each for each in world.cluster.records(topic) if each.timestamp[1] > latest]


def test_health_says_where_time_stands_still(world: World) -> None:
    """And no longer once it goes on; the worker stays ready, for a restart would not help."""
    assert world.worker is not None
    observer = world.worker._observer
    assert observer.registry.get_sample_value("streams_clock_ahead_total") == 0
    assert "clock_ahead" not in observer.ready().body
    with world.broker_ahead_by(2 * HOUR):
        world.invoke(*(invoke(f"i{n}") for n in range(20)))
        world.run_until_idle()
        verdict = observer.ready()
        assert verdict.ok
        assert set(verdict.body["clock_ahead"]) == {str(partition) for partition in range(PARTITIONS)}
        assert "72" in verdict.body["clock_ahead"]["0"]
    world.invoke(*(invoke(f"j{n}") for n in range(20)))
    world.run_until_idle()
    assert "clock_ahead" not in observer.ready().body
