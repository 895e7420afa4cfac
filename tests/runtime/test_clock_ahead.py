"""A broker with a wrong clock stamps records far ahead: they are applied, and no partition's time follows them."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from streams import codec
from streams.client import DeadLetter, DeadLetterReader
from streams.config import Topic
from streams.model import (
    Act,
    Action,
    BatchHeader,
    Filter,
    Invocation,
    Invoke,
    ReportTransition,
    StartBatch,
    Status,
    Tick,
)
from streams.runtime import observer as observing
from streams.runtime.ahead import Places
from streams.runtime.task import STANDING_TICK_GAP_MS
from streams.runtime.verify import verify
from streams.runtime.worker import Worker
from support.effort import examples
from support.worker_world import PARTITIONS, World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.fake_log import Record

HOUR = 3_600_000
DAY = 24 * HOUR
TEN_YEARS = 3_650 * DAY


@pytest.fixture(autouse=True)
def _seen_each_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observing, "SEEN_EVERY_S", 0.0)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A service that has begun, with right clocks."""
    with closing(World(tmp_path)) as made:
        made.invoke(*(Invoke(Invocation(f"before-{n}", "before", "run")) for n in range(8)))
        made.run_until_idle()
        yield made


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


def test_a_comparison_beside_a_live_worker_knows_what_came_meanwhile(world: World) -> None:
    """Dead letters that are written while the first partition is compared count for the second."""
    came = []

    def progress(partition: int, what: str, *_: int) -> None:
        if what == "commands" and not came:
            came.append((partition, what))
            with world.broker_ahead_by(TEN_YEARS):
                world.invoke(*(invoke(f"i{n}") for n in range(20)))
                world.run_until_idle()

    assert all(verdict.holds for verdict in verify(world.settings, world.cluster, progress))
    assert came
    assert {partition for partition, _ in named(world)} == set(range(PARTITIONS))


def test_a_table_that_is_made_of_the_log_anew_is_the_same_though_the_stamps_have_passed(
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


def test_a_log_that_is_made_anew_has_nothing_at_the_old_places(world: World, tmp_path: Path) -> None:
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
