"""The life of one invocation: arrivals, reports, acts, and what starts and ends it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from msgspec.structs import replace

from streams.model import Action, Ending, FlowAction, OnTimeout, SignalKind, Status
from support.reference import flows, members, objects, slices, standing
from support.reference.partition import Partition, Refused
from support.reference.state import ENDED, NOT_STARTED, Row

if TYPE_CHECKING:
    from streams.model import Act, Cause, Invoke, ReportTransition

GRACE_MS = 30_000
FIRST_REPEAT_MS = 5_000
"""The protocol says "with backoff" and no more; this is what the project's engine took, doubled each time."""
DAY_MS = 24 * 60 * 60 * 1000


def invoke(p: Partition, command: Invoke) -> None:
    """Unknown id: SCHEDULED, PENDING, or READY + START; a known one: nothing, if it says the same."""
    invocation = command.invocation
    if invocation.lease_ms is not None and invocation.lease_ms < 1:
        raise Refused("invalid_lease_ms")
    objects.check(invocation)
    if command.adopt and command.scheduled_at is not None:
        raise Refused("invalid_scheduled_at")
    known = p.rows.get(invocation.invocation_id)
    if known is not None:
        if replace(known.invoke, encoded=b"") != replace(command, encoded=b""):
            raise Refused("conflicting_invoke")
        return
    row = Row(command, p.offset, Status.SCHEDULED, p.clock, p.clock)
    p.rows[row.invocation_id] = row
    if command.adopt:
        row.status, row.attempt, row.started_seq = Status.RUNNING, 1, p.offset
        row.due_at = _lease(p, row)
    if not standing.ended_at_the_door(p, row) and not members.ended_at_the_door(p, row) and not command.adopt:
        arrive(p, row)
    if row.ended:
        # It has never been in its object's line.
        p.touched.clear()
    members.join(p, row)


def arrive(p: Partition, row: Row) -> None:
    """It is scheduled, waits for its object, or is started."""
    row.paused_from, row.held, row.modified_at, row.paged_at = None, False, p.clock, None
    match _arrives_as(p, row):
        case Status.SCHEDULED:
            row.status, row.due_at = Status.SCHEDULED, row.invoke.scheduled_at
        case Status.PENDING:
            row.status, row.due_at = Status.PENDING, None
            p.touch(row)
        case _:
            start(p, row)


def _arrives_as(p: Partition, row: Row) -> Status:
    scheduled_at = row.invoke.scheduled_at
    if scheduled_at is not None and scheduled_at > p.clock:
        return Status.SCHEDULED
    return Status.READY if row.invoke.invocation.object_key is None else Status.PENDING


def start(p: Partition, row: Row) -> None:
    """READY, its next attempt, START."""
    row.status, row.paused_from, row.held = Status.READY, None, False
    row.attempt += 1
    row.last_report_no = -1
    row.modified_at, row.paged_at = p.clock, None
    row.started_seq = p.offset if row.started_seq is None else row.started_seq
    row.due_at = _lease(p, row)
    p.signal(SignalKind.START, row)


def _lease(p: Partition, row: Row) -> int | None:
    lease_ms = row.invoke.invocation.lease_ms
    return None if lease_ms is None else p.clock + lease_ms


# --- reports ----------------------------------------------------------------------------------------------------

_FROM = {
    Status.RUNNING: {Status.READY, Status.RUNNING, Status.SUSPENDED},
    Status.SUSPENDED: {Status.READY, Status.RUNNING, Status.SUSPENDED},
    Status.BACKING_OFF: {Status.READY, Status.RUNNING, Status.SUSPENDED},
}


def report(p: Partition, command: ReportTransition) -> None:
    """Applied when attempt, seq and number fit and the status follows; everything else is ignored."""
    if command.to is Status.BACKING_OFF and command.retry_at is None:
        raise Refused("invalid_retry_at")
    row = p.rows.get(command.invocation_id)
    if row is None or not _current(row, command):
        return
    ends = command.to in {Status.COMPLETED, Status.FAILED, Status.CANCELLED}
    if not (row.started if ends else row.status in _FROM.get(command.to, ())):
        return
    asked = row.ending if row.status is Status.CANCELLING else None
    if command.report_no is not None:
        row.last_report_no = command.report_no
    if command.deployment_id is not None:
        row.deployment_id = command.deployment_id
    row.modified_at, row.held, row.paged_at = p.clock, False, None
    if ends:
        by_cancel = asked is not None and command.to is Status.CANCELLED
        over(p, row, command.to, asked.cause if asked is not None and by_cancel else None, command.error)
        if row.ending is not None and asked is not None and by_cancel:
            row.ending = replace(row.ending, on_timeout=asked.on_timeout)
        slices.settle(p, row, asked, "done" if by_cancel else "skipped")
        p.touch(row)
        return
    row.status = command.to
    row.due_at = {Status.BACKING_OFF: command.retry_at, Status.RUNNING: _lease(p, row)}.get(command.to)


def _current(row: Row, command: ReportTransition) -> bool:
    return (
        command.attempt == row.attempt
        and command.seq in {None, row.seq}
        and (command.report_no is None or command.report_no > row.last_report_no)
    )


