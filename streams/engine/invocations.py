"""The life of one invocation as clients and executors drive it: the hot path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.engine.content import content_hash
from streams.engine.counters import REPEATED_INVOKE, STALE_REPORT
from streams.engine.effects import InsertRow, Send, UpdateRow
from streams.engine.errors import CommandRefusedError
from streams.engine.ledger import Ledger
from streams.engine.lifecycle import TERMINAL, follows
from streams.engine.validate import check_invoke, check_report
from streams.model import Ending, Row, SignalKind, Status

if TYPE_CHECKING:
    from streams.engine.effects import Effect
    from streams.engine.view import At, View
    from streams.model import Invoke, ReportTransition

_START = SignalKind.START


def invoke(command: Invoke, at: At, view: View) -> list[Effect]:
    """A new invocation is started, scheduled or adopted; one that is here already is left alone."""
    check_invoke(command)
    invocation = command.invocation
    digest = content_hash(command)
    known = view.row(invocation.invocation_id)
    if known is not None:
        return _again(known, digest)
    _, offset, now = at
    lease_ms = invocation.lease_ms
    status, attempt, started_seq = Status.READY, 1, offset
    due_at = None if lease_ms is None else now + lease_ms
    scheduled_at = command.scheduled_at
    if command.adopt:
        status = Status.RUNNING
    elif scheduled_at is not None and scheduled_at > now:
        return [InsertRow(_scheduled(command, at, digest), invocation, command.payload)]
    row = Row(
        invocation.invocation_id,
        command.encoded,
        offset,
        digest,
        status,
        attempt,
        -1,
        now,
        now,
        started_seq,
        None,
        scheduled_at,
        due_at,
        lease_ms=lease_ms,
    )
    if command.adopt:
        return [InsertRow(row, invocation, command.payload)]
    start = Send(_START, invocation.invocation_id, command.encoded, offset, attempt, 0, now, command.payload)
    return [InsertRow(row, invocation, command.payload), start]


def _scheduled(command: Invoke, at: At, digest: int) -> Row:
    """A row that no executor has seen yet: attempt 0, due at its start time."""
    invocation = command.invocation
    return Row(
        invocation_id=invocation.invocation_id,
        encoded=command.encoded,
        seq=at.offset,
        content_hash=digest,
        status=Status.SCHEDULED,
        attempt=0,
        last_report_no=-1,
        created_at=at.now,
        modified_at=at.now,
        scheduled_at=command.scheduled_at,
        due_at=command.scheduled_at,
        lease_ms=invocation.lease_ms,
    )


def _again(known: Row, digest: int) -> list[Effect]:
    if known.content_hash == digest:
        return [REPEATED_INVOKE]
    raise CommandRefusedError(
        "conflicting_invoke",
        f"invocation_id {known.invocation_id} is taken by an invocation of other content, logged at offset "
        f"{known.seq}: use a new id, or send the same content",
    )


def report(command: ReportTransition, at: At, view: View) -> list[Effect]:
    """An executor moves an invocation on; what is late or out of turn is ignored and counted."""
    check_report(command)
    row = view.row(command.invocation_id)
    to = command.to
    if row is None or _stale(command, row) or not follows(row, to):
        return [STALE_REPORT]
    if to in TERMINAL:
        return _ended(command, row, at, view)
    due_at = None
    if to is Status.BACKING_OFF:
        due_at = command.retry_at
    elif to is Status.RUNNING and row.lease_ms is not None:
        due_at = at.now + row.lease_ms
    return [UpdateRow(_reported(row, command, at.now, due_at, row.ending))]


def _stale(command: ReportTransition, row: Row) -> bool:
    """Of another attempt or life of the id, or overtaken by a later report."""
    return (
        command.attempt != row.attempt
        or (command.seq is not None and command.seq != row.seq)
        or (command.report_no is not None and command.report_no <= row.last_report_no)
    )


def _reported(row: Row, command: ReportTransition, now: int, due_at: int | None, ending: Ending | None) -> Row:
    # Built by position: this is half of all commands, and `replace` takes twice as long.
    return Row(
        row.invocation_id,
        row.encoded,
        row.seq,
        row.content_hash,
        command.to,
        row.attempt,
        row.last_report_no if command.report_no is None else command.report_no,
        row.created_at,
        now,
        row.started_seq,
        row.deployment_id if command.deployment_id is None else command.deployment_id,
        row.scheduled_at,
        due_at,
        None,
        False,
        ending,
        row.lease_ms,
    )


def _ended(command: ReportTransition, row: Row, at: At, view: View) -> list[Effect]:
    """The executor says it is over; a batch that waits for it counts it as done only if it was cancelled."""
    error = command.error
    asked = row.ending if row.status is Status.CANCELLING else None
    if asked is None or command.to is not Status.CANCELLED:
        ending = None if error is None else Ending(error=error)
    else:
        ending = Ending(asked.cause, asked.on_timeout, asked.grace_until, asked.repeat, None, error)
    effects: list[Effect] = [UpdateRow(_reported(row, command, at.now, None, ending))]
    if asked is not None and asked.counted_by is not None:
        ledger = Ledger(at, view)
        ledger.settle(asked.counted_by, "done" if command.to is Status.CANCELLED else "skipped")
        effects += ledger.effects()
    return effects
