"""The model's dispatch: what one command makes of a partition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
from support.reference import asking, due, flows, held, leads, members, objects, rows, slices
from support.reference.partition import Refused, never

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.model import Command
    from support.reference.partition import Outcome, Partition, Seen

_RULES: dict[type[Command], Callable[[Partition, Any], object]] = {
    Invoke: rows.invoke,
    ReportTransition: rows.report,
    Act: rows.act,
    StartBatch: leads.start_batch,
    ControlBatch: leads.control_batch,
    SliceReport: leads.slice_report,
    StartSlice: slices.start_slice,
    ControlSlice: slices.control_slice,
    ContinueSlice: slices.continue_slice,
    ReleaseHeld: held.release_held,
    Tick: due.tick,
    CancelFlow: flows.cancel_flow,
    JoinFlow: flows.join_flow,
    MemberEnded: flows.member_ended,
    MemberAck: flows.member_ack,
    ContinueFlow: asking.continue_flow,
    ActMembers: members.act_members,
}


def apply(p: Partition, offset: int, timestamp: int, command: Command, seen: Seen) -> Outcome:
    """What the command leads to; the partition remembers what it must."""
    out = p.at(offset, timestamp, seen)
    rule = _RULES.get(type(command)) or never(f"the model does not know {type(command).__name__}")
    try:
        rule(p, command)
        objects.promote(p)
        held.take_release(p)
        asking.take_early(p, command)
        asking.none_is_forgotten(p)
        members.tell(p, command)
        p.keep_turning()
        if not held.at_rest(p):
            p.wrong("something is held, though no slice guards it, and no page that releases it is outstanding")
    except Refused as refused:
        out.refused = refused.code
    return out
