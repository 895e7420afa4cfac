"""Checks that only the engine makes: features that this version lacks, and commands of workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from msgspec.structs import replace

from streams.engine.pace import FASTEST, SLOWEST
from streams.model import (
    ENGINE_VERSION,
    ContinueSlice,
    ControlSlice,
    ReleaseHeld,
    SliceReport,
    StartBatch,
    StartSlice,
    Tick,
)
from streams.protocol import batch_validation, validation
from streams.protocol.validation import CommandRefusedError, check_id, refuse

if TYPE_CHECKING:
    from streams.engine.answers import At
    from streams.engine.effects import Effect
    from streams.engine.view import View
    from streams.model import CancelFlow, Filter, Internal, Invoke

MAX_PAGE_ROWS: Final = 100_000
"""Most rows or pieces of work of one page. No worker asks for more, and more would hold up everything else."""

MAX_PAGE_BYTES: Final = 64 * 1024 * 1024
"""Most bytes that a page may write; workers ask for a sixteenth of it."""


def not_supported(what: str, instead: str) -> NoReturn:
    """Refuse, by name, a feature that this version does not have."""
    raise CommandRefusedError("not_supported", f"{what} is not supported by this version: {instead}")


def refuse_cancel_flow(command: CancelFlow, at: At, view: View) -> list[Effect]:
    """Refuse a `CancelFlow`: this version has no flows."""
    del at, view
    check_id("flow_id", command.flow_id)
    not_supported("CancelFlow", "cancel the invocations by a batch")


def check_invoke(command: Invoke) -> None:
    """Check all fields of an `Invoke`, and that this version has the features it asks for."""
    validation.check_invoke(command)
    invocation = command.invocation
    if invocation.flow_id is not None:
        not_supported("flow_id", "leave it out")
    if invocation.parent_id is not None:
        not_supported("parent_id", "leave it out")


def check_internal(command: Internal, at: At) -> None:
    """Check that an internal command is of no newer engine, is on the partition it names, and may be a worker's.

    Anybody who may write to `commands` can forge one. It may change what it names, but a number that no worker writes
    must not end or hold up the one that reads it.

    Whether this worker is too old for its table is decided by `m/` alone, which only workers write.
    """
    if command.engine_version > ENGINE_VERSION:
        raise CommandRefusedError(
            "newer_engine",
            f"engine_version {command.engine_version} is newer than this worker's, {ENGINE_VERSION}: upgrade the "
            "workers, then send it again",
        )
    if command.partition != at.partition:
        refuse("partition", f"is {command.partition} but the record lies on {at.partition}: only workers write these")
    match command:
        case StartSlice():
            _check_start_slice(command)
        case ContinueSlice():
            _check_page_rows("max_scanned", command.max_scanned)
            _check_page_rows("max_matched", command.max_matched)
            _check_page_bytes(command.max_bytes)
        case ControlSlice():
            _check_share("budget", command.budget)
            _check_rate(command.max_rate)
        case SliceReport():
            _check_share("acted", command.acted)
        case ReleaseHeld():
            _check_page_rows("max_rows", command.max_rows)
            _check_page_bytes(command.max_bytes)
        case Tick():
            _check_page_rows("max_rows", command.max_rows)
            _check_page_bytes(command.max_bytes)
            # Its successor inherits them.
            if fault := validation.labels_fault(command.reconcile_labels):
                refuse("reconcile_labels", fault)


def _check_start_slice(command: StartSlice) -> None:
    """Check a `StartSlice` by the rules of its batch."""
    _check_share("budget", command.budget)
    _check_rate(command.max_rate)
    validation.check_cause(command.cause)
    batch_validation.check_start_batch(
        StartBatch(
            command.batch_id,
            command.action,
            _whole(command.filter),
            dry_run=command.dry_run,
            limit=None if command.budget is None else max(command.budget, 1),
            max_rate=command.max_rate,
            grace_ms=command.grace_ms,
            on_timeout=command.on_timeout,
            standing_until=command.standing_until,
        )
    )


def _whole(filter_: Filter) -> Filter:
    """The filter, ready for the check: an empty id list is fine here, since none of the batch's ids may live there."""
    return replace(filter_, invocation_ids=("-",)) if filter_.invocation_ids == () else filter_


def _check_page_rows(field: str, value: int) -> None:
    if not 1 <= value <= MAX_PAGE_ROWS:
        refuse(field, f"is {value}: it must be 1 to {MAX_PAGE_ROWS}")


def _check_page_bytes(value: int) -> None:
    """Check a `max_bytes`; 0 means the default."""
    if not 0 <= value <= MAX_PAGE_BYTES:
        refuse("max_bytes", f"is {value}: it must be 0 to {MAX_PAGE_BYTES}")


def _check_share(field: str, value: int | None) -> None:
    if value is not None and value < 0:
        refuse(field, f"is {value}: it must be at least 0")


def _check_rate(max_rate: float | None) -> None:
    if max_rate is not None and not SLOWEST <= max_rate <= FASTEST:
        refuse("max_rate", f"is {max_rate}: it must be {SLOWEST:g} to {FASTEST:g} rows per second")


def check_partition(field: str, value: int, partitions: int) -> None:
    """Check that the partition exists: a write to any other would end the worker."""
    if not 0 <= value < partitions:
        refuse(field, f"is {value} of {partitions}: only workers write these")
