"""Named flows: their members, their cancel, its numbers in every record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from streams.engine.answers import PageSizes
from streams.engine.flows import flow_progress, state_of
from streams.model import (
    Act,
    Action,
    ActMembers,
    CancelFlow,
    CancelPolicy,
    Flow,
    FlowAction,
    FlowState,
    MemberAck,
    MemberAnswer,
    OnTimeout,
    ReportTransition,
    SignalKind,
    Status,
)
from streams.protocol.routing import partition_of
from support.tables.memory_cluster import BATCH_RETENTION_MS, MemoryCluster, invoke

if TYPE_CHECKING:
    from streams.model import Command

ALL, PENDING, ONLY = CancelPolicy.CANCEL_ALL, CancelPolicy.CANCEL_PENDING, CancelPolicy.FLOW_ONLY
PARTITIONS = 4


def cluster(rows: int = 3) -> MemoryCluster:
    """A cluster whose pages are small."""
    return MemoryCluster(PARTITIONS, PageSizes(rows, rows))


def flow(world: MemoryCluster, flow_id: str = "f", *, children: bool = False) -> Flow | None:
    """The flow as its partition has it."""
    return world.tables[partition_of(flow_id, PARTITIONS)].flows.get((children, flow_id))


def cancel(
    flow_id: str = "f", action: FlowAction = FlowAction.CANCEL, policy: CancelPolicy = ALL, **more: Any
) -> CancelFlow:
    """A cancel of the flow."""
    return CancelFlow(flow_id, action, policy, **more)


def numbers(world: MemoryCluster, flow_id: str = "f") -> tuple[int, int, int, int, int]:
    """live, pending, ended, kept and failed members."""
    found = flow(world, flow_id)
    assert found is not None
    return found.live, found.pending, found.ended, found.kept, found.failed


def statuses(world: MemoryCluster) -> set[Status]:
    """The statuses of all rows."""
    return {row.status for table in world.tables for row in table.rows.values()}


def entries(world: MemoryCluster) -> int:
    """How many members' entries there are."""
    return sum(len(table.entries) for table in world.tables)


def test_members_join_and_leave() -> None:
    """A flow counts its members from their Invoke to their end, and keeps entries of live ones only."""
    world = cluster()
    world.run(*(invoke(f"i{n}", flow_id="f") for n in range(10)))
    assert numbers(world) == (10, 0, 0, 0, 0)
    assert entries(world) == 10
    world.run(*(ReportTransition(f"i{n}", 1, to=Status.COMPLETED) for n in range(4)))
    assert numbers(world) == (6, 0, 4, 0, 0)
    assert entries(world) == 6


def test_a_cancel_ends_members_that_never_started_and_asks_the_others() -> None:
    """Each partition ends or asks its own members; the flow is CANCELLED once the last has ended."""
    world = cluster()
    later = world.now + 1_000_000
    world.run(*(invoke(f"s{n}", flow_id="f", scheduled_at=later) for n in range(10)))
    world.run(*(invoke(f"r{n}", flow_id="f") for n in range(10)))
    world.run(cancel(reason="enough", actor="me"))
    assert numbers(world) == (0, 10, 10, 0, 0)
    found = flow(world)
    assert found is not None
    assert state_of(found) is FlowState.CANCELLING
    asked = [send for _, send in world.signals if send.kind is SignalKind.CANCEL]
    assert len(asked) == 10
    assert {(send.cause.flow_id, send.cause.reason, send.cause.actor) for send in asked if send.cause} == {
        ("f", "enough", "me")
    }
    world.run(*(ReportTransition(f"r{n}", 1, to=Status.CANCELLED) for n in range(10)))
    found = flow(world)
    assert found is not None
    assert state_of(found) is FlowState.CANCELLED
    assert numbers(world) == (0, 0, 20, 0, 0)
    assert entries(world) == 0
    assert found.due_at is None


