"""Children of an invocation: what cancels or kills the parent reaches them, and nothing else does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from streams.engine.answers import PageSizes
from streams.model import (
    TERMINAL,
    Act,
    Action,
    CancelFlow,
    CancelPolicy,
    Cause,
    Ending,
    Filter,
    FlowAction,
    OnTimeout,
    ReportTransition,
    SignalKind,
    StartBatch,
    Status,
)
from streams.protocol.routing import partition_of
from support.tables.memory_cluster import MemoryCluster, invoke

if TYPE_CHECKING:
    from streams.model import Command, Flow

PARTITIONS = 4


def cluster(rows: int = 3) -> MemoryCluster:
    """A cluster whose pages are small."""
    return MemoryCluster(PARTITIONS, PageSizes(rows, rows))


def flows(world: MemoryCluster) -> dict[tuple[bool, str], Flow]:
    """Every flow there is."""
    return {name: flow for table in world.tables for name, flow in table.flows.items()}


def test_a_killed_parent_kills_its_children_and_theirs() -> None:
    """Down the tree, over partitions; nothing is left of the flows, and each cause names parent and reason."""
    world = cluster()
    world.run(invoke("root"))
    world.run(*(invoke(f"c{n}", parent_id="root") for n in range(50)))
    world.run(*(invoke(f"g{n}", parent_id=f"c{n % 5}") for n in range(20)))
    world.run(Act("root", Action.KILL))
    assert {row.status for table in world.tables for row in table.rows.values()} == {Status.KILLED}
    assert not flows(world)
    assert not any(table.entries for table in world.tables)
    causes = {
        (row.ending.cause.flow_id, row.ending.cause.reason)
        for table in world.tables
        for row in table.rows.values()
        if row.ending and row.invocation_id.startswith("g")
    }
    assert causes == {(f"c{n}", "flow_cancelled") for n in range(5)}


def test_killing_one_child_leaves_parent_and_siblings_alone() -> None:
    """Only its own row changes."""
    world = cluster()
    world.run(invoke("root"), *(invoke(f"c{n}", parent_id="root") for n in range(5)))
    world.run(Act("c3", Action.KILL))
    assert {name: world.row(name).status for name in ("root", "c0", "c3")} == {
        "root": Status.READY,
        "c0": Status.READY,
        "c3": Status.KILLED,
    }


@pytest.mark.parametrize(
    ("action", "started", "parent"),
    [
        (Action.KILL, True, Status.KILLED),
        (Action.CANCEL, True, Status.CANCELLING),
        (Action.CANCEL, False, Status.CANCELLED),
    ],
)
def test_a_late_child_is_cancelled_on_arrival(action: Action, started: bool, parent: Status) -> None:  # noqa: FBT001
    """Its parent was cancelled before it joined, with or without children at that time."""
    for early in (0, 3):
        world = cluster()
        world.run(invoke("root", scheduled_at=None if started else world.now + 1))
        world.run(*(invoke(f"c{n}", parent_id="root") for n in range(early)))
        world.run(Act("root", action))
        assert world.row("root").status is parent
        world.run(*(invoke(f"late{n}", parent_id="root") for n in range(10)))
        for name in (f"late{n}" for n in range(10)):
            beside = partition_of(name, PARTITIONS) == partition_of("root", PARTITIONS)
            # Beside its parent a child is never started, so there is nobody to ask.
            cancelled = Status.CANCELLED if beside else Status.CANCELLING
            assert world.row(name).status is (Status.KILLED if action is Action.KILL else cancelled)


@pytest.mark.parametrize("end", [Status.COMPLETED, Status.FAILED])
def test_a_parent_that_completed_or_is_unknown_hands_nothing_on(end: Status) -> None:
    """Its children live on, those who come later too, also when somebody tries to kill it."""
    world = cluster()
    world.run(invoke("root"), invoke("c", parent_id="root"), invoke("orphan", parent_id="nobody"))
    world.run(ReportTransition("root", 1, to=end), invoke("late", parent_id="root"))
    world.run(Act("root", Action.KILL), Act("nobody", Action.KILL), invoke("last", parent_id="root"))
    assert {world.row(name).status for name in ("c", "orphan", "late", "last")} == {Status.READY}


def test_a_parent_that_is_purged_hands_nothing_on() -> None:
    """Nobody knows any longer how it ended."""
    world = cluster()
    world.run(invoke("root"), Act("root", Action.KILL), Act("root", Action.PURGE), invoke("late", parent_id="root"))
    assert world.row("late").status is Status.READY


_SAYS: dict[str, Any] = {"grace_ms": 5_000, "on_timeout": OnTimeout.LEAVE}
_BY: dict[str, Any] = {"reason": "why", "actor": "ada"}
ENDS: dict[str, Command] = {
    "an act": Act("p", Action.CANCEL, cause=Cause(**_BY), **_SAYS),
    "a batch": StartBatch("b", Action.CANCEL, Filter(invocation_ids=("p",)), **_SAYS, **_BY),
    "its flow": CancelFlow("f", FlowAction.CANCEL, CancelPolicy.CANCEL_ALL, **_SAYS, **_BY),
    "its own parent's end": Act("q", Action.CANCEL, cause=Cause(**_BY), **_SAYS),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("killed", [False, True])
def test_what_a_parents_end_says_is_handed_down_the_tree(end: str, killed: bool) -> None:  # noqa: FBT001
    """Action, grace, what happens when it is over, batch, actor and reason; `flow_id` is the parent's id."""
    command: Any = ENDS[end]
    if killed:
        command = replace(command, action=type(command.action).KILL)
    world = cluster()
    world.run(invoke("q"), invoke("p", flow_id="f", parent_id="q"))
    world.run(invoke("c", parent_id="p"), invoke("d", parent_id="c"))
    world.run(command)
    for name, parent in (("c", "p"), ("d", "c")):
        cause = Cause("b" if end == "a batch" else None, parent, "ada", "why")
        asked = Ending(cause, OnTimeout.LEAVE, world.now + 5_000)
        status, ending = (Status.KILLED, Ending(cause)) if killed else (Status.CANCELLING, asked)
        assert (world.row(name).status, world.row(name).ending) == (status, ending)


