"""Flows over partitions, by whole workers: members cancelled, whatever happens to workers, and what is published."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

import pytest
from confluent_kafka import KafkaError

from streams import codec
from streams.config import Topic
from streams.model import (
    ActMembers,
    CancelFlow,
    CancelPolicy,
    ContinueFlow,
    FlowAction,
    FlowState,
    Invocation,
    Invoke,
    OnTimeout,
    ReportTransition,
    Status,
    Tick,
)
from streams.protocol.routing import partition_of
from streams.worker.flow_outlet import EVERY_MS
from streams.worker.page_sizes import FIRST
from support.kafka.fake_cluster import failure
from support.service.flow_world import (
    commands,
    kill,
    members,
    newest,
    numbers,
    second_worker,
    served,
    settle,
)
from support.service.worker_world import PARTITIONS, World, deaths_at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streams.worker.worker import Worker

pytestmark = pytest.mark.long

SHARDS = 24
INTERVAL_MS = 15_000


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A worker with two partitions."""
    with closing(World(tmp_path)) as made:
        yield made


# --- dying -------------------------------------------------------------------------------------------------------


class Outcome(NamedTuple):
    """What anybody can see of a run."""

    statuses: dict[str, str]
    signals: list[tuple[str, str, int, int]]
    flows: dict[str, tuple[str, int, int, int, int, int]]
    dead_letters: int


def _scenario(world: World) -> Outcome:
    """A life in short: members that answer, that are killed when their grace ends, that are left, that are kept."""
    with closing(world):
        world.invoke(*members(24), *members(6, "g", "k"), *members(4, "h", "l"))
        parents = [Invoke(Invocation(f"c-{n}", "orders", "run", parent_id="i-0")) for n in range(4)]
        world.run_until_idle()
        world.invoke(*parents)
        world.send(CancelFlow("f", FlowAction.CANCEL, CancelPolicy.CANCEL_ALL, grace_ms=7_000), key="f")
        world.send(CancelFlow("g", FlowAction.CANCEL, CancelPolicy.CANCEL_PENDING), key="g")
        leave = CancelFlow("h", FlowAction.CANCEL, CancelPolicy.CANCEL_ALL, grace_ms=1, on_timeout=OnTimeout.LEAVE)
        world.send(leave, key="h")
        world.run_until_idle()
        world.send(ReportTransition("i-4", 1, to=Status.CANCELLED), key="i-4")
        world.send(ReportTransition("k-0", 1, to=Status.COMPLETED), key="k-0")
        world.invoke(*members(2, "f", "late"))
        world.run_until_idle()
        for _ in range(3):
            world.pass_time(4_000)
            world.run_until_idle()
        steps = len(world.cluster.faults.steps)
        world.cluster.faults.cancel()
        settle(world)
        world.assert_log_and_changelog_agree()
        del world.cluster.faults.steps[steps:]
        flows = {name: numbers(each) for name, each in newest(world).items()}
        # Offsets of what comes later depend on the records of turns that were aborted.
        signals = [(name, kind, attempt, repeat) for name, kind, _, attempt, repeat in world.signals()]
        return Outcome(world.statuses(), signals, flows, world.published_count(Topic.DEAD_LETTERS))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, list[str]]:
    """The scenario without a fault, and the steps it took."""
    world = World(tmp_path_factory.mktemp("undisturbed"))
    outcome = _scenario(world)
    return outcome, list(world.cluster.faults.steps)


