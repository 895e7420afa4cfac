"""The cancel reconciler: the safety net for members whose partition does not answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from streams.engine.answers import PageSizes
from streams.engine.flow_ticks import MAX_FLOWS, MAX_RECHECKED
from streams.engine.flows import state_of
from streams.model import (
    Act,
    Action,
    ActMembers,
    CancelFlow,
    CancelPolicy,
    ContinueFlow,
    Flow,
    FlowAction,
    FlowState,
    Status,
)
from streams.protocol.routing import partition_of
from support.tables.memory_cluster import MemoryCluster, invoke

if TYPE_CHECKING:
    from streams.engine.effects import Effect

PARTITIONS = 2
INTERVAL = 15_000


class Silent(MemoryCluster):
    """A cluster on which orders to act on members are lost, as long as `silent` says so of their partition."""

    def __init__(self, rows: int = 100) -> None:
        super().__init__(PARTITIONS, PageSizes(rows, rows))
        self.silent: set[int] = set()
        self.lost = 0

    def step(self, partition: int) -> list[Effect]:
        """Drop the next command instead, if it is lost."""
        _, command = self.logs[partition][self.applied[partition]]
        if isinstance(command, ActMembers) and partition in self.silent:
            self.applied[partition] += 1
            self.lost += len(command.seqs)
            return []
        return super().step(partition)


def on(partition: int, stem: str, count: int) -> list[str]:
    """Ids that live on a partition."""
    found: list[str] = []
    number = 0
    while len(found) < count:
        if partition_of(f"{stem}{number}", PARTITIONS) == partition:
            found.append(f"{stem}{number}")
        number += 1
    return found


def flow(world: MemoryCluster, flow_id: str) -> Flow:
    """The named flow."""
    return world.tables[partition_of(flow_id, PARTITIONS)].flows[False, flow_id]


def kill(flow_id: str) -> CancelFlow:
    """A kill of the whole flow."""
    return CancelFlow(flow_id, FlowAction.KILL, CancelPolicy.CANCEL_ALL, reason=f"because of {flow_id}")


def test_what_was_not_answered_is_asked_again_until_it_is() -> None:
    """Without the reconciler members stay; with it they end once their partition is served, for the flow's reason."""
    world = Silent()
    names = on(0, "m", 20)
    world.run(*(invoke(name, flow_id="f") for name in names))
    world.silent = {0}
    world.run(kill("f"))
    assert world.lost == 20
    assert {world.row(name).status for name in names} == {Status.READY}
    world.silent = set()
    world.run()
    assert {world.row(name).status for name in names} == {Status.READY}
    world.tick(INTERVAL)
    assert {world.row(name).status for name in names} == {Status.KILLED}
    assert {row.ending.cause.reason for name in names if (row := world.row(name)).ending} == {"because of f"}
    assert state_of(flow(world, "f")) is FlowState.CANCELLED
    assert flow(world, "f").due_at is None


def test_a_flow_is_due_an_interval_after_its_deadline() -> None:
    """And not a millisecond before: its members have their grace, and their partition has time to answer."""
    world = Silent()
    world.run(*(invoke(name, flow_id="f") for name in on(0, "m", 3)))
    world.silent = {0}
    world.run(CancelFlow("f", FlowAction.CANCEL, CancelPolicy.CANCEL_ALL, grace_ms=5_000))
    world.tick(5_000 + INTERVAL - 1)
    assert world.lost == 3
    world.tick(1)
    assert world.lost == 6


def test_a_flow_whose_members_have_all_answered_asks_nobody_again_and_gets_its_next_time() -> None:
    """Their end is awaited; the flow does not keep the place of another."""
    world = Silent()
    (name,) = on(0, "m", 1)
    world.run(invoke(name, flow_id="f"), Act(name, Action.CANCEL, grace_ms=600_000))
    world.run(CancelFlow("f", FlowAction.CANCEL, CancelPolicy.CANCEL_ALL, grace_ms=0))
    orders = [len([each for _, each in log if isinstance(each, ActMembers)]) for log in world.logs]
    for tries in (1, 2):
        due_at = flow(world, "f").due_at
        assert due_at is not None
        world.tick(due_at + INTERVAL - world.now)
        found = flow(world, "f")
        assert (found.tries, found.due_at) == (tries, world.now + (INTERVAL << tries - 1))
    assert orders == [len([each for _, each in log if isinstance(each, ActMembers)]) for log in world.logs]
    assert world.row(name).status is Status.CANCELLING


def test_a_due_flow_backs_off() -> None:
    """Its next time doubles, up to ten minutes."""
    world = Silent()
    world.run(*(invoke(name, flow_id="f") for name in on(0, "m", 3)))
    world.silent = {0}
    world.run(kill("f"))
    waits = []
    for _ in range(9):
        due_at = flow(world, "f").due_at
        assert due_at is not None
        world.tick(max(0, due_at + INTERVAL - world.now))
        after = flow(world, "f").due_at
        assert after is not None
        waits.append(after - world.now)
    assert waits == [min(INTERVAL << n, 600_000) for n in range(9)]


def test_a_member_is_asked_once_each_time_its_flow_is_chosen() -> None:
    """Whichever partition the last turn ended with."""
    world = Silent()
    world.run(*(invoke(name, flow_id="f") for partition in range(PARTITIONS) for name in on(partition, "m", 5)))
    world.silent = set(range(PARTITIONS))
    world.run(kill("f"))
    lost = [world.lost]
    for _ in range(4):
        world.tick(600_000 + INTERVAL)
        lost.append(world.lost)
    assert lost == [10, 20, 30, 40, 50]


