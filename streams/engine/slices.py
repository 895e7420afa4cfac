"""A batch's part on one partition: its start, its turn among the others, its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from streams.engine.counters import REPEATED_SLICE
from streams.engine.effects import Append, PutSlice
from streams.engine.pace import first_tokens, paced
from streams.engine.rotation import next_page
from streams.engine.validate import check_internal, check_partition
from streams.model import (
    ENGINE_VERSION,
    Action,
    Filter,
    Slice,
    SlicePhase,
    SliceProgress,
    SliceReport,
    SliceState,
)

if TYPE_CHECKING:
    from streams.engine.answers import At
    from streams.engine.effects import Effect
    from streams.engine.view import View
    from streams.model import StartSlice

_NOTHING: Final = Filter(invocation_ids=())
"""The filter of a slice without pages: it matches nothing."""
_STARTING: Final = frozenset({Action.RESUME, Action.RESTART})
"""Actions whose pages start rows."""


def start_slice(command: StartSlice, at: At, view: View) -> list[Effect]:
    """Start the partition's slice. The offset of this command is the cut-off."""
    check_internal(command, at)
    check_partition("lead", command.lead, view.partitions)
    if view.slice(command.batch_id) is not None:
        return [REPEATED_SLICE]
    filter_ = _in_order(command, view)
    ids = filter_.invocation_ids
    slice_ = Slice(
        batch_id=command.batch_id,
        lead=command.lead,
        action=command.action,
        filter=filter_,
        dry_run=command.dry_run,
        grace_ms=command.grace_ms,
        on_timeout=command.on_timeout,
        cause=command.cause,
        state=SliceState.WAITING if command.budget == 0 else SliceState.RUNNING,
        cutoff=at.offset,
        cursor=-1 if ids is None else 0,
        scan_total=view.row_total() if ids is None else len(ids),
        scanned=0,
        matched=0,
        done=0,
        pending=0,
        skipped=0,
        failed=0,
        samples=(),
        failures=(),
        revision=at.offset,
        created_at=at.now,
        updated_at=at.now,
        budget=command.budget,
        max_rate=command.max_rate,
        standing_until=command.standing_until,
        tokens=0.0 if command.max_rate is None else first_tokens(at.partition, view.partitions),
        tokens_at=at.now,
    )
    slice_ = paced(slice_, at.now)
    effects: list[Effect] = [PutSlice(slice_), report_of(slice_, at, SlicePhase.STARTED)]
    if takes_turns(slice_) and not view.meta.page_outstanding:
        effects += next_page(command.batch_id, at, view)
    return effects


def _in_order(command: StartSlice, view: View) -> Filter:
    """The command's filter. If its pages start rows of objects, its ids have the order of these rows.

    Pages follow the order of the ids: a later invocation of an object would start before an earlier one.
    """
    ids = command.filter.invocation_ids
    if ids is None or command.action not in _STARTING or not any("~" in each for each in ids):
        return command.filter
    return replace(command.filter, invocation_ids=view.in_order(ids))


def takes_turns(slice_: Slice) -> bool:
    """True if the slice has a page to do now."""
    return slice_.state is SliceState.RUNNING and slice_.due_at is None and not slice_.pages_done


def report_of(slice_: Slice, at: At, phase: SlicePhase) -> Append:
    """The report to the lead about the progress of `slice_`."""
    report = SliceReport(
        ENGINE_VERSION,
        slice_.lead,
        slice_.batch_id,
        at.partition,
        phase,
        slice_.cutoff,
        slice_.acted,
        slice_.aborted,
    )
    return Append(slice_.lead, slice_.batch_id, report)


def report_of_end(slice_: Slice, at: At) -> Append:
    """The report to the lead that `slice_` has no pages left; its phase says whether rows are still pending."""
    return report_of(slice_, at, SlicePhase.PAGES_DONE if slice_.state is SliceState.DRAINING else SlicePhase.DRAINED)


def without_pages(slice_: Slice) -> Slice:
    """The slice after its pages were done or given up. It is over once nothing is pending."""
    state = SliceState.ABORTED if slice_.aborted else SliceState.COMPLETED
    # The filter is no longer needed, and would be written again with every change of a counter.
    return replace(slice_, filter=_NOTHING, state=SliceState.DRAINING if slice_.pending else state)


def pages_over(slice_: Slice) -> Slice:
    """The slice after its last page. While its rule stands, the slice goes on."""
    return without_pages(slice_) if slice_.standing_until is None else replace(slice_, pages_done=True)


def progress_of(slice_: Slice, partition: int, held: int = 0) -> SliceProgress:
    """The progress of a slice, published under `<batch id>/<partition>`; `held`: rows that wait for it."""
    return SliceProgress(
        batch_id=slice_.batch_id,
        partition=partition,
        state=slice_.state,
        cutoff=slice_.cutoff,
        cursor=slice_.cursor,
        scan_total=slice_.scan_total,
        scanned=slice_.scanned,
        matched=slice_.matched,
        done=slice_.done,
        pending=slice_.pending,
        skipped=slice_.skipped,
        failed=slice_.failed,
        samples=slice_.samples,
        failures=slice_.failures,
        revision=slice_.revision,
        updated_at=slice_.updated_at,
        held=held,
    )
