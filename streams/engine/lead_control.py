"""A lead's control of a running batch: pause, resume, abort, and shares of its rate and limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

from msgspec.structs import replace

from streams.engine.counters import SKIPPED_CONTROL
from streams.engine.effects import Append, PutBatch
from streams.engine.pace import FASTEST, SLOWEST
from streams.model import (
    ENGINE_VERSION,
    PAGING_STATES,
    BatchState,
    ControlOperation,
    ControlSlice,
    SliceOperation,
    SlicePhase,
)
from streams.protocol.validation import CommandRefusedError, check_control_batch, refuse

if TYPE_CHECKING:
    from streams.engine.answers import At
    from streams.engine.effects import Effect
    from streams.engine.view import View
    from streams.model import Batch, ControlBatch

RANK: Final[dict[SlicePhase | None, int]] = {
    None: 0,
    SlicePhase.STARTED: 1,
    SlicePhase.PAGES_DONE: 2,
    SlicePhase.DRAINED: 3,
}
"""Progress of a slice by the last phase it reported; a higher rank is further."""
_PAGES_DONE: Final = RANK[SlicePhase.PAGES_DONE]
_STATE_AT_RANK: Final = (BatchState.STARTING, BatchState.RUNNING, BatchState.DRAINING, BatchState.COMPLETED)

EXPIRED: Final = "expired"
"""The error of a batch that was aborted by its `expires_at`."""


def control_batch(command: ControlBatch, at: At, view: View) -> list[Effect]:
    """Change a batch that still has pages to do. A change that comes too late, or out of order, has no effect."""
    check_control_batch(command)
    batch = view.batch(command.batch_id)
    if batch is None:
        raise CommandRefusedError(
            "unknown_batch",
            f"batch_id {command.batch_id} is not a batch that is known here: check the id; finished ones are forgotten",
        )
    if not _has_pages(batch) or _outdated(command, batch):
        return [SKIPPED_CONTROL]
    if command.control_no is not None:
        batch = replace(batch, control_no=command.control_no)
    match command.operation:
        case ControlOperation.PAUSE:
            return [put(replace(batch, paused=True), at), *_tell(batch, SliceOperation.PAUSE)]
        case ControlOperation.RESUME:
            return [put(replace(batch, paused=False), at), *_tell(batch, SliceOperation.RESUME)]
        case ControlOperation.ABORT:
            return abort(batch, None, at)
        case ControlOperation.SET_RATE:
            if _stands(batch):
                refuse("max_rate", f"is set on batch {command.batch_id}, which stands at the door: it takes none")
            batch = replace(batch, max_rate=command.max_rate)
            return [put(batch, at), *_tell_rate(batch)]
        case _:
            assert_never(command.operation)


def _outdated(command: ControlBatch, batch: Batch) -> bool:
    number, last = command.control_no, batch.control_no
    return number is not None and last is not None and number <= last


def abort(batch: Batch, error: str | None, at: At) -> list[Effect]:
    """Stop all further pages. `error` gives the reason; it is None when a client asked for the abort."""
    stopped = replace(batch, paused=False, aborting=True, error=error)
    return [put(stopped, at), *_tell(batch, SliceOperation.ABORT)]


def lapse(batch: Batch, at: At) -> list[Effect]:
    """Act on a batch whose `expiry_of` has come: lift its rule, or abort the whole batch."""
    if expiry_of(batch) != batch.start.standing_until or not _stands(batch):
        return abort(batch, EXPIRED, at)
    return [put(replace(batch, lifted=True), at), *_tell(batch, SliceOperation.LIFT)]


def expiry_of(batch: Batch) -> int | None:
    """When time aborts the batch or lifts its rule, ms; None if never."""
    if not _has_pages(batch):
        return None
    times = (batch.start.expires_at, batch.start.standing_until if _stands(batch) else None)
    return min((time for time in times if time is not None), default=None)


def _stands(batch: Batch) -> bool:
    """True if the batch has a rule at the door; a dry run has none."""
    return batch.start.standing_until is not None and not batch.start.dry_run and not batch.lifted


def put(batch: Batch, at: At) -> PutBatch:
    """The batch with the state of its slowest slice, to be written at `at`."""
    slowest = min(RANK[phase] for phase in batch.phases)
    state, error = _STATE_AT_RANK[slowest], batch.error
    if batch.paused and slowest < _PAGES_DONE:
        state = BatchState.PAUSED
    if state is BatchState.COMPLETED:
        # An abort that came after all pages were done has stopped nothing.
        state, error = (BatchState.ABORTED, error) if batch.aborted else (state, None)
    return PutBatch(replace(batch, state=state, error=error, revision=at.offset, updated_at=at.now))


def share_of_rate(batch: Batch) -> float | None:
    """The share of the rate for each slice that has pages to do. With a limit, only one slice acts at a time."""
    if batch.max_rate is None:
        return None
    slices = 1 if batch.start.limit is not None else max(1, len(_paging(batch)))
    return min(max(batch.max_rate / slices, SLOWEST), FASTEST)


def hand_on(batch: Batch, partition: int, acted: int) -> tuple[Batch, list[Append]]:
    """Hand a finished slice's share of the rate, or the rest of its limit, to the other slices.

    Args:
        batch: the batch, with the phase of `partition` noted.
        partition: the partition whose pages are done.
        acted: number of rows that its slice acted on.
    """
    limit = batch.start.limit
    if batch.aborting:
        return batch, []
    if limit is None:
        return batch, _tell_rate(batch)
    if batch.holder != partition:
        return batch, []
    batch = replace(batch, acted=min(batch.acted + acted, limit), holder=None)
    left, others = limit - batch.acted, _paging(batch)
    if left > 0 and others:
        batch, others = replace(batch, holder=others[0]), others[:1]
    return batch, [_to_slice(batch, other, SliceOperation.GRANT, budget=max(left, 0)) for other in others]


def _has_pages(batch: Batch) -> bool:
    return batch.state in PAGING_STATES and not batch.aborting


def _paging(batch: Batch) -> list[int]:
    """The partitions whose slice has pages to do, as far as the lead knows."""
    return [partition for partition, phase in enumerate(batch.phases) if RANK[phase] < _PAGES_DONE]


def _tell(batch: Batch, operation: SliceOperation) -> list[Append]:
    return [_to_slice(batch, partition, operation) for partition in _paging(batch)]


def _tell_rate(batch: Batch) -> list[Append]:
    share = share_of_rate(batch)
    if share is None:
        return []
    return [_to_slice(batch, partition, SliceOperation.SET_RATE, max_rate=share) for partition in _paging(batch)]


def _to_slice(
    batch: Batch, partition: int, operation: SliceOperation, budget: int | None = None, max_rate: float | None = None
) -> Append:
    batch_id = batch.start.batch_id
    return Append(partition, batch_id, ControlSlice(ENGINE_VERSION, partition, batch_id, operation, budget, max_rate))