def test_a_killed_flow_kills_its_members() -> None:
    """KILL ends started ones too, with a signal."""
    world = cluster()
    world.run(*(invoke(f"r{n}", flow_id="f") for n in range(10)))
    world.run(cancel(action=FlowAction.KILL))
    assert statuses(world) == {Status.KILLED}
    assert numbers(world) == (0, 0, 10, 0, 0)
    assert len([send for _, send in world.signals if send.kind is SignalKind.KILL]) == 10


def test_cancel_pending_keeps_what_has_started() -> None:
    """Started members are kept, and counted so until they end; CANCEL_ALL later reaches them once."""
    world = cluster()
    world.run(*(invoke(f"s{n}", flow_id="f", scheduled_at=world.now + 10**6) for n in range(5)))
    world.run(*(invoke(f"r{n}", flow_id="f") for n in range(5)))
    world.run(cancel(policy=PENDING))
    assert numbers(world) == (0, 0, 5, 5, 0)
    world.run(cancel(policy=ALL, actor="boss"))
    assert numbers(world) == (0, 5, 5, 0, 0)
    found = flow(world)
    assert found is not None
    assert found.escalated_by == "boss"
    world.run(cancel(policy=PENDING))
    assert numbers(world) == (0, 5, 5, 0, 0)
    assert len([send for _, send in world.signals if send.kind is SignalKind.CANCEL]) == 5


def test_flow_only_changes_the_flow_alone() -> None:
    """No member hears of it, and there is no backlog."""
    world = cluster()
    world.run(*(invoke(f"r{n}", flow_id="f") for n in range(5)))
    world.run(cancel(policy=ONLY))
    assert numbers(world) == (0, 0, 0, 5, 0)
    found = flow(world)
    assert found is not None
    assert (found.due_at, state_of(found)) == (None, FlowState.CANCELLED)
    assert statuses(world) == {Status.READY}


@pytest.mark.parametrize("ended", [0, 3])
def test_an_unknown_flow_is_created_cancelled_and_ends_who_joins(ended: int) -> None:
    """So is one that nobody is left in. On its own partition a member is never started, elsewhere ended as it joins."""
    world = cluster()
    world.run(*(invoke(f"e{n}", flow_id="f") for n in range(ended)))
    world.run(*(Act(f"e{n}", Action.KILL) for n in range(ended)))
    world.run(cancel(action=FlowAction.KILL))
    assert numbers(world) == (0, 0, ended, 0, 0)
    world.signals.clear()
    world.run(*(invoke(f"r{n}", flow_id="f") for n in range(20)))
    assert numbers(world) == (0, 0, ended + 20, 0, 0)
    assert statuses(world) == {Status.KILLED}
    home = partition_of("f", PARTITIONS)
    assert not [send for partition, send in world.signals if partition == home]


@pytest.mark.parametrize(
    ("policy", "left", "counted"),
    [
        (ALL, {Status.KILLED}, (0, 0, 4, 0, 0)),
        (PENDING, {Status.READY, Status.KILLED}, (0, 0, 2, 2, 0)),
        (ONLY, {Status.READY, Status.SCHEDULED}, (0, 0, 0, 4, 0)),
    ],
)
def test_a_policy_reaches_who_joins_later_alike(
    policy: CancelPolicy, left: set[Status], counted: tuple[int, ...]
) -> None:
    """Before the cancel or after it, started or not; and whom it does not reach keeps no flow in the backlog."""
    for partitions in (1, PARTITIONS):
        world = MemoryCluster(partitions)
        kinds = {"started": None, "later": world.now + 9_000}
        world.run(*(invoke(f"{name} 1", flow_id="f", scheduled_at=at) for name, at in kinds.items()))
        world.run(cancel(action=FlowAction.KILL, policy=policy))
        world.run(*(invoke(f"{name} 2", flow_id="f", scheduled_at=at) for name, at in kinds.items()))
        assert statuses(world) == left
        found = world.tables[partition_of("f", partitions)].flows[False, "f"]
        assert (found.live, found.pending, found.ended, found.kept, found.failed) == counted
        assert (found.due_at, state_of(found)) == (None, FlowState.CANCELLED)