def test_the_flow_of_children_is_there_from_the_first_join_to_the_last_end() -> None:
    """Beside the parent, by whose id it is routed."""
    world = cluster()
    world.run(invoke("mail/k~1", object_key="k"))
    assert not flows(world)
    world.run(*(invoke(f"c{n}", parent_id="mail/k~1") for n in range(2)))
    (home,) = (table for table in world.tables if table.flows)
    assert "mail/k~1" in home.rows
    world.run(ReportTransition("c0", 1, to=Status.COMPLETED))
    assert flows(world)[True, "mail/k~1"].live == 1
    world.run(ReportTransition("c1", 1, to=Status.COMPLETED))
    assert not flows(world)


def test_cycles_and_self_parents_end() -> None:
    """An ended row hands nothing on twice."""
    world = cluster()
    world.run(invoke("a", parent_id="c"), invoke("b", parent_id="a"), invoke("c", parent_id="b"))
    world.run(invoke("self", parent_id="self"))
    world.run(Act("a", Action.KILL), Act("self", Action.CANCEL))
    assert {world.row(name).status for name in "abc"} == {Status.KILLED}
    assert world.row("self").status is Status.CANCELLING
    world.run(ReportTransition("self", 1, to=Status.CANCELLED))
    assert not flows(world)


def test_a_batch_that_ends_parents_ends_their_children_and_counts_none_of_them() -> None:
    """The batch counts the rows that its filter matched."""
    world = cluster()
    world.run(*(invoke(f"p{n}", labels={"kind": "parent"}) for n in range(10)))
    world.run(*(invoke(f"c{n}", parent_id=f"p{n % 10}") for n in range(30)))
    world.run(StartBatch("b", Action.KILL, Filter(labels={"kind": "parent"})))
    assert {row.status for table in world.tables for row in table.rows.values()} == {Status.KILLED}
    assert world.total("b") == {"matched": 10, "done": 10, "pending": 0, "skipped": 0, "failed": 0}
    assert not flows(world)


def test_a_batch_that_ends_childless_parents_makes_no_record() -> None:
    """Rows without children cost nothing."""
    world = cluster()
    world.run(*(invoke(f"p{n}") for n in range(10)))
    world.run(StartBatch("b", Action.KILL, Filter(match_all=True)))
    assert not flows(world)
    kinds = {type(command).__name__ for log in world.logs for _, command in log}
    assert not kinds & {"JoinFlow", "MemberEnded", "ActMembers", "ContinueFlow", "MemberAck"}


def test_the_end_of_a_grace_kills_the_children_too() -> None:
    """Parent and children are asked; when the parent's grace ends, they are killed with it."""
    world = cluster()
    world.run(invoke("root"), *(invoke(f"c{n}", parent_id="root") for n in range(5)))
    world.run(Act("root", Action.CANCEL, grace_ms=1_000, on_timeout=OnTimeout.KILL))
    assert {world.row(f"c{n}").status for n in range(5)} == {Status.CANCELLING}
    world.tick(2_000)
    assert {world.row(name).status for name in ("root", "c0", "c1", "c2", "c3", "c4")} == {Status.KILLED}


def test_a_child_on_its_parents_object_is_never_started() -> None:
    """The line of the object is freed, and the child at its head is ended, not started; the next one is."""
    world = cluster()
    world.run(invoke("mail/k~1", object_key="k"))
    world.run(invoke("mail/k~2", object_key="k", parent_id="mail/k~1"), invoke("mail/k~3", object_key="k"))
    world.run(Act("mail/k~1", Action.KILL))
    assert world.row("mail/k~2").status is Status.KILLED
    assert world.row("mail/k~3").status is Status.READY
    started = [send.invocation_id for _, send in world.signals if send.kind is SignalKind.START]
    assert started == ["mail/k~1", "mail/k~3"]


