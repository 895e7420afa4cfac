"""What was stamped too far ahead is applied so by whoever applies the log once more."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.config import Topic
from streams.model import Act, Action, Filter, ReportTransition, StartBatch, Status
from streams.offline.verify import verify
from streams.worker.clock_ahead import Places
from support.effort import examples
from support.kafka.wrong_clock import (
    DAY,
    HOUR,
    TEN_YEARS,
    begun_world,
    clocks,
    invoke,
    letters_of,
    named,
    rows,
    stamped_after,
    states,
)
from support.service.worker_world import PARTITIONS, World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A service that has begun, with right clocks."""
    with begun_world(tmp_path) as made:
        yield made


def test_a_comparison_beside_a_live_worker_knows_what_came_meanwhile(world: World) -> None:
    """Dead letters that are written while the first partition is compared count for the second."""
    came: list[tuple[int, str]] = []

    def progress(partition: int, what: str, *_: int) -> None:
        if what == "commands" and not came:
            came.append((partition, what))
            with world.broker_ahead_by(TEN_YEARS):
                world.invoke(*(invoke(f"i{n}") for n in range(20)))
                world.run_until_idle()

    assert all(verdict.holds for verdict in verify(world.settings, world.cluster, progress))
    assert came
    assert {partition for partition, _ in named(world)} == set(range(PARTITIONS))


def test_a_table_that_is_made_again_of_the_log_is_the_same_though_the_stamps_have_passed(
    world: World, tmp_path: Path
) -> None:
    """The changelog is lost: the workers of a new group follow the dead letters, and name the places once more."""
    begin = world.cluster.now
    with world.broker_ahead_by(2 * HOUR):
        world.invoke(*(invoke(f"i{n}") for n in range(10)))
        world.send(StartBatch("e", Action.KILL, Filter(services=("before",)), expires_at=begin + HOUR), key="e")
        world.run_until_idle()
    world.invoke(*(invoke(f"j{n}") for n in range(4)))
    world.run_until_idle()
    statuses, places, created = world.statuses(), named(world), rows(world)
    assert states(world) == {"e": "COMPLETED"}
    world.close()
    changelog = world.settings.topic(Topic.CHANGELOG)
    config = world.cluster.topics[changelog].config
    world.cluster.delete_topic(changelog)
    world.cluster.create_topic(changelog, PARTITIONS, config)
    world.pass_time(DAY - HOUR)
    changes = {"state_dir": tmp_path / "anew", "group_id": "anew", "shadow": True}
    world.settings = world.settings.model_copy(update=changes)
    world.run_until_idle()
    assert world.statuses() == statuses
    assert rows(world) == created
    assert named(world) == sorted(places * 2)
    assert {letter.message.partition(":")[0] for letter in letters_of(world)[-2:]} == {
        "stamped too far ahead when it was applied before"
    }
    world.assert_log_and_changelog_agree()


def test_a_log_that_is_created_again_has_nothing_at_the_old_places(world: World, tmp_path: Path) -> None:
    """Dead letters of the former topic say nothing of what stands there now."""
    with world.broker_ahead_by(TEN_YEARS):
        world.invoke(*(invoke(f"i{n}") for n in range(10)))
        world.run_until_idle()
    count = world.published_count(Topic.DEAD_LETTERS)
    world.close()
    for topic in map(world.settings.topic, (Topic.COMMANDS, Topic.CHANGELOG)):
        config = world.cluster.topics[topic].config
        world.cluster.delete_topic(topic)
        world.cluster.create_topic(topic, PARTITIONS, config)
    world.settings = world.settings.model_copy(update={"state_dir": tmp_path / "anew"})
    world.invoke(*(invoke(f"i{n}") for n in range(20)))
    world.run_until_idle()
    assert world.published_count(Topic.DEAD_LETTERS) == count
    world.assert_log_and_changelog_agree()


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 10)), max_size=8))
def test_a_place_is_found_however_often_it_is_named(ranges: list[tuple[int, int]]) -> None:
    """One range within another must not hide it."""
    places = Places()
    for first, more in ranges:
        named_by = {"source-offset": first, "source-last-offset": first + more, "partition-clock": 7}
        places.add({name: str(number).encode() for name, number in named_by.items()})
    for offset in range(45):
        within = any(first <= offset <= first + more for first, more in ranges)
        assert places.clock_at(offset) == (7 if within else None)


