"""RESTART and flows: a member joins again, exempt from the cancel that its flow has; a parent's children are free."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from streams.engine.answers import PageSizes
from streams.engine.flows import member_total
from streams.model import (
    ENGINE_VERSION,
    Act,
    Action,
    ActMembers,
    CancelFlow,
    CancelPolicy,
    Filter,
    Flow,
    FlowAction,
    JoinFlow,
    MemberAck,
    MemberAnswer,
    MemberEnded,
    MemberState,
    OnTimeout,
    ReportTransition,
    StartBatch,
    Status,
)
from streams.protocol.routing import partition_of, routing_key
from support.tables.memory_cluster import BATCH_RETENTION_MS, MemoryCluster, invoke

KILL = CancelFlow("f", FlowAction.KILL, CancelPolicy.CANCEL_ALL)
CANCEL = CancelFlow("f", FlowAction.CANCEL, CancelPolicy.CANCEL_ALL, grace_ms=5_000)
ALL = Filter(match_all=True)


def cluster(partitions: int = 3) -> MemoryCluster:
    """Small pages."""
    return MemoryCluster(partitions, PageSizes(4, 3))


def flow_of(world: MemoryCluster, name: str = "f", *, children: bool = False) -> Flow | None:
    """The flow, wherever it is."""
    home = partition_of(routing_key(name) if children else name, world.partitions)
    return world.tables[home].flows.get((children, name))


def known(world: MemoryCluster, name: str = "f", *, children: bool = False) -> Flow:
    """The flow, which is there."""
    found = flow_of(world, name, children=children)
    assert found is not None
    return found


def numbers(flow: Flow) -> tuple[int, int, int, int, int]:
    """live, pending, ended, kept, failed."""
    return flow.live, flow.pending, flow.ended, flow.kept, flow.failed


def statuses(world: MemoryCluster) -> dict[str, Status]:
    """Of all rows."""
    return {row.invocation_id: row.status for table in world.tables for row in table.rows.values()}


def cancelled(members: int = 8, cancel: CancelFlow = KILL) -> MemoryCluster:
    """A flow whose members were killed with it, all restarted."""
    world = cluster()
    world.run(*(invoke(f"m{n}", flow_id="f") for n in range(members)), cancel)
    world.run(StartBatch("undo", Action.RESTART, Filter(flow_ids=("f",))))
    return world


def test_a_restarted_member_of_a_cancelled_flow_runs() -> None:
    """It is kept, once more a member; the flow stays cancelled for whoever else joins."""
    world = cancelled()
    assert set(statuses(world).values()) == {Status.READY}
    assert numbers(known(world)) == (0, 0, 8, 8, 0)
    assert member_total(known(world)) == 16
    world.tick(60_000)
    assert set(statuses(world).values()) == {Status.READY}
    world.run(invoke("late", flow_id="f"))
    assert statuses(world)["late"] is Status.KILLED


def test_one_join_tells_of_all_that_a_page_restarts() -> None:
    """One record for each flow and page."""
    world = cancelled(9)
    joins = [c for log in world.logs for _, c in log if isinstance(c, JoinFlow) and c.restarted]
    assert max(len(join.seqs) for join in joins) == 3
    assert sum(len(join.seqs) for join in joins) == 9


def test_the_next_cancel_reaches_restarted_members() -> None:
    """Though it asks for nothing new; nobody is asked twice by the one after."""
    world = cancelled()
    world.run(KILL)
    assert set(statuses(world).values()) == {Status.KILLED}
    assert numbers(known(world)) == (0, 0, 16, 0, 0)
    assert known(world).restarted == 0
    orders = sum(len(log) for log in world.logs)
    world.run(KILL)
    assert sum(len(log) for log in world.logs) == orders + 1


def test_a_kill_after_a_cancel_reaches_restarted_members() -> None:
    """As it reaches those whose end is awaited."""
    world = cluster()
    world.run(*(invoke(f"m{n}", flow_id="f") for n in range(4)), CANCEL)
    world.run(*(ReportTransition(f"m{n}", 1, to=Status.CANCELLED) for n in range(3)))
    world.run(*(Act(f"m{n}", Action.RESTART) for n in range(3)))
    assert numbers(known(world)) == (0, 1, 3, 3, 0)
    world.run(KILL)
    assert set(statuses(world).values()) == {Status.KILLED}
    assert numbers(known(world)) == (0, 0, 7, 0, 0)


def test_a_restarted_member_that_ends_leaves_its_flow() -> None:
    """And no trace of the exemption."""
    world = cancelled(3)
    world.run(*(ReportTransition(f"m{n}", 2, to=Status.COMPLETED) for n in range(3)))
    assert (numbers(known(world)), known(world).restarted) == ((0, 0, 6, 0, 0), 0)
    assert not any(table.entries for table in world.tables)


def test_cancel_pending_asks_a_restarted_member_with_the_next_cancel() -> None:
    """Which keeps it if it has started by then."""
    policy = CancelFlow("f", FlowAction.KILL, CancelPolicy.CANCEL_PENDING)
    world = cluster(1)
    world.run(invoke("m", flow_id="f", scheduled_at=world.now + 9_000), policy)
    assert statuses(world)["m"] is Status.KILLED
    world.run(Act("m", Action.RESTART))
    assert (statuses(world)["m"], numbers(known(world))) == (Status.SCHEDULED, (0, 0, 1, 1, 0))
    world.tick(10_000)
    assert statuses(world)["m"] is Status.READY
    world.run(policy)
    assert (statuses(world)["m"], numbers(known(world))) == (Status.READY, (0, 0, 1, 1, 0))
    assert next(iter(world.tables[0].entries.values())).state is MemberState.KEPT


def test_flow_only_exempts_nobody_for_it_reaches_nobody() -> None:
    """A wider cancel reaches who joined again as any other member."""
    world = cluster()
    world.run(invoke("m", flow_id="f"), CancelFlow("f", FlowAction.KILL, CancelPolicy.FLOW_ONLY))
    world.run(ReportTransition("m", 1, to=Status.COMPLETED), Act("m", Action.RESTART))
    assert (numbers(known(world)), known(world).restarted) == ((0, 0, 1, 1, 0), 0)
    world.run(KILL)
    assert statuses(world)["m"] is Status.KILLED


def test_a_restarted_member_of_an_open_flow_is_one_like_any_other() -> None:
    """The cancel that comes then reaches it."""
    world = cluster()
    world.run(invoke("m", flow_id="f"), invoke("n", flow_id="f"), Act("m", Action.KILL), Act("m", Action.RESTART))
    assert numbers(known(world)) == (2, 0, 1, 0, 0)
    world.run(KILL)
    assert set(statuses(world).values()) == {Status.KILLED}


def test_who_is_restarted_when_its_flow_is_forgotten_finds_a_new_open_one() -> None:
    """As anybody who joins late."""
    world = cluster()
    world.run(invoke("m", flow_id="f"), invoke("n"), KILL)
    table = world.tables[partition_of("m", 3)]
    kept = table.rows["m"]
    world.tick(BATCH_RETENTION_MS + 1)
    world.tick(1)
    assert flow_of(world) is None
    # Rows are forgotten sooner than flows, unless retention says otherwise.
    table.rows["m"], table.invocations["m"] = kept, invoke("m", flow_id="f").invocation
    world.run(Act("m", Action.RESTART))
    assert (numbers(known(world)), known(world).action) == ((1, 0, 0, 0, 0), None)


def test_an_answer_from_before_the_restart_changes_nothing() -> None:
    """It was given for the life before."""
    world = cancelled(1)
    before = known(world)
    home, place = partition_of("f", 3), partition_of("m0", 3)
    seq = world.row("m0").seq
    for answer in (MemberAnswer.KEPT, MemberAnswer.FAILED, MemberAnswer.CANCELLING):
        ids = ("m0",) if answer is MemberAnswer.FAILED else ()
        world.run(MemberAck(ENGINE_VERSION, home, "f", False, place, answer, (seq,), ids))
    assert known(world) == before


# --- on the partition of the flow: no doomed work, and nothing held for ever ---


def test_a_restarted_member_in_an_inbox_starts_though_its_flow_is_cancelled() -> None:
    """At once, or when its turn comes; before its flow knows that it has joined again, or after."""
    world = cluster(1)
    names = [f"mail/k~{n}" for n in range(4)]
    world.run(*(invoke(name, object_key="k", flow_id="f") for name in names), KILL)
    world.run(*(Act(name, Action.RESTART) for name in names))
    for name in names:
        assert statuses(world)[name] is Status.READY
        world.run(ReportTransition(name, world.row(name).attempt, to=Status.COMPLETED))
    assert set(statuses(world).values()) == {Status.COMPLETED}


def test_a_start_that_falls_between_the_restart_and_its_join_is_only_put_off() -> None:
    """The flow does not know yet that it has joined again, and holds it; then it is let go."""
    world = cluster(1)
    first, second = "mail/k~0", "mail/k~1"
    world.run(invoke(second, object_key="k", flow_id="f"), KILL, invoke(first, object_key="k"))
    assert (statuses(world)[second], statuses(world)[first]) == (Status.KILLED, Status.READY)
    world.run(Act(second, Action.RESTART), ReportTransition(first, 1, to=Status.COMPLETED))
    assert statuses(world)[second] is Status.READY
    assert not world.row(second).held


def test_a_retry_and_a_lease_of_a_restarted_member_start_it() -> None:
    """The flow guards those it reaches only."""
    world = cluster(1)
    world.run(invoke("m", flow_id="f"), invoke("n", flow_id="f", lease_ms=1_000), KILL)
    world.run(Act("m", Action.RESTART), Act("n", Action.RESTART))
    world.run(ReportTransition("m", 2, to=Status.BACKING_OFF, retry_at=world.now + 500))
    world.tick(2_000)
    assert (world.row("m").attempt, world.row("n").attempt) == (3, 3)


def test_a_cancel_that_comes_again_guards_what_it_reaches() -> None:
    """Until it is asked, the member is not started any more."""
    world = cluster(1)
    world.run(invoke("m", flow_id="f"), CANCEL, ReportTransition("m", 1, to=Status.CANCELLED))
    world.run(Act("m", Action.RESTART), ReportTransition("m", 2, to=Status.BACKING_OFF, retry_at=world.now + 500))
    world.now += 1_000
    world.run(CANCEL, world.next_tick(0, world.tables[0]))
    assert (world.row("m").status, world.row("m").attempt) == (Status.CANCELLING, 2)


# --- parents and children ---


def test_a_parent_killed_and_restarted_has_new_children_that_run() -> None:
    """Its flow is new, and open; killing it again reaches them."""
    world = cluster()
    world.run(invoke("p"), *(invoke(f"c{n}", parent_id="p") for n in range(5)), Act("p", Action.KILL))
    world.run(Act("p", Action.RESTART), *(invoke(f"n{n}", parent_id="p") for n in range(5)))
    found = statuses(world)
    assert {found[f"c{n}"] for n in range(5)} == {Status.KILLED}
    assert {found[f"n{n}"] for n in range(5)} == {Status.READY}
    world.run(Act("p", Action.KILL))
    assert set(statuses(world).values()) == {Status.KILLED}


@pytest.mark.parametrize("children_first", [False, True])
def test_a_tree_is_restarted_in_any_order_and_killed_again(*, children_first: bool) -> None:
    """By the batch that killed its root: its children carry the batch's id."""
    world = cluster()
    names = [f"c{n}" for n in range(12)]
    world.run(invoke("p"), *(invoke(name, parent_id="p") for name in names))
    world.run(*(invoke(f"g{name}", parent_id=name) for name in names))
    world.run(StartBatch("k", Action.KILL, Filter(invocation_ids=("p",))))
    if children_first:
        for name in (*(f"g{name}" for name in names), *names, "p"):
            world.run(Act(name, Action.RESTART))
    else:
        world.run(StartBatch("undo", Action.RESTART, Filter(batch_ids=("k",))))
    assert set(statuses(world).values()) == {Status.READY}
    flow = known(world, "p", children=True)
    assert (flow.action, numbers(flow)[:2], flow.kept) == (None, (12, 0), 0)
    world.run(Act("p", Action.KILL))
    assert set(statuses(world).values()) == {Status.KILLED}
    assert not any(table.entries for table in world.tables)


