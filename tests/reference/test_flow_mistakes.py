"""The model finds mistakes in flows: each of these, made in the engine or its table, is noticed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from streams.engine import (
    dispatch,
    flow_commands,
    flow_pages,
    flow_ticks,
    flows,
    guards,
    invocations,
    member_pages,
    members,
    pages,
    restarts,
)
from streams.engine.effects import SetReconciled
from streams.model import JoinFlow, MemberState
from streams.state import restore
from support.reference.beside.check import Difference
from support.reference.beside.machine import GroupedMachine, live_in_rounds

if TYPE_CHECKING:
    from collections.abc import Callable

    Mistake = Callable[[pytest.MonkeyPatch], None]


def a_weaker_cancel(patch: pytest.MonkeyPatch) -> None:
    """A second cancel that reaches less is taken over."""
    right = flows.cancelled
    patch.setattr(
        flow_commands, "cancelled", lambda flow, cancel, *at: replace(right(flow, cancel, *at), policy=cancel.policy)
    )


def another_reason(patch: pytest.MonkeyPatch) -> None:
    """The reason and the actor of a second cancel replace those of the first."""
    right = flows.cancelled
    patch.setattr(
        flow_commands, "cancelled", lambda flow, cancel, *at: replace(right(flow, cancel, *at), cause=cancel.cause)
    )


def awaited_and_not_killed(patch: pytest.MonkeyPatch) -> None:
    """KILL after CANCEL does not reach the members whose end is awaited."""
    right = flows.to_ask
    patch.setattr(
        flow_pages, "to_ask", lambda flow, member: member.state is not MemberState.AWAITED and right(flow, member)
    )


def an_open_door(patch: pytest.MonkeyPatch) -> None:
    """A member is started on the partition of its cancelled flow."""
    patch.setattr(invocations, "ending_flow", lambda *_: None)


def a_child_started_by_its_parents_end(patch: pytest.MonkeyPatch) -> None:
    """A member of a cancelled flow is started if its turn comes before its order."""
    patch.setattr(guards.Guards, "_of_flows", lambda *_: False)


def nothing_handed_down(patch: pytest.MonkeyPatch) -> None:
    """A flow's cancel ends parents and leaves their children alone."""
    patch.setattr(member_pages, "cancel_children", lambda *_: [])


def kept_and_yet_cancelled(patch: pytest.MonkeyPatch) -> None:
    """CANCEL_PENDING ends what has started."""
    patch.setattr(member_pages, "STARTED", frozenset())


def failed_for_ever(patch: pytest.MonkeyPatch) -> None:
    """A repeated cancel does not ask the failed members again."""
    right = flows.cancelled
    patch.setattr(
        flow_commands,
        "cancelled",
        lambda flow, cancel, *at: replace(right(replace(flow, failed=0), cancel, *at), failed=flow.failed),
    )


def an_end_untold(patch: pytest.MonkeyPatch) -> None:
    """The flows of members that a batch has ended hear nothing of it."""
    patch.setattr(pages, "endings", lambda *_: [])


def two_of_one_name(patch: pytest.MonkeyPatch) -> None:
    """The children of an invocation end as the members of a flow of its name."""
    right = members.flows_of
    patch.setattr(members, "flows_of", lambda row: [(name, False) for name, _ in right(row)])


def chosen_at_every_tick(patch: pytest.MonkeyPatch) -> None:
    """The reconciler forgets when it chose last."""
    patch.setattr(flow_ticks, "SetReconciled", lambda _, labels: SetReconciled(0, labels))


def restored_without_members(patch: pytest.MonkeyPatch) -> None:
    """The entries of members are not there after a restore."""
    patch.setattr(restore.Restore, "_member", lambda *_: None)


def restarted_and_cancelled_again(patch: pytest.MonkeyPatch) -> None:
    """The cancel that a flow has reaches a member who joins again."""
    join = dispatch.HANDLERS[JoinFlow]
    patch.setitem(dispatch.HANDLERS, JoinFlow, lambda command, *rest: join(replace(command, restarted=False), *rest))


def an_end_of_the_life_before(patch: pytest.MonkeyPatch) -> None:
    """A member that was restarted leaves its flow when its first end is told once more."""
    patch.setattr(flow_commands, "restarted_since", lambda *_: False)


def exempt_for_ever(patch: pytest.MonkeyPatch) -> None:
    """The next cancel does not reach restarted members either."""
    right = flows.cancelled
    patch.setattr(
        flow_commands,
        "cancelled",
        lambda flow, cancel, *at: replace(right(replace(flow, restarted=0), cancel, *at), restarted=flow.restarted),
    )


def closed_for_ever(patch: pytest.MonkeyPatch) -> None:
    """The children of a restarted parent are cancelled as before."""
    patch.setattr(restarts, "_opened", lambda *_: [])


def restarted_and_shut_out(patch: pytest.MonkeyPatch) -> None:
    """A cancelled flow does not let a restarted member start."""
    patch.setattr(guards, "exempt", lambda *_: False)


def shut_out_for_ever(patch: pytest.MonkeyPatch) -> None:
    """What a flow has held is not released when it has joined again, or its parent was restarted."""
    for module in (flow_commands, restarts):
        patch.setattr(module, "begin_release", lambda *_: [])


QUICK = (
    restarted_and_cancelled_again,
    closed_for_ever,
    another_reason,
    an_open_door,
    kept_and_yet_cancelled,
    two_of_one_name,
)
LONG = (
    nothing_handed_down,
    a_weaker_cancel,
    awaited_and_not_killed,
    a_child_started_by_its_parents_end,
    failed_for_ever,
    an_end_untold,
    chosen_at_every_tick,
    restored_without_members,
    closed_for_ever,
    an_end_of_the_life_before,
    exempt_for_ever,
    restarted_and_shut_out,
    shut_out_for_ever,
)
"""These take longer to meet."""


@pytest.mark.parametrize(
    "mistake",
    [*QUICK, *(pytest.param(each, marks=pytest.mark.chaos) for each in LONG)],
    ids=lambda mistake: mistake.__name__,
)
def test_a_mistake_is_found(mistake: Mistake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within these lives the engine and the model differ."""
    mistake(monkeypatch)
    with pytest.raises(Difference):
        live_in_rounds(GroupedMachine)
