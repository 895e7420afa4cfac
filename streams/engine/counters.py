"""Every counter the engine raises by a `Count` effect, once."""

from __future__ import annotations

from typing import Final

from streams.engine.effects import Count

REPEATED_INVOKE: Final = Count("repeated_invoke")
"""An `Invoke` that the table holds already, with the same content."""

STALE_REPORT: Final = Count("stale_report")
"""A report of a late executor: another attempt, an older number, or nothing that follows from the row's status."""

SKIPPED_ACT: Final = Count("skipped_act")
"""An `Act` that found nothing to do: unknown, ended, asked already, or kept by `only_unstarted`."""

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
"""A `SliceReport` that tells the lead nothing new."""

SKIPPED_CONTROL: Final = Count("skipped_control")
"""A `ControlBatch` or `ControlSlice` that came too late: numbered below another, or when all pages were done."""

UNKNOWN_SLICE: Final = Count("unknown_slice")
"""A `ControlSlice` of a batch that the partition does not know."""