def test_a_child_restarted_under_a_killed_parent_runs() -> None:
    """The end of its parent does not reach it again; a child that comes new is ended by it."""
    world = cluster()
    world.run(invoke("p"), invoke("c", parent_id="p"), Act("p", Action.KILL))
    world.run(Act("c", Action.RESTART))
    assert statuses(world) == {"p": Status.KILLED, "c": Status.READY}
    world.tick(60_000)
    assert statuses(world)["c"] is Status.READY
    world.run(invoke("new", parent_id="p"))
    assert statuses(world) == {"p": Status.KILLED, "c": Status.READY, "new": Status.KILLED}
    world.run(CancelFlow("p", FlowAction.KILL, CancelPolicy.CANCEL_ALL, children=True))
    assert statuses(world)["c"] is Status.KILLED


def test_a_row_that_is_only_written_out_in_full_hands_nothing_on() -> None:
    """Its page's delta is old: that ends it for no flow again, and kills no child that was restarted since."""
    world = cluster(1)
    world.run(invoke("p", flow_id="f"), invoke("c", parent_id="p"))
    world.run(StartBatch("k", Action.KILL, Filter(invocation_ids=("p",))))
    world.run(Act("c", Action.RESTART))
    world.now += BATCH_RETENTION_MS + 1
    logged, [table] = len(world.logs[0]), world.tables
    assert world.row("p").delta is not None
    world.run(replace(world.next_tick(0, table), ended_before=0))
    assert world.row("p").delta is None
    assert statuses(world) == {"p": Status.KILLED, "c": Status.READY}
    assert not {type(command) for _, command in world.logs[0][logged:]} & {ActMembers, MemberEnded}


