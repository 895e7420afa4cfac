"""Exactly once: whatever step the worker dies at, the world is as if it had not."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

import pytest
from confluent_kafka import KafkaError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.config import Topic
from streams.model import Act, Action, Filter, Invocation, Invoke, OnTimeout, ReportTransition, StartBatch, Status
from streams.state.store import Store
from support.effort import examples
from support.kafka.fake_cluster import Crash, failure
from support.service.worker_world import World, deaths_at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.long

FAR = 10**14
SHARDS = 16


class Outcome(NamedTuple):
    """What anybody can see of a run."""

    statuses: dict[str, str]
    signals: list[tuple[str, str, int, int, int]]
    counters: dict[Any, Any]
    dead_letters: int


@contextmanager
def _store_commits_are_steps(world: World) -> Iterator[None]:
    """SQLite's commits count as steps of the cluster, before and after."""
    commit = Store.commit

    def counted(self: Store, changelog_position: int, saved_at: int) -> None:
        world.cluster.faults.step("store:before")
        commit(self, changelog_position, saved_at)
        world.cluster.faults.step("store:after")

    with patch.object(Store, "commit", counted):
        yield


def _scenario(world: World) -> Outcome:
    """A life in short: starts, schedules, reports, a conflict, garbage, a kill undone, a cancel that times out."""
    with closing(world), _store_commits_are_steps(world):
        ids = [f"i-{n}" for n in range(24)]
        for n, name in enumerate(ids):
            service = ("orders", "mail", "bank")[n % 3]
            world.invoke(
                Invoke(Invocation(name, service, "run"), FAR if n % 2 else None, payload=b"p" if n < 4 else None)
            )
        world.invoke(Invoke(Invocation("i-0", "other", "run")))
        world.log(b"garbage", "x", 0)
        world.send(ReportTransition("i-2", 1, report_no=1, to=Status.RUNNING), key="i-2")
        world.send(ReportTransition("i-8", 1, to=Status.BACKING_OFF, retry_at=world.cluster.now + 5_000), key="i-8")
        world.send(StartBatch("kill", Action.KILL, Filter(services=("orders",))), key="kill")
        world.send(StartBatch("cancel", Action.CANCEL, Filter(services=("mail",)), grace_ms=7_000), key="cancel")
        leave = StartBatch("leave", Action.CANCEL, Filter(services=("bank",)), grace_ms=1, on_timeout=OnTimeout.LEAVE)
        world.send(leave, key="leave")
        world.run_until_idle()
        world.send(ReportTransition("i-4", 1, to=Status.CANCELLED), key="i-4")
        world.send(ReportTransition("i-10", 1, to=Status.COMPLETED), key="i-10")
        world.send(Act("i-16", Action.KILL), key="i-16")
        world.run_until_idle()
        world.send(StartBatch("undo", Action.RESTART, Filter(batch_ids=("kill",))), key="undo")
        world.send(Act("i-4", Action.RESTART), key="i-4")
        world.run_until_idle()
        for _ in range(3):
            world.pass_time(4_000)
            world.run_until_idle()
        steps = len(world.cluster.faults.steps)
        world.cluster.faults.cancel()
        world.assert_log_and_changelog_agree()
        del world.cluster.faults.steps[steps:]
        dead = world.published_count(Topic.DEAD_LETTERS)
        return Outcome(world.statuses(), world.signals(), world.counters(), dead)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, list[str]]:
    """The scenario without a fault, and the steps it took."""
    world = World(tmp_path_factory.mktemp("undisturbed"))
    outcome = _scenario(world)
    return outcome, list(world.cluster.faults.steps)


def test_the_undisturbed_run_is_what_the_protocol_says(undisturbed: tuple[Outcome, list[str]]) -> None:
    """Each batch ends its own, and every counter adds up."""
    outcome, steps = undisturbed
    by_batch: dict[str, list[int]] = {}
    for (batch_id, _), (state, *numbers) in outcome.counters.items():
        assert state == "COMPLETED"
        sums = by_batch.setdefault(batch_id, [0] * 5)
        by_batch[batch_id] = [a + b for a, b in zip(sums, numbers, strict=True)]
    assert by_batch["kill"] == [8, 8, 0, 0, 0]
    assert by_batch["cancel"] == [8, 6, 0, 2, 0]
    assert by_batch["leave"][0] == 8
    assert by_batch["undo"] == [8, 8, 0, 0, 0]
    assert {outcome.statuses[f"i-{n}"] for n in (0, 4, 6)} == {"READY"}
    assert outcome.dead_letters == 2
    assert len(set(outcome.signals)) == len(outcome.signals)
    assert {"begin", "produce_batch", "send_offsets", "commit:before", "commit:after", "store:before"} <= set(steps)


@pytest.mark.parametrize(
    "shard",
    # Every sixteenth step is quick enough for each change; `make test` has them all.
    [0, *(pytest.param(shard, marks=pytest.mark.chaos) for shard in range(1, SHARDS))],
)
def test_a_death_at_any_step_changes_nothing(
    shard: int, tmp_path: Path, undisturbed: tuple[Outcome, list[str]]
) -> None:
    """For every step of every client and store: die there, start again, and the outcome is the same."""
    expected, steps = undisturbed
    numbers = range(shard, len(steps), SHARDS)
    deaths = deaths_at({number: steps[number] for number in numbers}, tmp_path, _scenario, expected)
    assert deaths > 0.9 * len(numbers), "a run with other page sizes may be a few steps shorter, not many"


TRANSACTIONAL = ("begin", "produce_batch", "send_offsets", "commit:before", "commit:after")


@pytest.mark.parametrize(
    ("error", "names"),
    [
        pytest.param({"code": KafkaError._TIMED_OUT, "retriable": True}, TRANSACTIONAL[2:], id="no answer, once"),
        pytest.param({"code": KafkaError.ILLEGAL_GENERATION, "abortable": True}, TRANSACTIONAL[1:4], id="abortable"),
        pytest.param(
            {"code": KafkaError._STATE}, ("produce_batch",), id="failed before a record", marks=pytest.mark.chaos
        ),
        pytest.param(
            {"code": KafkaError._FENCED, "fatal": True},
            TRANSACTIONAL,
            id="fatal, outcome unknown",
            marks=pytest.mark.chaos,
        ),
    ],
)
def test_an_error_in_a_transaction_changes_nothing(
    error: dict[str, Any], names: tuple[str, ...], tmp_path: Path, undisturbed: tuple[Outcome, list[str]]
) -> None:
    """The transaction is tried again, aborted and read again, or settled by a new producer: the outcome is the same.

    Every step's name, each fourth time that it comes.
    """
    expected, steps = undisturbed
    for name in names:
        for nth in range(1, 1 + steps.count(name), 4):
            world = World(tmp_path / f"{name}-{nth}")
            world.cluster.faults.fail(name, failure(**error), nth)
            assert _scenario(world) == expected, f"{name}, number {nth}"
            assert world.deaths == 0


@pytest.mark.chaos
@given(data=st.data())
@settings(max_examples=examples(15), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_deaths_in_a_row_change_nothing(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory, undisturbed: tuple[Outcome, list[str]]
) -> None:
    """A worker that dies several times, while it recovers too, loses and repeats nothing."""
    expected, steps = undisturbed
    world = World(tmp_path_factory.mktemp("deaths"))
    for number in data.draw(st.sets(st.integers(0, len(steps)), min_size=2, max_size=6), label="steps"):
        world.cluster.faults.crash_at(number, Crash(f"step {number}"))
    assert _scenario(world) == expected
