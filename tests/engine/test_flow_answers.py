"""Each member is counted once, in one place, whatever ends it and whenever its partition answers."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from streams.engine import apply, flows
from streams.engine.answers import At, PageSizes
from streams.engine.effects import Append, PutDelta, PutFlow, SendAll, SetPage
from streams.engine.flows import state_of
from streams.model import (
    ENGINE_VERSION,
    Act,
    Action,
    ActMembers,
    CancelFlow,
    CancelPolicy,
    Cause,
    ContinueFlow,
    Filter,
    FlowAction,
    FlowState,
    JoinFlow,
    Member,
    MemberAck,
    MemberAnswer,
    MemberEnded,
    MemberState,
    OnTimeout,
    ReportTransition,
    SignalKind,
    StartBatch,
    Status,
)
from support.tables.memory_cluster import MemoryCluster, invoke

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.model import Command, Flow

ALL, PENDING, ONLY = CancelPolicy.CANCEL_ALL, CancelPolicy.CANCEL_PENDING, CancelPolicy.FLOW_ONLY
CANCEL = CancelFlow("f", FlowAction.CANCEL, ALL)
COMPLETED = ReportTransition("m", 1, to=Status.COMPLETED)


def cluster(members: int = 1) -> MemoryCluster:
    """One partition with a flow of started members: `m`, `m1`, and so on."""
    world = MemoryCluster(1, PageSizes(5, 5))
    world.run(*(invoke(f"m{n or ''}", flow_id="f") for n in range(members)))
    return world


def flow(world: MemoryCluster) -> Flow:
    """The flow."""
    return world.tables[0].flows[False, "f"]


def numbers(world: MemoryCluster) -> tuple[int, int, int, int, int]:
    """live, pending, ended, kept and failed members."""
    found = flow(world)
    return found.live, found.pending, found.ended, found.kept, found.failed


def test_a_cancel_changes_the_flows_own_record_alone() -> None:
    """Its members are asked by a page that follows; a flow that reaches nobody is not in the backlog."""
    world = cluster(7)
    effects = apply(CANCEL, At(0, 99, world.now), world.tables[0])
    kinds = [type(effect.command if isinstance(effect, Append) else effect) for effect in effects]
    assert kinds == [PutFlow, SetPage, ContinueFlow]
    for reaches_nobody in (CancelFlow("f", FlowAction.CANCEL, ONLY), CancelFlow("empty", FlowAction.CANCEL, ALL)):
        (put,) = apply(reaches_nobody, At(0, 99, world.now), world.tables[0])
        assert isinstance(put, PutFlow)
        assert put.flow.due_at is None


ENDS: dict[str, Sequence[Command]] = {
    "itself": [COMPLETED],
    "a kill": [Act("m", Action.KILL)],
    "a batch": [StartBatch("b", Action.KILL, Filter(services=("mail",)))],
    "another life": [COMPLETED, Act("m", Action.PURGE), invoke("m", flow_id="f"), COMPLETED],
}


@pytest.mark.parametrize("moment", ["before it is asked", "while it is asked", "after it was asked"])
@pytest.mark.parametrize("end", ENDS)
def test_whoever_ends_a_member_it_is_counted_once(end: str, moment: str) -> None:
    """By itself, by an act, by a batch, and in another life of its id, which is another member."""
    world = cluster()
    if moment == "while it is asked":
        world.send(CANCEL)
        while not any(isinstance(command, ActMembers) for _, command in world.logs[0]):
            world.step(0)
    elif moment == "after it was asked":
        world.run(CANCEL)
        assert numbers(world) == (0, 1, 0, 0, 0)
    world.run(*ENDS[end])
    if moment == "before it is asked":
        world.run(CANCEL)
    lives = 2 if end == "another life" else 1
    assert numbers(world) == (0, 0, lives, 0, 0)
    assert state_of(flow(world)) is FlowState.CANCELLED
    assert not world.tables[0].entries
    if end == "a batch":
        assert world.total("b") == {"matched": 1, "done": 1, "pending": 0, "skipped": 0, "failed": 0}


def test_a_batch_and_a_flow_that_wait_for_one_row_both_add_up() -> None:
    """The batch asked first, and counts the row's end as its own; the flow counts its member as ended."""
    for outcome, end in (("done", Status.CANCELLED), ("skipped", Status.COMPLETED)):
        world = cluster()
        world.run(StartBatch("b", Action.CANCEL, Filter(services=("mail",)), grace_ms=60_000))
        world.run(CANCEL)
        assert (world.total("b")["pending"], numbers(world)) == (1, (0, 1, 0, 0, 0))
        world.run(ReportTransition("m", 1, to=end))
        assert (world.total("b")[outcome], world.total("b")["pending"], numbers(world)) == (1, 0, (0, 0, 1, 0, 0))