def test_members_that_never_end_are_failed_listed_and_asked_once_more() -> None:
    """LEAVE: the flow is PARTIALLY_CANCELLED; a repeated cancel asks just those again, with another signal."""
    world = cluster()
    world.run(*(invoke(f"r{n}", flow_id="f") for n in range(5)))
    world.run(cancel(grace_ms=1_000, on_timeout=OnTimeout.LEAVE))
    world.run(ReportTransition("r0", 1, to=Status.CANCELLED))
    world.tick(2_000)
    found = flow(world)
    assert found is not None
    assert state_of(found) is FlowState.PARTIALLY_CANCELLED
    assert numbers(world) == (0, 0, 1, 0, 4)
    assert set(found.failures) == {"r1", "r2", "r3", "r4"}
    before = len(world.signals)
    world.run(cancel(reason="again"))
    assert numbers(world) == (0, 4, 1, 0, 0)
    again = [send for _, send in world.signals[before:]]
    assert {(send.kind, send.repeat) for send in again} == {(SignalKind.CANCEL, 1)}
    assert len(again) == 4
    world.run(*(ReportTransition(f"r{n}", 1, to=Status.CANCELLED) for n in range(1, 5)))
    assert numbers(world) == (0, 0, 5, 0, 0)


def test_kill_after_cancel_is_taken_over_once() -> None:
    """Those asked to end are killed; reason and actor stay those of the first."""
    world = cluster()
    world.run(*(invoke(f"r{n}", flow_id="f") for n in range(10)))
    world.run(cancel(reason="first", actor="me"))
    world.run(cancel(action=FlowAction.KILL, reason="second", actor="boss"))
    assert statuses(world) == {Status.KILLED}
    found = flow(world)
    assert found is not None
    assert (found.cause.reason, found.cause.actor, found.escalated_by) == ("first", "me", "boss")
    assert numbers(world) == (0, 0, 10, 0, 0)


def test_a_repeated_cancel_asks_nobody_again() -> None:
    """Ten cancels at once: one dispatch, and what was stored first stays."""
    world = cluster()
    world.run(*(invoke(f"r{n}", flow_id="f") for n in range(30)))
    world.run(*(cancel(reason=f"reason {n}") for n in range(10)))
    assert len([send for _, send in world.signals if send.kind is SignalKind.CANCEL]) == 30
    found = flow(world)
    assert found is not None
    assert flow_progress(found).reason == "reason 0"


@pytest.mark.parametrize("grace_ms", [-1, 24 * 3_600_000 + 1])
def test_a_grace_out_of_bounds_is_refused(grace_ms: int) -> None:
    """Nothing changes."""
    world = cluster()
    world.run(invoke("r", flow_id="f"))
    world.run(cancel(grace_ms=grace_ms))
    assert [refusal.code for refusal in world.refused] == ["invalid_grace_ms"]
    assert numbers(world) == (1, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("action", "grace_ms", "wait"), [("CANCEL", None, 30_000), ("CANCEL", 5, 5), ("KILL", None, 0), ("KILL", 5, 0)]
)
def test_the_deadline_is_the_clock_and_the_grace(action: str, grace_ms: int | None, wait: int) -> None:
    """Absent, the grace is 30 s, and the reason `flow_cancelled`; a killed flow's deadline is now."""
    world = cluster()
    world.run(invoke("r", flow_id="f"))
    world.send(cancel(action=FlowAction(action), grace_ms=grace_ms, actor="me"))
    world.step(partition_of("f", PARTITIONS))
    found = flow(world)
    assert found is not None
    assert found.due_at == world.now + wait
    assert (found.action, found.cause.reason, found.cause.actor) == (action, "flow_cancelled", "me")