def test_the_cancel_of_a_restarted_parents_children_is_over() -> None:
    """Whom it has asked still ends by it; who was not asked yet, or kept, is one like any other."""
    world = cluster()
    world.run(invoke("p"), *(invoke(f"c{n}", parent_id="p") for n in range(3)))
    world.run(Act("p", Action.CANCEL, grace_ms=5_000, on_timeout=OnTimeout.LEAVE))
    world.run(ReportTransition("p", 1, to=Status.CANCELLED), Act("p", Action.RESTART))
    flow = known(world, "p", children=True)
    assert (flow.action, numbers(flow), flow.due_at) == (None, (3, 0, 0, 0, 0), None)
    world.run(invoke("new", parent_id="p"))
    assert statuses(world)["new"] is Status.READY
    world.tick(6_000)
    world.run(Act("p", Action.KILL))
    assert set(statuses(world).values()) == {Status.KILLED}


def test_a_child_that_its_parents_cancel_held_is_let_go_when_the_parent_is_restarted() -> None:
    """Its place in the inbox came after the cancel and before it was asked: nobody will ask it any more."""
    world = MemoryCluster(1, PageSizes(1, 1))
    children = [f"mail/k~{n}" for n in range(1, 41)]
    world.run(invoke("mail/k~0", object_key="k"), invoke("p"))
    world.run(*(invoke(name, object_key="k", parent_id="p") for name in children))
    world.send(Act("p", Action.KILL), ReportTransition("mail/k~0", 1, to=Status.COMPLETED), Act("p", Action.RESTART))
    world.run()
    live = [world.row(name) for name in children if world.row(name).status is not Status.KILLED]
    assert live
    assert (live[0].status, live[0].held) == (Status.READY, False)


def test_a_restart_never_reaches_children_by_itself() -> None:
    """Nor parents."""
    world = cluster()
    world.run(invoke("p"), invoke("c", parent_id="p"), Act("p", Action.KILL))
    world.run(Act("p", Action.RESTART))
    assert statuses(world) == {"p": Status.READY, "c": Status.KILLED}
    world.run(Act("p", Action.KILL), Act("c", Action.RESTART))
    assert statuses(world) == {"p": Status.KILLED, "c": Status.READY}


def test_one_that_is_its_own_parent_is_restarted_and_killed_again() -> None:
    """Its flow is open by then."""
    world = cluster()
    for _ in range(2):
        world.run(invoke("x", parent_id="x"), Act("x", Action.KILL))
        world.run(Act("x", Action.RESTART))
        assert statuses(world) == {"x": Status.READY}
    assert (known(world, "x", children=True).action, known(world, "x", children=True).live) == (None, 1)