@pytest.mark.parametrize("flow_id", ["f", "unknown"])
def test_a_record_of_nobody_changes_nothing(flow_id: str) -> None:
    """Of a member that the flow does not have, and of a flow that is not there: it is counted."""
    world = cluster()
    world.run(CANCEL)
    before = numbers(world), dict(world.tables[0].entries)
    strangers: list[Command] = [MemberEnded(ENGINE_VERSION, 0, flow_id, False, 0, (77,))]
    strangers += [
        MemberAck(ENGINE_VERSION, 0, flow_id, False, 0, answer, (77,), ("x",) if answer == "FAILED" else ())
        for answer in MemberAnswer
    ]
    world.run(*strangers)
    assert (numbers(world), world.tables[0].entries) == before
    assert world.counts["stale_member"] == len(strangers)
    assert not world.refused


def test_an_answer_of_an_earlier_round_leaves_whom_the_kill_has_not_asked_to_be_asked() -> None:
    """Though the same answer speaks of another that has been asked since."""
    world = cluster(2)
    world.run(CANCEL)
    seqs = tuple(world.row(name).seq for name in ("m", "m1"))
    kill = CancelFlow("f", FlowAction.KILL, ALL)
    world.send(kill, MemberAck(ENGINE_VERSION, 0, "f", False, 0, MemberAnswer.CANCELLING, seqs))
    world.step(0)
    for number, seq in zip((2, 1), seqs, strict=True):
        world.tables[0].entries[False, "f", 0, seq] = Member(MemberState.ASKED, number)
    world.run()
    assert (world.row("m").status, world.row("m1").status) == (Status.CANCELLING, Status.KILLED)


def test_a_member_that_its_partition_does_not_know_is_counted_as_ended() -> None:
    """UNKNOWN is an answer: nothing of it stays."""
    world = cluster()
    world.send(CANCEL)
    del world.tables[0].rows["m"]
    world.run()
    assert [each.answer for _, each in world.logs[0] if isinstance(each, MemberAck)] == [MemberAnswer.NOT_FOUND]
    assert numbers(world) == (0, 0, 1, 0, 0)
    assert not world.tables[0].entries


