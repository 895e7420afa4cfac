"""The transitions of a row, each with every field that it changes, and the signals that go with them.

A delta that the row rested on is none of them: the table clears it when it takes the row in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from streams.engine.effects import Send, UpdateRow
from streams.engine.lifecycle import next_repeat
from streams.model import Ending, SignalKind, Status

if TYPE_CHECKING:
    from streams.engine.answers import At
    from streams.engine.effects import Effect
    from streams.model import Cause, OnTimeout, ReportTransition, Row


def waiting(row: Row, status: Status, due_at: int | None, now: int) -> Row:
    """The row as SCHEDULED or PENDING: it waits for its time or for its object."""
    return replace(row, status=status, modified_at=now, due_at=due_at, paused_from=None, held=False)


def alive(row: Row) -> Row:
    """The ended row without its end and its first start, ready to arrive once more."""
    return replace(row, ending=None, held=False, started_seq=None, due_at=None)


def started(row: Row, at: At) -> Row:
    """The row as READY, with its next attempt."""
    return replace(
        row,
        status=Status.READY,
        attempt=row.attempt + 1,
        last_report_no=-1,
        modified_at=at.now,
        started_seq=at.offset if row.started_seq is None else row.started_seq,
        due_at=None if row.lease_ms is None else at.now + row.lease_ms,
        paused_from=None,
        held=False,
    )


def reported(row: Row, command: ReportTransition, now: int, due_at: int | None, ending: Ending | None) -> Row:
    """The row with the reported status."""
    return replace(
        row,
        status=command.to,
        last_report_no=row.last_report_no if command.report_no is None else command.report_no,
        modified_at=now,
        deployment_id=row.deployment_id if command.deployment_id is None else command.deployment_id,
        due_at=due_at,
        paused_from=None,
        held=False,
        ending=ending,
    )


def paused(row: Row, now: int) -> Row:
    """The row as PAUSED, with the status it is paused from."""
    return replace(
        row, status=Status.PAUSED, modified_at=now, due_at=None, paused_from=row.status, held=False, ending=None
    )


def asked(row: Row, cause: Cause, on_timeout: OnTimeout, grace_ms: int, now: int, counted_by: str | None = None) -> Row:
    """The row as CANCELLING, due when its CANCEL signal is repeated; `counted_by`: the batch that waits for it."""
    grace_until = now + grace_ms
    return replace(
        row,
        status=Status.CANCELLING,
        modified_at=now,
        due_at=next_repeat(now, 0, grace_until),
        paused_from=None,
        held=False,
        ending=Ending(cause, on_timeout, grace_until, counted_by=counted_by),
    )


def asked_again(
    row: Row, cause: Cause, on_timeout: OnTimeout, grace_ms: int, at: At, counted_by: str | None = None
) -> list[Effect]:
    """Ask for the end of a row whose grace has ended with LEAVE: a new grace, and the CANCEL signal's next `repeat`."""
    again = asked(row, cause, on_timeout, grace_ms, at.now, counted_by)
    repeat = 0 if row.ending is None else row.ending.repeat + 1
    if again.ending is not None:
        again = replace(again, ending=replace(again.ending, repeat=repeat))
    return [UpdateRow(again), signal(SignalKind.CANCEL, row, repeat, at.now, cause)]


def ended(row: Row, status: Status, now: int, ending: Ending) -> Row:
    """The row with its terminal status: nothing is due, held or paused any longer."""
    return replace(row, status=status, modified_at=now, due_at=None, paused_from=None, held=False, ending=ending)


def signal(
    kind: SignalKind, row: Row, repeat: int, now: int, cause: Cause | None, payload: bytes | None = None
) -> Send:
    """A signal to the executor of the row's attempt; `payload` goes with a START."""
    return Send(kind, row.invocation_id, row.encoded, row.seq, row.attempt, repeat, now, payload, cause)
