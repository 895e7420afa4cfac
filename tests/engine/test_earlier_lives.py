"""A record about a member's earlier life that comes after its RESTART: a dead letter that is replayed, say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.engine.answers import PageSizes
from streams.model import (
    ENGINE_VERSION,
    Act,
    Action,
    CancelFlow,
    CancelPolicy,
    FlowAction,
    JoinFlow,
    MemberAck,
    MemberEnded,
    OnTimeout,
    ReportTransition,
    Status,
)
from streams.protocol.routing import partition_of
from support.tables.memory_cluster import MemoryCluster, invoke

if TYPE_CHECKING:
    from streams.model import Command, Flow

KILL = CancelFlow("f", FlowAction.KILL, CancelPolicy.CANCEL_ALL)
CANCEL = CancelFlow("f", FlowAction.CANCEL, CancelPolicy.CANCEL_ALL, grace_ms=5_000, on_timeout=OnTimeout.LEAVE)
NAMES = ("m0", "m1", "m2", "m3")
RESTARTS = tuple(Act(name, Action.RESTART) for name in NAMES)


def cluster() -> MemoryCluster:
    """A flow with four started members on several partitions."""
    world = MemoryCluster(3, PageSizes(4, 3))
    world.run(*(invoke(name, flow_id="f") for name in NAMES))
    return world


def flow(world: MemoryCluster) -> Flow:
    """The flow."""
    return world.tables[partition_of("f", 3)].flows[False, "f"]


def numbers(world: MemoryCluster) -> tuple[int, int, int, int, int]:
    """live, pending, ended, kept and failed members."""
    found = flow(world)
    return found.live, found.pending, found.ended, found.kept, found.failed


def statuses(world: MemoryCluster) -> set[Status]:
    """Of all rows."""
    return {row.status for table in world.tables for row in table.rows.values()}


def without(world: MemoryCluster, kind: type[MemberEnded | MemberAck], *commands: Command) -> list[Command]:
    """Log the commands and apply everything but records of this kind, which are returned."""
    world.send(*commands)
    left: list[Command] = []
    while waiting := world.waiting():
        for partition in waiting:
            _, command = world.logs[partition][world.applied[partition]]
            if isinstance(command, kind):
                left.append(command)
                world.applied[partition] += 1
            else:
                world.step(partition)
    return left


def test_a_restart_tells_an_open_flow_of_the_end_before_it() -> None:
    """So the end drops nobody when it is told at last, and the next one does."""
    world = cluster()
    ended = without(world, MemberEnded, *(Act(name, Action.KILL) for name in NAMES))
    assert numbers(world) == (4, 0, 0, 0, 0)
    world.run(*RESTARTS)
    assert numbers(world) == (4, 0, 4, 0, 0)
    world.run(*ended)
    assert numbers(world) == (4, 0, 4, 0, 0)
    world.run(KILL)
    assert (statuses(world), numbers(world)) == ({Status.KILLED}, (0, 0, 8, 0, 0))
    assert not any(table.entries for table in world.tables)


def test_a_restart_exempts_whom_a_cancelled_flow_has_asked() -> None:
    """Its cancel was for the life before, and is not repeated; the next one reaches the member."""
    world = cluster()
    ended = without(world, MemberEnded, KILL)
    assert numbers(world) == (0, 4, 0, 0, 0)
    world.run(*RESTARTS)
    assert (numbers(world), flow(world).asked, flow(world).due_at) == ((0, 0, 4, 4, 0), (), None)
    world.tick(60_000)
    world.run(*ended)
    assert (statuses(world), numbers(world)) == ({Status.READY}, (0, 0, 4, 4, 0))
    world.run(KILL, *ended)
    assert (statuses(world), numbers(world), flow(world).restarted) == ({Status.KILLED}, (0, 0, 8, 0, 0), 0)
    assert not any(table.entries for table in world.tables)


def test_the_end_of_a_childs_earlier_life_leaves_it_its_parent() -> None:
    """The flow of children goes with the last of them that lives."""
    world = cluster()
    world.run(invoke("c", parent_id="m0"))
    ended = without(world, MemberEnded, Act("c", Action.KILL))
    world.run(Act("c", Action.RESTART))
    world.run(*ended)
    world.run(Act("m0", Action.KILL))
    assert world.row("c").status is Status.KILLED
    assert not any(children for table in world.tables for children, _ in table.flows)


def test_a_failure_of_an_earlier_life_does_not_concern_the_next_cancel() -> None:
    """It waits for the end of who has joined again."""
    world = cluster()
    world.run(CANCEL)
    world.now += 5_000
    failed = without(world, MemberAck, *(world.next_tick(number, table) for number, table in enumerate(world.tables)))
    assert failed
    world.run(*(ReportTransition(name, 1, to=Status.CANCELLED) for name in NAMES))
    world.run(*RESTARTS)
    world.run(CANCEL)
    before = flow(world)
    assert numbers(world) == (0, 4, 4, 0, 0)
    world.run(*failed)
    assert flow(world) == before


def test_a_join_that_comes_twice_counts_once() -> None:
    """The second one tells of the life that the member has."""
    world = cluster()
    world.run(Act("m0", Action.KILL), Act("m0", Action.RESTART))
    before = flow(world)
    world.run(*(each for log in world.logs for _, each in log if isinstance(each, JoinFlow) and each.restarted))
    assert flow(world) == before
    assert world.counts["stale_member"] == 1


def test_a_member_without_a_row_leaves_whatever_was_told_of_its_life() -> None:
    """No worker writes such a join, but anybody can: the answer that there is no such row removes it."""
    world = cluster()
    home, place = partition_of("f", 3), partition_of("m0", 3)
    world.run(JoinFlow(ENGINE_VERSION, home, "f", False, place, (9_999,), restarted=True, restarted_seq=2**63 - 1))
    assert numbers(world) == (5, 0, 0, 0, 0)
    world.run(KILL)
    assert numbers(world) == (0, 0, 5, 0, 0)


def test_a_record_that_does_not_tell_its_place_is_believed() -> None:
    """It may be of the life that the member has now."""
    world = cluster()
    world.run(Act("m0", Action.KILL), Act("m0", Action.RESTART))
    seq, place = world.row("m0").seq, partition_of("m0", 3)
    world.run(MemberEnded(ENGINE_VERSION, partition_of("f", 3), "f", False, place, (seq,)))
    assert numbers(world) == (3, 0, 2, 0, 0)
    assert sum(len(table.entries) for table in world.tables) == 3