def test_the_undisturbed_run_is_what_the_protocol_says(undisturbed: tuple[Outcome, list[str]]) -> None:
    """Each flow ends as its policy says, and its children with their parent."""
    outcome, _ = undisturbed
    assert outcome.flows == {
        "f": ("CANCELLED", 0, 0, 26, 0, 0),
        "g": ("CANCELLED", 0, 0, 4, 2, 0),
        "h": ("PARTIALLY_CANCELLED", 0, 0, 2, 0, 2),
    }
    states = {name: Counter(s for i, s in outcome.statuses.items() if i.startswith(f"{name}-")) for name in "iklc"}
    assert states["i"] == {"CANCELLED": 13, "KILLED": 11}
    assert states["k"] == {"CANCELLED": 3, "COMPLETED": 1, "READY": 2}
    assert states["l"] == {"CANCELLED": 2, "CANCELLING": 2}
    assert states["c"] == {"KILLED": 4}
    assert outcome.dead_letters == 0
    assert len(set(outcome.signals)) == len(outcome.signals)


@pytest.mark.parametrize(
    "shard",
    # Every twenty-fourth step is quick enough for each change; `make test` has them all.
    [0, *(pytest.param(shard, marks=pytest.mark.chaos) for shard in range(1, SHARDS))],
)
def test_a_death_at_any_step_changes_nothing(
    shard: int, tmp_path: Path, undisturbed: tuple[Outcome, list[str]]
) -> None:
    """For every step of every client: die there, start again, and the outcome is the same."""
    expected, steps = undisturbed
    chosen = range(shard, len(steps), SHARDS)
    deaths = deaths_at({number: steps[number] for number in chosen}, tmp_path, _scenario, expected)
    assert deaths >= len(chosen) - 1, "a run with other page sizes may be a few steps shorter, not many"


@pytest.mark.parametrize("name", ["produce_batch", "send_offsets", "commit:before"])
def test_an_aborted_turn_changes_nothing(name: str, tmp_path: Path, undisturbed: tuple[Outcome, list[str]]) -> None:
    """Its input is read again, and what it would have published is published then."""
    expected, steps = undisturbed
    for nth in range(1, 1 + steps.count(name), 5):
        world = World(tmp_path / str(nth))
        world.cluster.faults.fail(name, failure(KafkaError.ILLEGAL_GENERATION, abortable=True), nth)
        assert _scenario(world) == expected, f"{name}, number {nth}"


# --- several workers -----------------------------------------------------------------------------------------------


def test_a_takeover_in_the_middle_of_a_dispatch_changes_nothing(world: World, tmp_path: Path) -> None:
    """The flow's partition and that of most members go to another worker between two pages."""
    world.invoke(*members(3_000))
    world.run_until_idle()
    first = world._alive()
    first.sizes._first = FIRST._replace(max_asked=1_000, max_members=250)
    world.send(kill(), key="f")
    served(world, first, until=lambda: len(commands(world, ContinueFlow)) > 1)
    assert sum(len(each.seqs) for each in commands(world, ActMembers)) < 3_000
    with second_worker(world, tmp_path) as second:
        served(world, first, second, until=lambda: newest(world)["f"].state is FlowState.CANCELLED)
        served(world, first, second, rounds=EVERY_MS + 10)
        assert numbers(newest(world)["f"]) == ("CANCELLED", 0, 0, 3_000, 0, 0)
    killed = [name for name, kind, *_ in world.signals() if kind == "KILL"]
    assert len(killed) == len(set(killed)) == 1_500
    world.assert_log_and_changelog_agree()


def _flow_of(worker: Worker) -> str:
    """A flow that lives on the worker's only partition."""
    (partition,) = worker.tasks
    return next(name for name in map(str, range(100)) if partition_of(name, PARTITIONS) == partition)


def _killed_flow(world: World, first: Worker, second: Worker) -> tuple[str, int]:
    """A flow of 80 on the first worker, killed while the second does nothing: its id, and how many members wait."""
    flow_id = _flow_of(first)
    world.invoke(*members(80, flow_id))
    served(world, first, second)
    world.send(kill(flow_id), key=flow_id)
    served(world, first)
    waiting = newest(world)[flow_id].pending
    assert 0 < waiting < 80
    return flow_id, waiting


