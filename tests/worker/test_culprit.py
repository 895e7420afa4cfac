"""A record whose writes Kafka refuses is found among the others, which are applied."""

from __future__ import annotations

import re
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.config import Topic
from streams.model import Invocation, Invoke
from streams.protocol.routing import partition_of
from support.service.worker_world import PARTITIONS, World

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.long

_TOO_LARGE = b"x" * 60_000


def _limit(world: World, topic: Topic, size: int) -> None:
    """Somebody lowers what a topic takes."""
    world.cluster.topics[world.settings.topic(topic)].config["max.message.bytes"] = str(size)


@given(
    count=st.integers(1, 60),
    culprits=st.sets(st.integers(0, 59), max_size=4),
    most=st.sampled_from([5_000, 7]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@pytest.mark.parametrize("topic", [Topic.CHANGELOG, pytest.param(Topic.SIGNALS, marks=pytest.mark.chaos)])
def test_every_other_command_is_always_applied_and_those_refused_are_dead_letters(
    tmp_path_factory: pytest.TempPathFactory, topic: Topic, count: int, culprits: set[int], most: int
) -> None:
    """However many there are and wherever they stand, on whatever partition; log and changelog tell one story."""
    culprits = {number for number in culprits if number < count}
    folder = tmp_path_factory.mktemp("culprit")
    with closing(World(folder, max_turn_records=most)) as world:
        _limit(world, topic, 50_000)
        world.invoke(
            *(
                Invoke(Invocation(f"i-{n}", "s", "h"), payload=_TOO_LARGE if n in culprits else b"x")
                for n in range(count)
            )
        )
        world.run_until_idle()
        assert world.statuses() == {f"i-{n}": "READY" for n in range(count) if n not in culprits}
        letters = world.cluster.records(world.settings.topic(Topic.DEAD_LETTERS))
        assert sorted(each.key.decode() for each in letters if each.key) == sorted(f"i-{n}" for n in culprits)
        assert {dict(each.headers or ())["error-code"] for each in letters} <= {b"not_writable"}
        world.assert_log_and_changelog_agree()


def test_what_cannot_even_be_a_dead_letter_stops_its_partition_by_name(tmp_path: Path) -> None:
    """Not one record may be passed over, so it says which, and why; the other partition goes on."""
    with closing(World(tmp_path)) as world:
        _limit(world, Topic.SIGNALS, 50_000)
        _limit(world, Topic.DEAD_LETTERS, 50_000)
        world.invoke(Invoke(Invocation("big", "s", "h"), payload=_TOO_LARGE))
        world.run_until_idle()
        worker = world.worker
        assert worker is not None
        (fault,) = [task.fault for task in worker.tasks.values() if task.fault]
        assert re.match(r"partition \d, offset 0: Kafka refuses even the dead letter", fault)
        world.invoke(*(Invoke(Invocation(f"later-{n}", "s", "h")) for n in range(40)))
        world.run_until_idle()
        there = partition_of("big", PARTITIONS)
        on_the_other = [n for n in range(40) if partition_of(f"later-{n}", PARTITIONS) != there]
        assert len(world.signals()) == len(on_the_other) > 0


def test_a_flood_of_dead_letters_has_few_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Twenty of a turn, and how many more there are."""
    with closing(World(tmp_path)) as world:
        for _ in range(500):
            world.log(b"bad", "k", 0)
        world.run_until_idle()
        assert world.published_count(Topic.DEAD_LETTERS) == 500
    told = capsys.readouterr().out
    assert told.count("source_offset") == 20
    assert "further dead letters in this turn" in told
    assert "count=480" in told