# --- acts -------------------------------------------------------------------------------------------------------


def act(p: Partition, command: Act) -> None:
    """One action on one invocation; it counts in no batch."""
    if command.grace_ms is not None and not 0 <= command.grace_ms <= DAY_MS:
        raise Refused("invalid_grace_ms")
    row = p.rows.get(command.invocation_id)
    if row is None or (command.only_unstarted and row.started_seq is not None):
        return
    if command.seq is not None and command.seq != row.seq:
        return
    grace_ms = GRACE_MS if command.grace_ms is None else command.grace_ms
    if carry_out(p, row, command.action, command.cause, grace_ms, command.on_timeout, None):
        row.paged_at = None


def concerns(p: Partition, row: Row, action: Action) -> bool:
    """Whether the action does anything to the row."""
    match action:
        case Action.KILL:
            return not row.ended
        case Action.CANCEL:
            return not row.ended and (row.status is not Status.CANCELLING or given_up(row))
        case Action.PAUSE:
            return not row.ended and row.status not in {Status.CANCELLING, Status.PAUSED}
        case Action.RESUME:
            # What a batch is about to end does not go on first.
            return row.status is Status.PAUSED and not slices.guarded(p, row)
        case Action.PURGE:
            return row.ended
        case Action.RESTART:
            # Nothing here can start what ran elsewhere.
            return row.ended and not row.adopted and not slices.about_to_end(p, _as_restarted(p, row))


def _as_restarted(p: Partition, row: Row) -> Row:
    """The row as it would stand."""
    status = _arrives_as(p, row)
    started_seq = p.offset if status is Status.READY else None
    return dataclasses.replace(row, status=status, modified_at=p.clock, started_seq=started_seq, ending=None)


def given_up(row: Row) -> bool:
    """Whether it was asked to end, and left alone when its grace had ended."""
    return row.status is Status.CANCELLING and row.due_at is None


def carry_out(
    p: Partition, row: Row, action: Action, cause: Cause, grace_ms: int, on_timeout: OnTimeout, batch_id: str | None
) -> bool:
    """Act on the row, for a batch or for nobody's count; whether there was anything to do."""
    if not concerns(p, row, action):
        return False
    if action not in {Action.PURGE, Action.RESTART}:
        p.touch(row)
    match action:
        case Action.KILL:
            _kill(p, row, cause)
        case Action.CANCEL if not row.started:
            over(p, row, Status.CANCELLED, cause)
        case Action.CANCEL:
            repeat = row.ending.repeat + 1 if row.ending is not None and given_up(row) else 0
            _ask(p, row, Ending(cause, on_timeout, p.clock + grace_ms, repeat, batch_id))
        case Action.PAUSE:
            _pause(p, row, cause)
        case Action.RESUME | Action.RESTART:
            (_restart if row.ended else resume)(p, row)
        case Action.PURGE:
            del p.rows[row.invocation_id]
    if action in {Action.KILL, Action.CANCEL}:
        members.hand_down(p, row, FlowAction(action), cause, grace_ms, on_timeout)
    return True


def _kill(p: Partition, row: Row, cause: Cause) -> None:
    started, asked = row.started, row.ending if row.status is Status.CANCELLING else None
    over(p, row, Status.KILLED, cause)
    if started:
        p.signal(SignalKind.KILL, row, 0, cause)
    slices.settle(p, row, asked, "skipped")


def _ask(p: Partition, row: Row, ending: Ending) -> None:
    grace_until = p.clock if ending.grace_until is None else ending.grace_until
    row.status, row.paused_from, row.held, row.modified_at = Status.CANCELLING, None, False, p.clock
    row.ending, row.due_at = ending, min(p.clock + FIRST_REPEAT_MS, grace_until)
    p.signal(SignalKind.CANCEL, row, ending.repeat, ending.cause)


def _pause(p: Partition, row: Row, cause: Cause) -> None:
    if row.status is not Status.PAUSED:
        if row.started:
            p.signal(SignalKind.PAUSE, row, 0, cause)
        row.paused_from, row.status, row.modified_at = row.status, Status.PAUSED, p.clock
    row.held = False


def resume(p: Partition, row: Row) -> None:
    """As an arrival if it was never started, else its next attempt."""
    if row.paused_from in NOT_STARTED:
        arrive(p, row)
    else:
        start(p, row)


def _restart(p: Partition, row: Row) -> None:
    """As an arrival at its old seq; it joins its flows again, and that of its children is open again."""
    p.restarted.append(row)
    row.ending, row.held, row.started_seq, row.due_at = None, False, None, None
    arrive(p, row)
    flows.open_again(p, (True, row.invocation_id))
    members.join(p, row, restarted=True)


def over(p: Partition, row: Row, status: Status, cause: Cause | None, error: str | None = None) -> None:
    """It has ended, by `cause` if by anybody but its executor."""
    assert status in ENDED
    p.over.append(row)
    row.status, row.modified_at, row.due_at, row.paused_from, row.held = status, p.clock, None, None, False
    row.ending = None if cause is None and error is None else Ending(cause or Ending().cause, error=error)
