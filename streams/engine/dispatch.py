"""The index of commands: the function that decides each one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from streams.engine import (
    acts,
    flow_commands,
    flow_pages,
    invocations,
    lead,
    lead_control,
    member_pages,
    pages,
    release,
    slice_control,
    slices,
    ticks,
)
from streams.engine.effects import InsertRow, PutFlow, UpdateRow
from streams.engine.members import following
from streams.engine.rotation import begin_turns
from streams.model import (
    Act,
    ActMembers,
    CancelFlow,
    ContinueFlow,
    ContinueSlice,
    ControlBatch,
    ControlSlice,
    Invoke,
    JoinFlow,
    MemberAck,
    MemberEnded,
    ReleaseHeld,
    ReportTransition,
    SliceReport,
    StartBatch,
    StartSlice,
    Tick,
)

if TYPE_CHECKING:
    from streams.engine.answers import At
    from streams.engine.effects import Effect
    from streams.engine.view import View
    from streams.model import Command

Handler = Callable[[Any, "At", "View"], "list[Effect]"]

HANDLERS: dict[type, Handler] = {
    Invoke: invocations.invoke,
    ReportTransition: invocations.report,
    Act: acts.act,
    StartBatch: lead.start_batch,
    ControlBatch: lead_control.control_batch,
    CancelFlow: flow_commands.cancel_flow,
    StartSlice: slices.start_slice,
    ContinueSlice: pages.continue_slice,
    ControlSlice: slice_control.control_slice,
    SliceReport: lead.slice_report,
    ReleaseHeld: release.release_held,
    Tick: ticks.tick,
    JoinFlow: flow_commands.join_flow,
    MemberEnded: flow_commands.member_ended,
    MemberAck: flow_commands.member_ack,
    ActMembers: member_pages.act_members,
    ContinueFlow: flow_pages.continue_flow,
}


_OF_FLOWS = frozenset({CancelFlow, JoinFlow, MemberEnded, MemberAck, ContinueFlow})
"""Commands that change flows and no rows."""
_MAY_WAKE = frozenset({ActMembers, ContinueSlice, Tick})
_COMMON = frozenset({Invoke, ReportTransition})
"""Most commands. Only the row of their first effect may join flows or end: one of no flow costs nothing more."""


def apply(command: Command, at: At, view: View) -> list[Effect]:
    """The effects of `command` on the table that `view` shows.

    The same command, position and table always give the same effects. The command must lie on its home partition.

    Raises:
        CommandRefusedError: the command breaks a rule; it becomes a dead letter and nothing changes.
    """
    kind = type(command)
    effects = HANDLERS[kind](command, at, view)
    if kind in _OF_FLOWS:
        return begin_turns(effects, at, view)
    if kind in _COMMON and type(effects[-1]) is not PutFlow:
        return effects + following(command, effects, at, view) if _of_a_flow(effects[0]) else effects
    told = following(command, effects, at, view)
    if told or kind in _MAY_WAKE or (effects and type(effects[-1]) is PutFlow):
        return begin_turns(effects + told, at, view)
    return effects


def _of_a_flow(effect: Effect) -> bool:
    """True if the effect changes a row that belongs to a flow, or has a parent."""
    if type(effect) is not InsertRow and type(effect) is not UpdateRow:
        return False
    row = effect.row
    return row.flow_id is not None or row.parent_id is not None
