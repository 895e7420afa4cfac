"""The only way time acts: what is due, and what is to be forgotten."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, assert_never

from msgspec.structs import replace

from streams.engine.acts import ended, signal
from streams.engine.control import expiry_of, lapse
from streams.engine.counters import STALE_TICK
from streams.engine.effects import Append, RemoveBatch, RemoveRow, SetTick, UpdateRow
from streams.engine.guards import Guards
from streams.engine.ledger import Ledger
from streams.engine.lifecycle import next_repeat
from streams.engine.objects import promotions
from streams.engine.slices import next_page
from streams.engine.starts import arrive, start
from streams.engine.validate import check_internal, check_positive
from streams.model import (
    ENGINE_VERSION,
    Batch,
    ControlSlice,
    OnTimeout,
    Row,
    SignalKind,
    Slice,
    SliceOperation,
    Status,
    Tick,
)
from streams.rules import refuse

if TYPE_CHECKING:
    from streams.engine.effects import Effect
    from streams.engine.view import At, View


def tick(command: Tick, at: At, view: View) -> list[Effect]:
    """Handle what is due, at most `max_rows` pieces of work; if that was not all, another tick follows."""
    check_internal(command, at)
    check_positive("max_rows", command.max_rows)
    for field in ("ended_before", "batches_ended_before"):
        if getattr(command, field) > command.due_until:
            refuse(field, f"is {getattr(command, field)}, later than due_until, {command.due_until}")
    if command.tick_no != view.meta.tick_no + 1:
        return [STALE_TICK]
    effects: list[Effect] = [SetTick(command.tick_no)]
    left = command.max_rows
    due = _due(min(command.due_until, at.now), left, view)
    ledger, guards = Ledger(at, view), Guards(view)
    woken = None
    for _, piece in due:
        match piece:
            case Row():
                effects += _due_row(piece, at, view, guards, ledger)
            case Slice():
                ledger.wake(piece.batch_id)
                woken = woken or piece.batch_id
            case Batch():
                effects += lapse(piece, at)
    effects += promotions(effects, at, view, guards)
    effects += ledger.effects()
    if woken is not None and not view.meta.page_outstanding:
        effects += next_page(woken, at, view)
    left -= len(due)
    bounded = _on_the_partition_clock(command, at)
    left -= _forget_rows(bounded, {piece.seq for _, piece in due if isinstance(piece, Row)}, left, view, effects)
    left -= _forget_batches(bounded, left, view, effects)
    if left == 0:
        size = view.page_sizes.max_due or command.max_rows
        successor = replace(command, engine_version=ENGINE_VERSION, tick_no=command.tick_no + 1, max_rows=size)
        effects.append(Append(at.partition, f"tick/{at.partition}", successor))
    return effects


def _on_the_partition_clock(command: Tick, at: At) -> Tick:
    """A tick that remembers by the partition clock for as long as it asks for by its worker's, which may be ahead."""
    ahead = max(0, command.due_until - at.now)
    return replace(
        command,
        ended_before=max(0, command.ended_before - ahead),
        batches_ended_before=max(0, command.batches_ended_before - ahead),
    )


def _due(until: int, limit: int, view: View) -> list[tuple[int, Row | Slice | Batch]]:
    """The first pieces of work that are due, in order of their time."""
    pieces: list[tuple[int | None, Row | Slice | Batch]] = [(row.due_at, row) for row in view.due(until, limit)]
    pieces += [(slice_.due_at, slice_) for slice_ in view.due_slices(until, limit)]
    pieces += [(expiry_of(batch), batch) for batch in view.expiring(until, limit)]
    due = [(time, piece) for time, piece in pieces if time is not None]
    return sorted(due, key=itemgetter(0))[:limit]


def _due_row(row: Row, at: At, view: View, guards: Guards, ledger: Ledger) -> list[Effect]:
    """What time does to a row: a schedule fires, a retry begins, a lease ran out, or a cancel got no answer."""
    match row.status:
        case Status.SCHEDULED:
            return arrive(row, at, view, guards)
        case Status.BACKING_OFF | Status.READY | Status.RUNNING:
            return start(row, at, view, guards)
        case Status.CANCELLING:
            return _unanswered(row, at, ledger)
        case _:
            raise AssertionError(f"invocation {row.invocation_id} is {row.status} and can never be due")


def _unanswered(row: Row, at: At, ledger: Ledger) -> list[Effect]:
    """A cancel without an answer: asked again within its grace, settled by `on_timeout` after it."""
    ending = row.ending
    if ending is None or ending.grace_until is None:
        raise AssertionError(f"invocation {row.invocation_id} is CANCELLING and due without a grace")
    if at.now < ending.grace_until:
        repeat = ending.repeat + 1
        due_at = next_repeat(at.now, repeat, ending.grace_until)
        asked = replace(row, due_at=due_at, ending=replace(ending, repeat=repeat), delta=None)
        return [UpdateRow(asked), signal(SignalKind.CANCEL, row, repeat, at.now, ending.cause)]
    over = replace(ending, counted_by=None)
    match ending.on_timeout:
        case OnTimeout.KILL:
            if ending.counted_by is not None:
                ledger.settle(ending.counted_by, "done")
            killed = ended(row, Status.KILLED, at.now, over)
            return [UpdateRow(killed), signal(SignalKind.KILL, row, 0, at.now, ending.cause)]
        case OnTimeout.LEAVE:
            if ending.counted_by is not None:
                ledger.settle(ending.counted_by, "failed", failure=row.invocation_id)
            return [UpdateRow(replace(row, modified_at=at.now, due_at=None, ending=over, delta=None))]
        case _:
            assert_never(ending.on_timeout)


def _forget_rows(command: Tick, handled: set[int], limit: int, view: View, effects: list[Effect]) -> int:
    """Remove what ended long ago, and write out what rests on old deltas; returns the pieces of work taken."""
    gone = view.ended(command.ended_before, limit) if limit else ()
    effects += [RemoveRow(seq, invocation_id) for seq, invocation_id in gone]
    left = limit - len(gone)
    resting = view.on_old_deltas(command.batches_ended_before, left) if left else ()
    # The view shows the table before this tick: what the tick has written or removed must not be written back.
    handled |= {seq for seq, _ in gone}
    effects += [UpdateRow(replace(row, delta=None)) for row in resting if row.seq not in handled]
    return len(gone) + len(resting)


def _forget_batches(command: Tick, limit: int, view: View, effects: list[Effect]) -> int:
    """Forget finished batches, here and on every partition; returns how many."""
    finished = view.finished_batches(command.batches_ended_before, limit) if limit else ()
    for batch_id in finished:
        effects.append(RemoveBatch(batch_id))
        effects += [
            Append(partition, batch_id, ControlSlice(ENGINE_VERSION, partition, batch_id, SliceOperation.FORGET))
            for partition in range(view.partitions)
        ]
    return len(finished)
