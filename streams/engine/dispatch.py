"""The index of commands: the function that decides each one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from streams.engine import acts, invocations, lead, lead_control, pages, release, slice_control, slices, ticks, validate
from streams.model import (
    Act,
    CancelFlow,
    ContinueSlice,
    ControlBatch,
    ControlSlice,
    Invoke,
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
    CancelFlow: validate.refuse_cancel_flow,
    StartSlice: slices.start_slice,
    ContinueSlice: pages.continue_slice,
    ControlSlice: slice_control.control_slice,
    SliceReport: lead.slice_report,
    ReleaseHeld: release.release_held,
    Tick: ticks.tick,
}


def apply(command: Command, at: At, view: View) -> list[Effect]:
    """The effects of `command` on the table that `view` shows.

    The same command, position and table always give the same effects. The command must lie on its home partition.

    Raises:
        CommandRefusedError: the command breaks a rule; it becomes a dead letter and nothing changes.
    """
    return HANDLERS[type(command)](command, at, view)
