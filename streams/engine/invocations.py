"""The life of one invocation as clients and executors drive it: the hot path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.engine.counters import REPEATED_INVOKE, STALE_REPORT
from streams.engine.effects import InsertRow, Send, UpdateRow
from streams.engine.guards import Guards
from streams.engine.ledger import Ledger
from streams.engine.lifecycle import follows
from streams.engine.members import cancel_children, ending_flow, turned_away
from streams.engine.objects import object_of, promotions
from streams.engine.rows import reported
from streams.engine.standing import turn_away
from streams.model import TERMINAL, Ending, FlowAction, Row, SignalKind, Status
from streams.protocol.content import content_hash
from streams.protocol.validation import CommandRefusedError, check_invoke, check_report

if TYPE_CHECKING:
    from streams.engine.answers import At
    from streams.engine.effects import Effect
    from streams.engine.view import View
    from streams.model import Invoke, ReportTransition, Slice

# Looking up an enum's member costs as much as copying a row.
_START = SignalKind.START
_SCHEDULED, _PENDING, _READY = Status.SCHEDULED, Status.PENDING, Status.READY
_RUNNING, _BACKING_OFF = Status.RUNNING, Status.BACKING_OFF


def invoke(command: Invoke, at: At, view: View) -> list[Effect]:
    """Start, schedule or adopt a new invocation, or end it by a rule. A known one is left alone."""
    check_invoke(command)
    invocation = command.invocation
    digest = content_hash(command)
    known = view.row(invocation.invocation_id)
    if known is not None:
        return _again(known, digest)
    rule = view.at_the_door(invocation, at.now)
    if rule is not None or invocation.flow_id is not None or invocation.parent_id is not None:
        refusal = _at_the_door(rule, command, at, digest, view)
        if refusal is not None:
            return refusal
    scheduled_at = command.scheduled_at
    if scheduled_at is not None and scheduled_at > at.now:
        row = _arrived(command, at, digest, _SCHEDULED, 0, None, scheduled_at)
        return [InsertRow(row, invocation, command.payload)]
    due_at = None if invocation.lease_ms is None else at.now + invocation.lease_ms
    if command.adopt:
        row = _arrived(command, at, digest, _RUNNING, 1, at.offset, due_at)
        return [InsertRow(row, invocation, command.payload)]
    if invocation.object_key is not None and (waiting := _waiting(command, at, digest, view)) is not None:
        return waiting
    row = _arrived(command, at, digest, _READY, 1, at.offset, due_at)
    start = Send(_START, row.invocation_id, command.encoded, at.offset, 1, 0, at.now, command.payload)
    return [InsertRow(row, invocation, command.payload), start]


def _at_the_door(rule: Slice | None, command: Invoke, at: At, digest: int, view: View) -> list[Effect] | None:
    """The effects if a standing rule or a cancelled flow ends the invocation as it arrives; None if it may come in."""
    if rule is not None:
        status, attempt, started_seq = (_RUNNING, 1, at.offset) if command.adopt else (_PENDING, 0, None)
        row = _arrived(command, at, digest, status, attempt, started_seq, None)
        action = FlowAction(rule.action.value)
        return turn_away(row, rule, command, at) + cancel_children(
            row.invocation_id, action, rule.grace_ms, rule.on_timeout, rule.cause, at, view
        )
    flow = None if command.adopt else ending_flow(command.invocation, at, view)
    if flow is None:
        return None
    return turned_away(_arrived(command, at, digest, _PENDING, 0, None, None), flow, command, at, view)


def _waiting(command: Invoke, at: At, digest: int, view: View) -> list[Effect] | None:
    """The effects that put a new invocation into its object's inbox; None when nothing is ahead of it."""
    row = _arrived(command, at, digest, _PENDING, 0, None, None)
    object_ = object_of(row)
    if object_ is None:
        raise AssertionError(f"invocation {row.invocation_id} waits for no object")
    inbox = view.inboxes([object_], frozenset())[object_]
    if not inbox.started and inbox.head is None:
        return None
    arrived: list[Effect] = [InsertRow(row, command.invocation, command.payload)]
    return arrived if inbox.started else [*arrived, *promotions((), at, view, Guards(view), [object_])]


def _arrived(
    command: Invoke,
    at: At,
    digest: int,
    status: Status,
    attempt: int,
    started_seq: int | None,
    due_at: int | None,
) -> Row:
    """The row of a new invocation; attempt 0 means that no executor has seen it."""
    invocation = command.invocation
    # By place: names cost as much as the row.
    return Row(
        invocation.invocation_id,
        command.encoded,
        at.offset,
        digest,
        status,
        attempt,
        -1,
        at.now,
        at.now,
        started_seq,
        None,
        command.scheduled_at,
        due_at,
        None,
        False,
        None,
        command.adopt,
        invocation.lease_ms,
        None,
        invocation.object_key,
        invocation.flow_id,
        invocation.parent_id,
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
    """Apply an executor's report. A report that is late or out of turn is counted and ignored."""
    check_report(command)
    row = view.row(command.invocation_id)
    to = command.to
    if row is None or _stale(command, row) or not follows(row, to):
        return [STALE_REPORT]
    if to in TERMINAL:
        return _ended(command, row, at, view)
    due_at = None
    if to is _BACKING_OFF:
        due_at = command.retry_at
    elif to is _RUNNING and row.lease_ms is not None:
        due_at = at.now + row.lease_ms
    return [UpdateRow(reported(row, command, at.now, due_at, row.ending))]


def _stale(command: ReportTransition, row: Row) -> bool:
    """True if the report is of another attempt or an earlier life of the id, or was overtaken by a later report."""
    return (
        command.attempt != row.attempt
        or (command.seq is not None and command.seq != row.seq)
        or (command.report_no is not None and command.report_no <= row.last_report_no)
    )


def _ended(command: ReportTransition, row: Row, at: At, view: View) -> list[Effect]:
    """Apply a report of the end. A batch that waits for the row counts it as done only if it was cancelled."""
    error = command.error
    asked = row.ending if row.status is Status.CANCELLING else None
    if asked is None or command.to is not Status.CANCELLED:
        ending = None if error is None else Ending(error=error)
    else:
        ending = Ending(asked.cause, asked.on_timeout, asked.grace_until, asked.repeat, None, error)
    effects: list[Effect] = [UpdateRow(reported(row, command, at.now, None, ending))]
    if asked is not None and asked.counted_by is not None:
        ledger = Ledger(at, view)
        ledger.settle(asked.counted_by, "done" if command.to is Status.CANCELLED else "skipped")
        effects += ledger.effects()
    if row.object_key is not None:
        effects += promotions(effects, at, view, _guards_behind(row, command.to, view))
    return effects


def _guards_behind(row: Row, to: Status, view: View) -> Guards:
    """The guards once the row has ended: a child that joins later is cancelled then, if its parent was."""
    if to is not Status.CANCELLED and row.status is not Status.CANCELLING:
        return Guards(view)
    if view.flow(row.invocation_id, children=True) is not None:
        return Guards(view)
    this = frozenset({row.seq})
    return Guards(view, ending=this) if to is Status.CANCELLED else Guards(view, freed=this)