def test_stuck_flows_do_not_starve_the_others() -> None:
    """Sixty flows that nobody answers, and a good one after them: it is done within two turns of the reconciler."""
    world = Silent()
    stuck = [f"stuck{n}" for n in range(60)]
    for name in stuck:
        world.run(*(invoke(member, flow_id=name) for member in on(0, f"{name}-", 3)))
    good = on(1, "good", 5)
    world.run(*(invoke(member, flow_id="good") for member in good))
    world.silent = {0}
    world.run(*(kill(name) for name in stuck))
    world.silent = {0, 1}
    world.run(kill("good"))
    world.silent = {0}
    world.tick(INTERVAL)
    world.tick(INTERVAL)
    assert {world.row(member).status for member in good} == {Status.KILLED}
    assert state_of(flow(world, "good")) is FlowState.CANCELLED


def test_at_most_fifty_flows_are_chosen_in_an_interval() -> None:
    """However many Ticks there are, and however small they are."""
    world = Silent()
    names = [f"s{n}" for n in range(200)]
    for name in names:
        world.run(invoke(on(0, f"{name}-", 1)[0], flow_id=name))
    world.silent = {0}
    world.run(*(kill(name) for name in names))
    for _ in range(3):
        world.tick(INTERVAL, max_rows=7)
        world.tick(1, max_rows=7)
    for table in world.tables:
        chosen = sum(flow.tries for flow in table.flows.values())
        assert 0 < chosen <= 3 * MAX_FLOWS


def test_at_most_five_hundred_members_are_asked_again_and_in_rotation() -> None:
    """The rest has its turn next time: nobody is starved by the first of them."""
    world = Silent()
    names = on(0, "m", 1_300)
    world.run(*(invoke(name, flow_id="f") for name in names))
    world.silent = {0}
    world.run(kill("f"))
    asked = []
    for _ in range(3):
        before = len(world.logs[0])
        due_at = flow(world, "f").due_at
        assert due_at is not None
        world.tick(max(0, due_at + INTERVAL - world.now))
        asked.append([seq for _, each in world.logs[0][before:] if isinstance(each, ActMembers) for seq in each.seqs])
    assert [len(seqs) for seqs in asked] == [MAX_RECHECKED] * 3
    assert len({seq for seqs in asked for seq in seqs}) == 1_300


def test_half_of_the_members_never_answer_and_the_others_are_done() -> None:
    """As if those were not there: a partition's share of unanswered members is its own."""
    world = Silent(5_000)
    dead, living = on(0, "m", 12_000), on(1, "m", 12_000)
    world.run(*(invoke(name, flow_id="f") for name in (*dead, *living)))
    world.silent = {0}
    world.run(kill("f"))
    assert {world.row(name).status for name in living} == {Status.KILLED}
    assert flow(world, "f").pending == 12_000
    assert world.lost == 10_000


def test_a_filter_of_labels_leaves_other_members_where_they_are() -> None:
    """They stay in the backlog, and their flow does not keep its place. Entries hold the labels that it looks at."""
    world = Silent()
    labels = {"tier": "gold"}
    for table in world.tables:
        table.meta = replace(table.meta, reconcile_labels=labels)
    gold, other = on(0, "g", 3), on(0, "o", 3)
    world.run(*(invoke(name, flow_id="f", labels={"tier": "gold", "x": "y"}) for name in gold))
    world.run(*(invoke(name, flow_id="f", labels={"x": "y"}) for name in other))
    entries = [each.labels for table in world.tables for each in table.entries.values()]
    assert sorted(map(len, entries)) == [0] * 3 + [1] * 3
    assert all(each in ({}, labels) for each in entries)
    world.silent = {0}
    world.run(kill("f"))
    world.silent = set()
    for tries in (1, 2):
        world.now = (flow(world, "f").due_at or 0) + INTERVAL
        ticks = [world.next_tick(partition, table) for partition, table in enumerate(world.tables)]
        world.run(*(replace(tick, reconcile_labels=labels) for tick in ticks))
        assert {world.row(name).status for name in gold} == {Status.KILLED}
        assert {world.row(name).status for name in other} == {Status.READY}
        found = flow(world, "f")
        assert (found.pending, found.tries, found.due_at) == (3, tries, world.now + (INTERVAL << tries - 1))


def test_who_has_not_answered_is_asked_again_once_in_a_turn() -> None:
    """From the first member to the last, and not from the beginning once more; on one partition as on two."""
    world = Silent()
    world.run(*(invoke(name, flow_id="f") for name in (*on(0, "m", 3), *on(1, "m", 3))))
    world.silent = {0, 1}
    world.run(kill("f"))
    for _ in range(3):
        due_at, lost = flow(world, "f").due_at, world.lost
        assert due_at is not None
        world.tick(max(0, due_at + INTERVAL - world.now))
        assert world.lost - lost == 6


def test_a_tick_that_kills_a_parent_leaves_the_deadline_of_its_children() -> None:
    """They are killed by the end of its grace: the flow that the tick would choose as well is that of a new cancel."""
    world = Silent()
    parent, child = on(0, "p", 1)[0], on(1, "c", 1)[0]
    world.run(invoke(parent), invoke(child, parent_id=parent))
    world.silent = {1}
    world.run(Act(parent, Action.CANCEL, grace_ms=INTERVAL))
    world.tick(2 * INTERVAL)
    found = world.tables[0].flows[True, parent]
    assert (found.action, found.due_at) == (FlowAction.KILL, world.now)
    assert not [each for log in world.logs for _, each in log if isinstance(each, ContinueFlow)]
