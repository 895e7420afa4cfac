"""Time: what a tick does to rows that are due, and what it forgets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from streams.model import BatchState, ControlSlice, FlowAction, OnTimeout, SignalKind, SliceOperation, Status
from support.reference import asking, leads, members, objects, rows, slices
from support.reference.state import Part, Row

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from streams.model import Tick
    from support.reference.partition import Partition

_LAST = {BatchState.COMPLETED, BatchState.ABORTED, BatchState.REJECTED}


def tick(p: Partition, command: Tick) -> None:
    """At most max_rows pieces of work in order of their time, then of what is to be forgotten; more: its successor."""
    if command.tick_no != p.tick_no + 1:
        return
    p.tick_no = command.tick_no
    asked, command = command, _by_the_log(p, command)
    p.reconcile_labels = command.reconcile_labels
    now = min(command.due_until, p.clock)
    due = _due(p, now)
    work = [*due, *_ended(p, command)]
    backlog = asking.backlog(p, now, command.reconcile_interval_ms)
    # Rows that rest on old page deltas are written out again: nothing shows but that less room is left for the rest.
    resting = [
        row for row in p.rows.values() if row.paged_at is not None and row.paged_at < command.batches_ended_before
    ]
    pieces = work[: command.max_rows]
    # Whoever this tick kills dooms its children, also those whose own time came a moment earlier.
    doomed = {piece.invocation_id for piece in pieces if isinstance(piece, Row) and _is_killed(p, piece)}
    for number, piece in enumerate(pieces):
        if number == len(due):
            _promote(p)
        _do(p, piece, command, doomed)
    _promote(p)
    room = command.max_rows - len(work)
    least = room - len(resting)
    forgotten, left = _forget_batches(p, command, range(max(least, 0), max(room, 0) + 1))
    gone, stay = _forget_flows(p, command, range(max(least - forgotten, 0), max(room - forgotten, 0) + 1))
    forgotten, left = forgotten + gone, left + stay
    room_for_flows = range(max(least - forgotten, 0), max(room - forgotten, 0) + 1)
    forgotten += asking.reconcile(p, backlog, now, room_for_flows)
    if least > 0:
        for row in resting:
            row.paged_at = None
    p.keep_turning()
    successor = replace(asked, tick_no=command.tick_no + 1)
    # When no room is left there may well be more, or not.
    if room < 0 or left or (least <= forgotten and (p.number, successor) in p.seen.appended):
        p.append(p.number, successor)


def _promote(p: Partition) -> None:
    """Who is next is started before anything is forgotten that would not let them."""
    objects.promote(p)
    p.touched.clear()


def _by_the_log(p: Partition, command: Tick) -> Tick:
    """What is remembered is remembered by the partition's clock, however far ahead the worker's is."""
    rows_for = command.due_until - command.ended_before
    batches_for = command.due_until - command.batches_ended_before
    return replace(
        command,
        ended_before=min(command.ended_before, p.clock - rows_for),
        batches_ended_before=min(command.batches_ended_before, p.clock - batches_for),
    )


def _forget_batches(p: Partition, command: Tick, allowed: range) -> tuple[int, int]:
    """Finished batches, oldest first, as many as the engine had room for; returns how many, and how many are left."""
    old = [lead for lead in p.leads.values() if lead.state in _LAST and lead.updated_at < command.batches_ended_before]
    old.sort(key=lambda lead: (lead.updated_at, lead.start.batch_id))
    forgets = [each for _, each in p.seen.appended if isinstance(each, ControlSlice)]
    chosen = {each.batch_id for each in forgets if each.operation is SliceOperation.FORGET}
    if len(chosen) not in allowed and len(chosen) != len(old):
        p.wrong(f"{len(chosen)} of {len(old)} old batches are forgotten, {allowed} were allowed")
    for lead in old[: len(chosen)]:
        leads.forget(p, lead)
    return len(chosen), len(old) - len(chosen)


def _forget_flows(p: Partition, command: Tick, allowed: range) -> tuple[int, int]:
    """Flows without members, oldest first, as many as the engine had room for; returns how many, and how many stay."""
    old = [flow for flow in p.flows.values() if not flow.members and flow.updated_at < command.batches_ended_before]
    old.sort(key=lambda flow: (flow.updated_at, flow.name))
    gone = [flow for flow in old if p.seen.flow(flow.name) is None]
    if gone != old[: len(gone)] or (len(gone) not in allowed and len(gone) != len(old)):
        p.wrong(f"of {[flow.name for flow in old]} {[flow.name for flow in gone]} are forgotten, allowed: {allowed}")
    for flow in gone:
        del p.flows[flow.name]
    return len(gone), len(old) - len(gone)


def _due(p: Partition, until: int) -> list[object]:
    work: list[tuple[int, int, int | str, object]] = []
    rests = {Status.PAUSED}
    due = [row for row in p.rows.values() if row.due_at is not None and row.due_at <= until]
    work += [(row.due_at or 0, 0, row.seq, row) for row in due if row.status not in rests and not row.held]
    parts = [part for part in p.parts.values() if part.due_at is not None and part.due_at <= until]
    work += [(part.due_at or 0, 1, part.start.batch_id, part) for part in parts]
    leading = [lead for lead in p.leads.values() if lead.due_at is not None and lead.due_at <= until]
    work += [(lead.due_at or 0, 2, lead.start.batch_id, lead) for lead in leading]
    return [piece for *_, piece in sorted(work, key=lambda each: each[:3])]


def _ended(p: Partition, command: Tick) -> list[Row]:
    """What ended long ago, oldest first."""
    ended = [row for row in p.rows.values() if row.ended and row.modified_at < command.ended_before]
    return sorted(ended, key=lambda row: (row.modified_at, row.seq))


def _do(p: Partition, piece: Any, command: Tick, doomed: AbstractSet[str]) -> None:
    match piece:
        case Part():
            piece.due_at = None
            slices.pace(p, piece)
        case Row() if piece.ended and piece.modified_at < command.ended_before:
            del p.rows[piece.invocation_id]
        case Row():
            _row_due(p, piece, doomed)
        case _:
            leads.lapse(p, piece)


def _row_due(p: Partition, row: Row, doomed: AbstractSet[str]) -> None:
    match row.status:
        case Status.CANCELLING:
            _unanswered(p, row)
        case _ if row.invoke.invocation.parent_id in doomed or slices.guarded(p, row):
            slices.hold(p, row)
        case Status.SCHEDULED:
            rows.arrive(p, row)
        case _:
            rows.start(p, row)


def _is_killed(p: Partition, row: Row) -> bool:
    """Whether its grace is over, and that is its end."""
    ending = row.ending
    if row.status is not Status.CANCELLING or ending is None or ending.grace_until is None:
        return False
    return p.clock >= ending.grace_until and ending.on_timeout is OnTimeout.KILL


def _unanswered(p: Partition, row: Row) -> None:
    ending = row.ending
    assert ending is not None
    assert ending.grace_until is not None
    row.paged_at = None
    if p.clock < ending.grace_until:
        repeat = ending.repeat + 1
        row.ending = replace(ending, repeat=repeat)
        row.due_at = min(p.clock + rows.FIRST_REPEAT_MS * 2**repeat, ending.grace_until)
        p.signal(SignalKind.CANCEL, row, repeat, ending.cause)
    elif ending.on_timeout is OnTimeout.KILL:
        rows.over(p, row, Status.KILLED, ending.cause)
        p.signal(SignalKind.KILL, row, 0, ending.cause)
        members.hand_down(p, row, FlowAction.KILL, ending.cause, 0, ending.on_timeout)
        slices.settle(p, row, ending, "done")
        p.touch(row)
    else:
        row.due_at, row.modified_at = None, p.clock
        row.ending = replace(ending, counted_by=None)
        slices.settle(p, row, ending, "failed")
        p.given_up.append(row)