def test_a_flow_and_children_of_one_name_are_two_things() -> None:
    """Flow `x` and the children of invocation `x`; flow `a/b` with `c`, and flow `a` with `b/c`."""
    world = cluster()
    world.run(invoke("x"), invoke("m", flow_id="x"), invoke("c", parent_id="x"))
    world.run(CancelFlow("x", FlowAction.KILL, CancelPolicy.CANCEL_ALL))
    assert {name: world.row(name).status for name in ("x", "m", "c")} == {
        "x": Status.READY,
        "m": Status.KILLED,
        "c": Status.READY,
    }
    world.run(CancelFlow("x", FlowAction.KILL, CancelPolicy.CANCEL_ALL, children=True))
    assert world.row("c").status is Status.KILLED
    assert world.row("x").status is Status.READY
    world.run(invoke("c2", parent_id="x"))
    assert world.row("c2").status is Status.KILLED
    world.run(invoke("c0", flow_id="a/b"), invoke("b/c", flow_id="a"))
    world.run(CancelFlow("a", FlowAction.KILL, CancelPolicy.CANCEL_ALL))
    assert (world.row("c0").status, world.row("b/c").status) == (Status.READY, Status.KILLED)


def test_a_chain_of_live_links_ends_link_by_link() -> None:
    """Killing the root ends all, with one small order for each link."""
    world = MemoryCluster(PARTITIONS, PageSizes(100, 100))
    links = 500
    world.run(*(invoke(f"l{n}", parent_id=f"l{n - 1}" if n else None) for n in range(links)))
    world.run(Act("l0", Action.KILL))
    assert {row.status for table in world.tables for row in table.rows.values()} == {Status.KILLED}
    kinds = [type(command).__name__ for log in world.logs for _, command in log]
    assert kinds.count("ActMembers") == links - 1
    assert "ContinueFlow" not in kinds


def test_a_chain_whose_links_end_by_themselves_is_stopped_by_its_flow() -> None:
    """Each link starts the next and completes: the parent hands nothing on, but the flow is handed on."""
    world = cluster()
    world.run(invoke("l0", flow_id="chain"))
    for n in range(1, 20):
        world.run(invoke(f"l{n}", flow_id="chain", parent_id=f"l{n - 1}"))
        world.run(ReportTransition(f"l{n - 1}", 1, to=Status.COMPLETED))
    world.run(CancelFlow("chain", FlowAction.KILL, CancelPolicy.CANCEL_ALL))
    world.run(invoke("l20", flow_id="chain", parent_id="l19"))
    live = [row for table in world.tables for row in table.rows.values() if row.status not in TERMINAL]
    assert not live


def test_a_parent_that_is_ended_at_the_door_hands_that_on() -> None:
    """Its children have joined before it came, few and many: by a rule as by its flow, as if it had lived."""
    for children in (3, 50):
        for action in (FlowAction.CANCEL, FlowAction.KILL):
            world = MemoryCluster(1, PageSizes(3, 3))
            world.run(CancelFlow("f", action, CancelPolicy.CANCEL_ALL, grace_ms=5_000))
            world.run(
                StartBatch("b", Action(action), Filter(labels={"a": "b"}), grace_ms=5_000, standing_until=world.now + 1)
            )
            doors: dict[str, dict[str, Any]] = {"p": {"flow_id": "f"}, "q": {"labels": {"a": "b"}}}
            for parent, more in doors.items():
                names = [f"{parent}{n}" for n in range(children)]
                world.run(*(invoke(name, parent_id=parent) for name in names))
                world.run(invoke(parent, **more))
                killed = action is FlowAction.KILL
                assert {world.row(name).status for name in names} == {Status.KILLED if killed else Status.CANCELLING}
                graces = {row.ending.grace_until for row in map(world.row, names) if row.ending}
                assert graces == ({None} if killed else {world.now + 5_000})


def test_a_child_that_joins_a_cancelled_parent_is_cancelled_with_those_before_it() -> None:
    """Its executor has cancelled the parent unasked, which hands nothing on until another child joins."""
    world = cluster()
    world.run(invoke("root"), invoke("early", parent_id="root"))
    world.run(ReportTransition("root", 1, to=Status.CANCELLED))
    assert world.row("early").status is Status.READY
    world.run(invoke("late", parent_id="root"))
    assert {world.row(name).status for name in ("early", "late")} == {Status.CANCELLING}


def test_a_cancelled_parent_does_not_start_its_child_before_it_has_joined() -> None:
    """Unasked or not, the end of the parent frees the object, and its child at the head is ended, not started."""
    world = MemoryCluster(1)
    world.run(invoke("mail/k~1", object_key="k"))
    world.run(
        invoke("mail/k~2", object_key="k", parent_id="mail/k~1"),
        ReportTransition("mail/k~1", 1, to=Status.CANCELLED),
        invoke("mail/k~3", object_key="k"),
    )
    assert world.row("mail/k~2").status is Status.CANCELLED
    assert [send.invocation_id for _, send in world.signals] == ["mail/k~1", "mail/k~3"]
