"""Every counter the engine raises by a `Count` effect, once: commands without effect, and the reconciler's work."""

from __future__ import annotations

from typing import Final

from streams.engine.effects import Count

REPEATED_INVOKE: Final = Count("repeated_invoke")
"""An `Invoke` whose invocation is in the table already, with the same content."""

STALE_REPORT: Final = Count("stale_report")
"""A late executor's report: of another attempt, with an older number, or not possible from the row's status."""

SKIPPED_ACT: Final = Count("skipped_act")
"""An `Act` that had nothing to do: the row is unknown, of another seq, ended, asked already, or started already."""

REPEATED_BATCH: Final = Count("repeated_batch")
"""A `StartBatch` that its lead remembers, with the same content."""

REPEATED_SLICE: Final = Count("repeated_slice")
"""A `StartSlice` of a batch that the partition knows."""

STALE_PAGE: Final = Count("stale_page")
"""A `ContinueSlice` that is not the outstanding one."""

STALE_RELEASE: Final = Count("stale_release")
"""A `ReleaseHeld` that is not the outstanding one."""

STALE_TICK: Final = Count("stale_tick")
"""A `Tick` whose number is not the next."""

STALE_SLICE_REPORT: Final = Count("stale_slice_report")
"""A `SliceReport` that is not news to the lead."""

SKIPPED_CONTROL: Final = Count("skipped_control")
"""A `ControlBatch` or `ControlSlice` that came too late: after one with a higher number, or after the last page."""

UNKNOWN_SLICE: Final = Count("unknown_slice")
"""A `ControlSlice` of a batch that the partition does not know."""

STALE_MEMBER: Final = Count("stale_member")
"""A record of a member that its flow does not have, or that changes nothing."""

STALE_FLOW_PAGE: Final = Count("stale_flow_page")
"""A `ContinueFlow` that is not the outstanding page."""

RECONCILED_FLOWS: Final = "reconciled_flows"
"""Flows that the reconciler has chosen; a counter of work, not of a command without effect."""

RECONCILED_MEMBERS: Final = "reconciled_members"
"""Members that the reconciler has asked again; likewise."""

RECONCILED_IN_VAIN: Final = "reconciled_in_vain"
"""Flows among those chosen whose members it had asked before, without an answer of each; likewise."""

REMOVED_ENTRIES: Final = "removed_entries"
"""Entries removed since nobody could ever answer for them: malformed ones, and those of vanished flows; likewise."""
