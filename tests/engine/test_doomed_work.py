"""No doomed work: what a running batch is about to end is held, and let go when it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from streams.engine.counters import SKIPPED_ACT
from streams.engine.effects import UpdateRow
from streams.model import (
    ENGINE_VERSION,
    Act,
    Action,
    ContinueSlice,
    Exclusion,
    Filter,
    Invocation,
    ReleaseHeld,
    ReportTransition,
    Row,
    Slice,
    SliceState,
    Status,
)
from support.tables.engine_rows import AT, NOW, SEQ, applied, of, row_at, table_with
from support.tables.guards import guarded, slice_of
from support.tables.memory_cluster import MemoryCluster

if TYPE_CHECKING:
    from streams.engine.effects import Effect
    from support.tables.memory_table import MemoryTable


def tick(table: MemoryTable) -> list[Effect]:
    """What a tick does now."""
    return applied(MemoryCluster.next_tick(_Now(), 0, table), table)  # type: ignore[arg-type]


class _Now:
    now = NOW


DUE = {
    "schedule": row_at(Status.SCHEDULED, due_at=NOW),
    "retry": row_at(Status.BACKING_OFF, due_at=NOW),
    "lease of READY": row_at(Status.READY, due_at=NOW, lease_ms=5),
    "lease of RUNNING": row_at(Status.RUNNING, due_at=NOW, lease_ms=5),
}


@pytest.mark.parametrize("row", DUE.values(), ids=DUE)
def test_what_is_due_is_held_and_changes_in_nothing_else(row: Row) -> None:
    """Neither started nor looked at again by the next tick."""
    table = guarded(table_with(row), slice_of())
    assert of(UpdateRow, tick(table)) == [UpdateRow(replace(row, held=True))]
    assert not of(UpdateRow, tick(table))


GUARDS_NOTHING = {
    "another row": slice_of(Filter(services=("other",))),
    "behind the cursor": slice_of(cursor=SEQ),
    "after the cut-off": slice_of(cutoff=SEQ),
    "dry run": slice_of(dry_run=True),
    "limited": slice_of(budget=100),
    "paused": slice_of(state=SliceState.PAUSED),
    "over": slice_of(state=SliceState.COMPLETED),
    "draining": slice_of(state=SliceState.DRAINING),
    "another action": slice_of(action=Action.PAUSE),
    "another status": slice_of(Filter(statuses=(Status.RUNNING,))),
    "left out": slice_of(Filter(match_all=True, exclude=Exclusion(services=("other", "mail")))),
    "left out as it stands": slice_of(Filter(match_all=True, exclude=Exclusion(statuses=(Status.SCHEDULED,)))),
    "another label": slice_of(Filter(labels_in={"tenant": ("gold", "silver")})),
    "its id is handled": slice_of(Filter(invocation_ids=("a", "b")), cursor=1),
    "another id": slice_of(Filter(invocation_ids=("A", "b")), cursor=0),
}


@pytest.mark.parametrize("slice_", GUARDS_NOTHING.values(), ids=GUARDS_NOTHING)
def test_what_no_slice_is_about_to_end_starts(slice_: Slice) -> None:
    """A guard is a running KILL or CANCEL with the row before it, that it matches as it stands."""
    tick(table := guarded(table_with(row_at(Status.SCHEDULED, due_at=NOW)), slice_))
    assert table.rows["a"].status is Status.READY


@pytest.mark.parametrize(
    "slice_",
    [
        slice_of(action=Action.CANCEL),
        slice_of(max_rate=1.0, due_at=NOW + 500),
        slice_of(Filter(statuses=(Status.SCHEDULED,))),
        slice_of(Filter(invocation_ids=("0", "a")), cursor=1),
        slice_of(Filter(modified_until=NOW)),
        slice_of(Filter(match_all=True, exclude=Exclusion(services=("other",), labels={"tenant": "gold"}))),
    ],
)
def test_every_kind_of_running_slice_guards(slice_: Slice) -> None:
    """One that waits for its rate does too, and of a filter by ids whatever id is still to come."""
    tick(table := guarded(table_with(row_at(Status.SCHEDULED, due_at=NOW)), slice_))
    assert (table.rows["a"].status, table.rows["a"].held) == (Status.SCHEDULED, True)


@pytest.mark.parametrize(
    "filter_",
    [
        Filter(statuses=(Status.BACKING_OFF,)),
        Filter(match_all=True, exclude=Exclusion(statuses=(Status.RUNNING,))),
        Filter(match_all=True, exclude=Exclusion(modified_until=0)),
    ],
)
def test_what_was_first_started_after_the_cut_off_is_not_guarded_by_what_it_has_become(filter_: Filter) -> None:
    """A filter on statuses or modified time never matches it, nor does one that leaves out by these."""
    table = guarded(
        table_with(row_at(Status.BACKING_OFF, due_at=NOW, started_seq=AT.offset)),
        slice_of(filter_),
    )
    tick(table)
    assert table.rows["a"].status is Status.READY


@pytest.mark.parametrize("paused_from", [Status.RUNNING, Status.SCHEDULED, Status.PENDING])
def test_a_guarded_resume_is_skipped(paused_from: Status) -> None:
    """The row stays as it is, without a mark: nothing resumes it when the guard is gone."""
    row = row_at(Status.PAUSED, paused_from=paused_from)
    table = guarded(table_with(row), slice_of())
    assert applied(Act("a", Action.RESUME), table) == [SKIPPED_ACT]
    assert table.rows["a"] == row


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_page_of_a_resume_skips_what_is_guarded(dry_run: bool) -> None:  # noqa: FBT001
    """It stays as it is, is not held, and is not counted as done; a dry run says the same."""
    doomed = row_at(Status.PAUSED, "a", Status.RUNNING)
    table = table_with(doomed, row_at(Status.PAUSED, "z", Status.RUNNING, seq=SEQ + 1))
    killing = slice_of(Filter(invocation_ids=("a",)), "k", cursor=0, max_rate=1.0, due_at=NOW + 9)
    guarded(table, slice_of(action=Action.RESUME, dry_run=dry_run), killing)
    applied(ContinueSlice(ENGINE_VERSION, 0, "b", 1, 10, 10), table)
    slice_ = table.slices["b"]
    assert (slice_.matched, slice_.done, slice_.skipped, slice_.acted) == (2, 1, 1, 1)
    assert table.rows["a"] == doomed
    assert table.rows["z"].status is (Status.PAUSED if dry_run else Status.READY)


def test_a_pause_takes_the_mark_off_that_an_older_engine_set() -> None:
    """Which held a paused row for its RESUME."""
    row = row_at(Status.PAUSED, paused_from=Status.RUNNING)
    table = table_with(replace(row, held=True))
    assert applied(Act("a", Action.PAUSE), table) == [UpdateRow(row)]


def test_a_page_of_a_pause_takes_the_mark_off_too() -> None:
    """And counts it as done; what is paused without a mark it skips."""
    marked = row_at(Status.PAUSED, "a", Status.RUNNING, held=True)
    table = table_with(marked, row_at(Status.PAUSED, "z", Status.RUNNING, seq=SEQ + 1))
    guarded(table, slice_of(action=Action.PAUSE))
    applied(ContinueSlice(ENGINE_VERSION, 0, "b", 1, 10, 10), table)
    assert table.rows["a"] == replace(marked, held=False)
    assert (table.slices["b"].done, table.slices["b"].skipped) == (1, 1)


def test_a_report_takes_the_mark_off() -> None:
    """The executor that was given up is there after all, and its lease begins again."""
    table = guarded(table_with(row_at(Status.RUNNING, due_at=NOW - 1, lease_ms=50, held=True)), slice_of())
    applied(ReportTransition("a", 1), table)
    assert (table.rows["a"].held, table.rows["a"].due_at) == (False, NOW + 50)


def _keyed(row: Row) -> MemoryTable:
    row = replace(row, invocation_id="mail/k~0", object_key="k")
    table = table_with(row)
    table.invocations[row.invocation_id] = Invocation(row.invocation_id, "mail", "send", "k")
    return table


@pytest.mark.parametrize("filter_", [Filter(modified_until=NOW), Filter(statuses=(Status.SCHEDULED,))])
def test_a_guarded_schedule_of_an_object_does_not_go_to_its_inbox(filter_: Filter) -> None:
    """There it would be another row, which the batch might not match any longer."""
    table = guarded(_keyed(row_at(Status.SCHEDULED, due_at=NOW)), slice_of(filter_))
    tick(table)
    row = table.rows["mail/k~0"]
    assert (row.status, row.held, row.modified_at) == (Status.SCHEDULED, True, 200)
    table.meta = replace(table.meta, release_no=1, release_outstanding=True)
    table.slices["b"] = slice_of(filter_, state=SliceState.PAUSED)
    applied(ReleaseHeld(ENGINE_VERSION, 0, 1, -1, 10), table)
    assert (table.rows["mail/k~0"].status, table.rows["mail/k~0"].held) == (Status.READY, False)


def test_a_guarded_resume_of_an_object_does_not_go_to_its_inbox() -> None:
    """It stays paused, and is not held."""
    table = guarded(
        _keyed(row_at(Status.PAUSED, paused_from=Status.PENDING)), slice_of(Filter(statuses=(Status.PAUSED,)))
    )
    applied(Act("mail/k~0", Action.RESUME), table)
    assert (table.rows["mail/k~0"].status, table.rows["mail/k~0"].held) == (Status.PAUSED, False)