def test_those_whom_a_tick_leaves_alone_are_answered_for_in_one_list() -> None:
    """One record for each flow and partition, however many graces end."""
    world = cluster()
    world.run(*(invoke(f"r{n}", flow_id="f") for n in range(20)))
    world.run(cancel(grace_ms=1_000, on_timeout=OnTimeout.LEAVE))
    world.tick(2_000)
    answers = [each for log in world.logs for _, each in log if isinstance(each, MemberAck)]
    failed = [each for each in answers if each.answer is MemberAnswer.FAILED]
    assert sorted(each.member_partition for each in failed) == list(range(PARTITIONS))
    assert sum(len(each.invocation_ids) for each in failed) == 20


def test_a_member_that_is_still_to_be_asked_is_not_listed_as_failed() -> None:
    """It was left alone by another's cancel: the flow's own asks it again, and nothing is listed when it has ended."""
    world = MemoryCluster(1)
    world.run(invoke("r", flow_id="f"), Act("r", Action.CANCEL, grace_ms=1_000, on_timeout=OnTimeout.LEAVE))
    world.now += 2_000
    world.run(world.next_tick(0, world.tables[0]), cancel(on_timeout=OnTimeout.LEAVE))
    found = world.tables[0].flows[False, "f"]
    assert (found.pending, found.failed, found.failures) == (1, 0, ())
    world.run(ReportTransition("r", 1, to=Status.CANCELLED))
    assert world.tables[0].flows[False, "f"].failures == ()


def test_a_page_asks_an_equal_part_on_each_partition() -> None:
    """So that all partitions work at the same time, although each may have only so many members unanswered."""
    world = cluster(8)
    world.run(*(invoke(f"i{n}", flow_id="f") for n in range(60)))
    world.run(cancel(action=FlowAction.KILL))
    orders = [[each for _, each in log if isinstance(each, ActMembers)] for log in world.logs]
    assert [len(of_partition[0].seqs) for of_partition in orders] == [2] * PARTITIONS
    assert numbers(world) == (0, 0, 60, 0, 0)


def test_an_answer_that_is_sent_twice_changes_nothing() -> None:
    """Even if the member has answered something else since."""
    world = cluster()
    world.run(invoke("r", flow_id="f"))
    world.run(cancel(grace_ms=1_000, on_timeout=OnTimeout.LEAVE))
    world.tick(2_000)
    assert numbers(world) == (0, 0, 0, 0, 1)
    answers = [each for log in world.logs for _, each in log if isinstance(each, MemberAck)]
    assert {each.answer for each in answers} == {MemberAnswer.CANCELLING, MemberAnswer.FAILED}
    world.run(*answers)
    assert numbers(world) == (0, 0, 0, 0, 1)


@pytest.mark.parametrize("last", ["cancel", "join", "end"])
def test_a_flow_without_members_is_forgotten_after_the_last_of_cancel_join_and_end(last: str) -> None:
    """Not before; who joins later finds a new one, which is open."""
    name = "g" if last == "end" else "f"
    happens: dict[str, Command] = {
        "cancel": cancel(),
        "join": invoke("b", flow_id="f"),
        "end": ReportTransition("c", 1, to=Status.COMPLETED),
    }
    world = MemoryCluster(1)
    world.run(cancel(), invoke("c", flow_id="g"))
    for commands in ((), (happens[last],)):
        world.run(*commands)
        world.tick(BATCH_RETENTION_MS)
        assert (False, name) in world.tables[0].flows
    world.tick(1)
    assert (False, name) not in world.tables[0].flows
    world.run(invoke("d", flow_id=name))
    assert state_of(world.tables[0].flows[False, name]) is FlowState.OPEN


def test_a_flow_is_not_forgotten_while_it_has_a_member() -> None:
    """Live, kept or failed, however long ago anything has happened."""
    world = MemoryCluster(1)
    world.run(*(invoke(name, flow_id=name) for name in ("live", "kept", "failed")))
    world.run(cancel("kept", policy=PENDING), cancel("failed", grace_ms=0, on_timeout=OnTimeout.LEAVE))
    for _ in range(3):
        world.tick(2 * BATCH_RETENTION_MS)
    found = world.tables[0].flows
    assert {name: getattr(flow, name) for (_, name), flow in found.items()} == {"live": 1, "kept": 1, "failed": 1}
