"""Checks that only the engine makes: those of workers' commands."""

from __future__ import annotations

from operator import ge
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from streams.engine.pace import FASTEST, SLOWEST
from streams.model import (
    ENGINE_VERSION,
    ActMembers,
    ContinueFlow,
    ContinueSlice,
    ControlSlice,
    JoinFlow,
    MemberAck,
    MemberEnded,
    ReleaseHeld,
    SliceReport,
    StartBatch,
    StartSlice,
    Tick,
)
from streams.protocol import batch_validation, validation
from streams.protocol.validation import CommandRefusedError, refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.engine.answers import At
    from streams.model import Filter, Internal

MAX_PAGE_ROWS: Final = 100_000
"""Most rows or pieces of work of one page. No worker asks for more, and more would hold up everything else."""

MAX_PAGE_BYTES: Final = 64 * 1024 * 1024
"""Most bytes that a page may write; workers ask for a sixteenth of it."""


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
    _CHECKS[type(command)](command)


def _check_page(command: ContinueSlice | ContinueFlow) -> None:
    _check_page_rows("max_scanned", command.max_scanned)
    _check_page_rows("max_matched", command.max_matched)
    _check_page_bytes(command.max_bytes)


def _check_control_slice(command: ControlSlice) -> None:
    _check_share("budget", command.budget)
    _check_rate(command.max_rate)


def _check_slice_report(command: SliceReport) -> None:
    _check_share("acted", command.acted)


def _check_rows(command: ReleaseHeld | ActMembers | Tick) -> None:
    _check_page_rows("max_rows", command.max_rows)
    _check_page_bytes(command.max_bytes)


def _check_act_members(command: ActMembers) -> None:
    _check_members(command)
    validation.check_grace(command.grace_ms)
    validation.check_cause(command.cause)
    _check_rows(command)


def _check_tick(command: Tick) -> None:
    _check_rows(command)
    if command.reconcile_interval_ms < 0:
        refuse("reconcile_interval_ms", f"is {command.reconcile_interval_ms}: it must be at least 0")
    # Its successor inherits them.
    if fault := validation.labels_fault(command.reconcile_labels):
        refuse("reconcile_labels", fault)


def _check_members(command: JoinFlow | MemberEnded | MemberAck | ActMembers) -> None:
    """Check the list of members of a flow: an entry made of anything else could never be removed."""
    validation.check_id("flow_id", command.flow_id)
    seqs = command.seqs
    if not seqs or seqs[0] < 0 or (len(seqs) > 1 and any(map(ge, seqs, seqs[1:]))):
        refuse("seqs", "must be offsets that rise, at least one: only workers write these")
    if type(command) is JoinFlow:
        if command.labels and (fault := validation.labels_fault(command.labels)):
            refuse("labels", fault)
    elif type(command) is MemberAck:
        for invocation_id in command.invocation_ids:
            validation.check_id("invocation_ids", invocation_id)


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


_CHECKS: Final[dict[type, Callable[[Any], None]]] = {
    StartSlice: _check_start_slice,
    ContinueSlice: _check_page,
    ContinueFlow: _check_page,
    ControlSlice: _check_control_slice,
    SliceReport: _check_slice_report,
    ReleaseHeld: _check_rows,
    JoinFlow: _check_members,
    MemberEnded: _check_members,
    MemberAck: _check_members,
    ActMembers: _check_act_members,
    Tick: _check_tick,
}
"""The check of each kind of internal command's own fields."""