def _two_turns(world: World) -> tuple[dict[str, str], list[tuple[str, str, int, int, int]]]:
    """Some records that are right, more than a turn of those that are not, and some that are right again."""
    with closing(world):
        begin = world.cluster.now
        world.invoke(*(invoke(f"a{n}") for n in range(4)))
        with world.broker_ahead_by(TEN_YEARS):
            world.invoke(*(invoke(f"i{n}", scheduled_at=begin + DAY if n % 2 else None) for n in range(12)))
            world.run_until_idle()
        world.send(StartBatch("k", Action.KILL, Filter(services=("orders",))), key="k")
        world.invoke(invoke("later"))
        world.run_until_idle()
        world.cluster.faults.cancel()
        assert named(world) == stamped_after(world, begin + DAY)
        world.assert_log_and_changelog_agree()
        return world.statuses(), world.signals()


@pytest.mark.chaos
def test_a_death_at_any_step_names_each_place_once(tmp_path: Path) -> None:
    """What is named was applied so, and what was applied so is named."""
    undisturbed = World(tmp_path / "undisturbed", max_turn_records=5)
    expected = _two_turns(undisturbed)
    deaths = 0
    for number in range(1, len(undisturbed.cluster.faults.steps), 5):
        world = World(tmp_path / str(number), max_turn_records=5)
        world.cluster.faults.crash_at(number)
        assert _two_turns(world) == expected, number
        deaths += world.deaths
    assert deaths > 5


STEPS = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 1_000, HOUR - 1_000, HOUR + 60_000, DAY, TEN_YEARS]),
        st.integers(0, 40_000),
        st.lists(st.integers(0, 5), max_size=4),
        st.booleans(),
    ),
    max_size=8,
)


def _command(world: World, what: int, number: int) -> tuple[Any, str]:
    name, now = f"i{number % 5}", world.cluster.now - world.broker_ahead
    match what:
        case 0:
            return invoke(name), name
        case 1:
            return invoke(f"s{number}", scheduled_at=now + 20_000), f"s{number}"
        case 2:
            return Act(name, Action.CANCEL, grace_ms=10_000), name
        case 3:
            return ReportTransition(name, 1, to=Status.BACKING_OFF, retry_at=now + 5_000), name
        case 4:
            batch = StartBatch(f"b{number}", Action.KILL, Filter(match_all=True), max_rate=1.0, expires_at=now + HOUR)
            return batch, f"b{number}"
        case _:
            return StartBatch(f"c{number}", Action.PAUSE, Filter(match_all=True)), f"c{number}"


@given(steps=STEPS, crash=st.integers(1, 200))
@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_replay_gives_the_same_table_whatever_the_clocks_were(
    steps: list[tuple[int, int, list[int], bool]], crash: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Any clocks of the broker, half of a turn applied by one worker and half by the next, and a death at some step."""
    with closing(World(tmp_path_factory.mktemp("clocks"))) as world:
        world.cluster.faults.crash_at(crash)
        number, latest = 0, world.cluster.now
        for ahead, passed, commands, idle in steps:
            with world.broker_ahead_by(ahead):
                for what in commands:
                    number += 1
                    command, key = _command(world, what, number)
                    world.send(command, key=key)
                if idle:
                    world.run_until_idle()
            world.pass_time(passed)
            latest = max(latest, world.cluster.now + HOUR)
        world.run_until_idle()
        world.cluster.faults.cancel()
        places = named(world)
        assert len(set(places)) == len(places)
        assert max(clocks(world)) <= latest + HOUR
        world.assert_log_and_changelog_agree()
