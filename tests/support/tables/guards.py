"""Slices that guard rows: what is held because a batch is about to end it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from streams.model import Action, Cause, Filter, OnTimeout, Slice, SliceState
from support.tables.engine_rows import AT

if TYPE_CHECKING:
    from support.tables.memory_table import MemoryTable

ALL = Filter(match_all=True)


def slice_of(filter_: Filter = ALL, batch_id: str = "b", **fields: Any) -> Slice:
    """A slice that kills and has all rows of `row_at` still to come."""
    usual: dict[str, Any] = {
        "batch_id": batch_id,
        "lead": 0,
        "action": Action.KILL,
        "filter": filter_,
        "dry_run": False,
        "grace_ms": 0,
        "on_timeout": OnTimeout.KILL,
        "cause": Cause(batch_id=batch_id),
        "state": SliceState.RUNNING,
        "cutoff": AT.offset - 1,
        "cursor": -1,
        **dict.fromkeys(("scan_total", "scanned", "matched", "done", "pending", "skipped", "failed"), 0),
        "samples": (),
        "failures": (),
        "revision": 0,
        "created_at": 0,
        "updated_at": 0,
    }
    return Slice(**(usual | fields))


def guarded(table: MemoryTable, *slices: Slice) -> MemoryTable:
    """The table with these slices, a page of one of them outstanding."""
    table.slices.update({slice_.batch_id: slice_ for slice_ in slices})
    table.meta = replace(table.meta, page_outstanding=True, page=1)
    return table