@pytest.mark.parametrize("lost", [False, True], ids=["not served", "dead letter"])
def test_members_that_nobody_answers_for_are_asked_again(*, lost: bool, world: World, tmp_path: Path) -> None:
    """Their partition is not served, or the order to it is lost: the reconciler's ticks ask again, with a backoff."""
    with second_worker(world, tmp_path) as second:
        first = world._alive()
        flow_id, there = _killed_flow(world, first, second)
        (elsewhere,) = second.tasks
        ticks = len(commands(world, Tick))
        for _ in range(7):
            world.pass_time(INTERVAL_MS)
            served(world, first, rounds=20)
        # After 15 s, 45 s and 90 s: the interval, and a wait that doubles.
        assert len(commands(world, Tick)) - ticks == 3
        orders = [each for each in commands(world, ActMembers) if each.partition == elsewhere]
        assert [len(each.seqs) for each in orders] == [there] * len(orders)
        assert len(orders) == 4
        assert {each.cause.reason for each in orders} == {"because"}
        counted = first._observer.registry.get_sample_value
        assert counted("streams_reconciled_total", {"what": "flows"}) == 3
        assert counted("streams_reconciled_total", {"what": "members"}) == 3 * there
        assert counted("streams_reconciled_total", {"what": "in_vain"}) == 2
        (cycle,) = (task.cycle for task in first.tasks.values())
        assert (cycle.processed, cycle.errors) == (there, 1)
        if lost:
            log = world.cluster.topics[world.commands].logs[elsewhere]
            for record in log.records:
                if record.value and isinstance(codec.decode(record.value), ActMembers):
                    record.value = b"lost"
            served(world, first, second)
            assert newest(world)[flow_id].pending == there, "without the reconciler they stay"
            world.pass_time(600_000)
        served(world, first, second, rounds=EVERY_MS + 100)
        assert numbers(newest(world)[flow_id]) == ("CANCELLED", 0, 0, 80, 0, 0)
        assert not newest(world)[flow_id].backlog
        world.assert_log_and_changelog_agree()


def test_the_reconciler_looks_only_at_members_with_its_labels(tmp_path: Path) -> None:
    """A Tick names the labels before anybody joins; the others stay where they are."""
    with closing(World(tmp_path, reconcile_labels={"team": "a"})) as world:
        world.run_until_idle()
        assert {tuple(tick.reconcile_labels.items()) for tick in commands(world, Tick)} == {(("team", "a"),)}
        assert len(commands(world, Tick)) == PARTITIONS
        for task in world._alive().tasks.values():
            assert task.running_table.meta.reconcile_labels == {"team": "a"}
        settle(world)
        assert len(commands(world, Tick)) == PARTITIONS, "once is enough"


def test_pages_of_flows_are_counted_against_the_budget(world: World) -> None:
    """Those that ask, and those that act, learn their sizes."""
    world.invoke(*members(4_000))
    world.run_until_idle()
    world._alive().sizes._first = FIRST._replace(max_asked=1_000, max_members=250)
    world.send(kill(), key="f")
    world.run_until_idle()
    sizes = [world._alive().sizes.others(partition) for partition in range(PARTITIONS)]
    assert any(each.max_members != 250 for each in sizes)
    assert any(each.max_asked != 1_000 for each in sizes)


def test_a_turn_that_is_aborted_leaves_the_reconcilers_gauges_alone(world: World, tmp_path: Path) -> None:
    """What it has done is done again, and counted once."""
    with second_worker(world, tmp_path) as second:
        first = world._alive()
        _, there = _killed_flow(world, first, second)
        for nth in (1, 2, 3):
            world.cluster.faults.fail("commit:before", failure(KafkaError.ILLEGAL_GENERATION, abortable=True), nth)
        world.pass_time(INTERVAL_MS)
        served(world, first, rounds=200)
        (cycle,) = (task.cycle for task in first.tasks.values())
        assert (cycle.processed, cycle.errors) == (there, 0)