def test_a_seq_of_another_flow_is_not_acted_on() -> None:
    """An order names members of its flow: for any other row the answer is that there is no such member."""
    world = cluster()
    seq = world.row("m").seq
    order = (FlowAction.KILL, ALL, 0, OnTimeout.KILL, Cause(flow_id="other"), (seq,), 5)
    world.run(ActMembers(ENGINE_VERSION, 0, "other", False, *order))
    assert (world.row("m").status, numbers(world)) == (Status.READY, (1, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("first", "second", "asked"), [(ONLY, ALL, 3), (ONLY, PENDING, 0), (ALL, ONLY, 3), (ALL, PENDING, 3)]
)
def test_a_policy_that_reaches_more_is_taken_over_and_nothing_is_weakened(
    first: CancelPolicy, second: CancelPolicy, asked: int
) -> None:
    """Those who are newly concerned are asked once; `escalated_by` names who has done so, or nobody."""
    world = cluster(3)
    for policy in (first, second, second):
        world.run(CancelFlow("f", FlowAction.CANCEL, policy, actor=policy.value, reason="why"))
    wider = first is ONLY
    assert flow(world).policy is (second if wider else first)
    assert flow(world).escalated_by == (second.value if wider else None)
    assert flow(world).cause.actor == first.value
    assert len([send for _, send in world.signals if send.kind is SignalKind.CANCEL]) == asked


CANCELS = list(product(FlowAction, CancelPolicy))


@pytest.mark.parametrize("second", CANCELS)
@pytest.mark.parametrize("first", CANCELS)
def test_of_two_cancels_the_stronger_action_and_the_wider_policy_hold(
    first: tuple[FlowAction, CancelPolicy], second: tuple[FlowAction, CancelPolicy]
) -> None:
    """Reason and actor stay those of the first; the same again is published, and nothing else comes of it."""
    world = cluster(3)
    for says, cancel in (("first", first), ("second", second)):
        world.run(CancelFlow("f", *cancel, actor=says, reason=f"the {says}"))
    action = max(first[0], second[0], key=list(FlowAction).index)
    policy = max(first[1], second[1], key=[ONLY, PENDING, ALL].index)
    found = flow(world)
    assert (found.action, found.policy) == (action, policy)
    assert (found.cause.actor, found.cause.reason) == ("first", "the first")
    assert found.escalated_by == (None if (action, policy) == first else "second")
    for again in (first, second):
        (put,) = apply(CancelFlow("f", *again, grace_ms=1, actor="third"), At(0, 99, world.now), world.tables[0])
        assert put == PutFlow(replace(found, revision=99, updated_at=world.now))


@pytest.mark.parametrize(("on_timeout", "outcome"), [(OnTimeout.KILL, "ended"), (OnTimeout.LEAVE, "failed")])
def test_a_member_that_is_asked_already_keeps_its_grace(on_timeout: OnTimeout, outcome: str) -> None:
    """And what follows it: nothing is sent, its end is awaited, and one that is left counts as failed."""
    world = cluster()
    world.run(Act("m", Action.CANCEL, grace_ms=9_000, on_timeout=on_timeout))
    row, told = world.row("m"), len(world.signals)
    world.run(replace(CANCEL, grace_ms=1_000, on_timeout=OnTimeout.KILL))
    assert (world.row("m"), len(world.signals), numbers(world)) == (row, told, (0, 1, 0, 0, 0))
    world.tick(8_999)
    assert world.row("m").status is Status.CANCELLING
    world.tick(1)
    assert (getattr(flow(world), outcome), sum(numbers(world))) == (1, 1)


def test_kept_and_failed_members_count_as_ended_once_they_end() -> None:
    """Whatever ends them; until then a failed one keeps its entry."""
    left = replace(CANCEL, on_timeout=OnTimeout.LEAVE)
    for cancel, number in ((replace(CANCEL, policy=PENDING), "kept"), (left, "failed")):
        world = cluster()
        world.run(replace(cancel, grace_ms=0))
        world.tick()
        assert (getattr(flow(world), number), len(world.tables[0].entries)) == (1, 1)
        world.run(COMPLETED)
        assert (numbers(world), flow(world).failures) == ((0, 0, 1, 0, 0), ())
        assert (state_of(flow(world)), world.tables[0].entries) == (FlowState.CANCELLED, {})


@pytest.mark.parametrize("by", ["a flow", "a batch"])
def test_a_page_writes_one_delta_one_list_of_signals_and_one_list_for_each_flow(by: str) -> None:
    """However many members it ends."""
    world = MemoryCluster(1, PageSizes(9, 9))
    world.run(*(invoke(f"m{n}", flow_id="f", parent_id="p", labels={"no": str(n % 2)}) for n in range(8)))
    batch = StartBatch("b", Action.KILL, Filter(labels={"no": "1"}))
    world.send(replace(CANCEL, action=FlowAction.KILL) if by == "a flow" else batch)
    effects = next(found for found in iter(lambda: world.step(0), None) if any(isinstance(e, PutDelta) for e in found))
    (signals,) = (each for each in effects if isinstance(each, SendAll))
    (delta,) = (each.delta for each in effects if isinstance(each, PutDelta))
    ended = [e.command for e in effects if isinstance(e, Append) and isinstance(e.command, MemberEnded)]
    assert [(each.flow_id, each.children) for each in ended] == [("f", False), ("p", True)]
    sizes = [len(signals.rows), *(len(change.seqs) for change in delta.changes), *(len(each.seqs) for each in ended)]
    assert sizes == [8 if by == "a flow" else 4] * 4


def test_a_record_that_comes_twice_changes_nothing() -> None:
    """Who has joined, what was ordered, answered and ended."""
    world = MemoryCluster(2, PageSizes(5, 5))
    names = [f"m{n}" for n in range(9)]

    def everything() -> list[object]:
        found = [flow for table in world.tables for flow in table.flows.values()]
        flows = [replace(each, revision=0, updated_at=0, failures=tuple(sorted(each.failures))) for each in found]
        tables = [(dict(table.entries), dict(table.rows)) for table in world.tables]
        return [flows, tables, len(world.signals), world.refused]

    def sent_again(*kinds: type) -> None:
        before = everything()
        again = [command for log in world.logs for _, command in log if isinstance(command, kinds)]
        assert {type(each) for each in again} == set(kinds)
        for command in again:
            world.run(command)
            assert everything() == before

    world.run(*(invoke(name, flow_id="f", parent_id="m0") for name in names))
    sent_again(JoinFlow)
    world.run(replace(CANCEL, grace_ms=1_000, on_timeout=OnTimeout.LEAVE))
    world.run(*(ReportTransition(name, 1, to=Status.CANCELLED) for name in names[5:]))
    sent_again(ContinueFlow, ActMembers, MemberAck, MemberEnded)
    world.tick(2_000)
    sent_again(ContinueFlow, MemberAck, MemberEnded)


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_join_that_comes_behind_its_members_end_is_believed_until_it_is_asked(*, cancelled: bool) -> None:
    """It may be a dead letter that comes first, and a cancel must miss nobody: the partition says that it has ended."""
    world = cluster()
    (join,) = [command for _, command in world.logs[0] if isinstance(command, JoinFlow)]
    world.run(COMPLETED)
    if cancelled:
        world.run(CANCEL)
        assert state_of(flow(world)) is FlowState.CANCELLED
    world.run(join)
    if not cancelled:
        assert (numbers(world), state_of(flow(world))) == ((1, 0, 1, 0, 0), FlowState.OPEN)
        world.run(CANCEL)
    assert (numbers(world), state_of(flow(world))) == ((0, 0, 2, 0, 0), FlowState.CANCELLED)
    assert not world.tables[0].entries
    assert {sent.kind for _, sent in world.signals} == {SignalKind.START}


def test_a_cancelled_flow_is_cancelling_until_who_joins_has_ended() -> None:
    """No state is the last."""
    world = MemoryCluster(2, PageSizes(5, 5))
    world.run(CANCEL)
    home = next(number for number, table in enumerate(world.tables) if table.flows)
    found = world.tables[home].flows
    assert state_of(found[False, "f"]) is FlowState.CANCELLED
    names = [f"m{n}" for n in range(8)]
    world.run(*(invoke(name, flow_id="f") for name in names))
    assert state_of(found[False, "f"]) is FlowState.CANCELLING
    world.run(*(ReportTransition(name, 1, to=Status.CANCELLED) for name in names))
    assert state_of(found[False, "f"]) is FlowState.CANCELLED
    assert found[False, "f"].ended == len(names)


def test_who_is_kept_by_a_cancel_that_meanwhile_reaches_more_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more are asked than may be unanswered: an answer that changes nothing else must count as one."""
    monkeypatch.setattr(flows, "MAX_ASKED", 1)
    world = cluster(2)
    world.send(CancelFlow("f", FlowAction.KILL, PENDING))
    world.step(0)
    world.step(0)
    assert flow(world).asked == (1,)
    world.run(CancelFlow("f", FlowAction.KILL, ALL))
    assert [world.row(each).status for each in ("m", "m1")] == [Status.KILLED] * 2
    assert (flow(world).asked, state_of(flow(world))) == ((), FlowState.CANCELLED)
