"""Ticks, the only way in which time acts: on what is due, and on what is to be forgotten."""

from __future__ import annotations

from itertools import accumulate
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple, assert_never

from msgspec.structs import replace

from streams.engine.counters import STALE_TICK
from streams.engine.effects import Append, PutSlice, RemoveBatch, RemoveRow, SetTick, UpdateRow
from streams.engine.flow_ticks import forget_flows, reconcile
from streams.engine.guards import Guards
from streams.engine.lead_control import expiry_of, lapse
from streams.engine.ledger import Ledger
from streams.engine.lifecycle import next_repeat
from streams.engine.objects import promotions_within
from streams.engine.rotation import next_page
from streams.engine.rows import ended, signal
from streams.engine.starts import arrive, start
from streams.engine.validate import check_internal
from streams.engine.weights import limit_of, of_batch, of_effects, of_order, of_removal, of_slice
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
from streams.protocol.validation import refuse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from streams.engine.answers import At
    from streams.engine.effects import Effect
    from streams.engine.view import View


def tick(command: Tick, at: At, view: View) -> list[Effect]:
    """Handle what is due, within `max_rows` and `max_bytes`. If more is left, another tick follows."""
    check_internal(command, at)
    for field in ("ended_before", "batches_ended_before"):
        if getattr(command, field) > command.due_until:
            refuse(field, f"is {getattr(command, field)}, later than due_until, {command.due_until}")
    if command.tick_no != view.meta.tick_no + 1:
        return [STALE_TICK]
    most = limit_of(command.max_bytes)
    due = _due(min(command.due_until, at.now), command.max_rows, most, view)
    more = sum(piece.weight for piece in due) >= most
    while (acted := _act(due, most, at, view)) is None:
        due, more = due[: len(due) // 2], True
    effects: list[Effect] = [SetTick(command.tick_no), *acted]
    left = _Left(command.max_rows - len(due), 0 if more else most - of_effects(acted))
    bounded = _on_the_partition_clock(command, at)
    handled = {piece.work.seq for piece in due if isinstance(piece.work, Row)}
    effects += _forget_rows(bounded, handled, left, view)
    effects += _forget_batches(bounded, left, view)
    effects += forget_flows(bounded, left, view)
    effects += reconcile(command, left, {row.invocation_id for row in _killed(due, at)}, at, view)
    if left.nothing:
        effects.append(_successor(command, at, view))
    return effects


class _Piece(NamedTuple):
    """A piece of work: its due time, what is due, and how many bytes it writes at most."""

    time: int
    work: Row | Slice | Batch
    weight: int


class _Left:
    """The rest of a tick's allowance after what was due: pieces of work, and bytes to write for them."""

    def __init__(self, pieces: int, size: int) -> None:
        self.pieces, self.bytes = pieces, size

    @property
    def nothing(self) -> bool:
        """True if the allowance is used up."""
        return self.pieces <= 0 or self.bytes <= 0

    def take(self, weight: int) -> None:
        """Take one piece of this weight, in bytes, from the allowance."""
        self.pieces -= 1
        self.bytes -= weight


def _act(due: Sequence[_Piece], most: int, at: At, view: View) -> list[Effect] | None:
    """The effects of all due pieces; None if there are several and they weigh more than `most` bytes together."""
    ledger, guards = Ledger(at, view), Guards(view, frozenset(row.seq for row in _killed(due, at)))
    effects: list[Effect] = []
    woken: list[str] = []
    for piece in due:
        match piece.work:
            case Row():
                effects += _due_row(piece.work, at, view, guards, ledger)
            case Slice():
                ledger.wake(piece.work.batch_id)
                woken.append(piece.work.batch_id)
            case Batch():
                effects += lapse(piece.work, at)
    counted = ledger.effects()
    left = None
    if len(due) > 1:
        others = [each.slice for each in counted if isinstance(each, PutSlice) and each.slice.batch_id not in woken]
        left = max(0, most - sum(piece.weight for piece in due)) - sum(map(of_slice, others))
        if left < 0:
            return None
    promoted = promotions_within(left, effects, at, view, guards)
    if promoted is None:
        return None
    effects += promoted + counted
    if woken and not view.meta.page_outstanding:
        effects += next_page(woken[0], at, view)
    return effects


def _killed(due: Sequence[_Piece], at: At) -> Iterator[Row]:
    """The due rows that are killed because their grace has ended."""
    for piece in due:
        row = piece.work
        ending = row.ending if isinstance(row, Row) and row.status is Status.CANCELLING else None
        if ending is None or ending.on_timeout is not OnTimeout.KILL or ending.grace_until is None:
            continue
        if at.now >= ending.grace_until and isinstance(row, Row):
            yield row


def _successor(command: Tick, at: At, view: View) -> Append:
    """The next tick, which continues where this one ended."""
    sizes = view.page_sizes
    successor = replace(
        command,
        engine_version=ENGINE_VERSION,
        tick_no=command.tick_no + 1,
        max_rows=sizes.max_due or command.max_rows,
        max_bytes=sizes.max_bytes,
    )
    return Append(at.partition, f"tick/{at.partition}", successor)


def _on_the_partition_clock(command: Tick, at: At) -> Tick:
    """The tick with its retention moved to the partition clock, which may be behind the clock of its worker."""
    ahead = max(0, command.due_until - at.now)
    return replace(
        command,
        ended_before=max(0, command.ended_before - ahead),
        batches_ended_before=max(0, command.batches_ended_before - ahead),
    )


def _due(until: int, limit: int, most: int, view: View) -> list[_Piece]:
    """The first due pieces of work, in order of time, up to the one that brings their weight to `most` bytes."""
    rows = view.due(until, limit, most)
    pieces = [_Piece(row.due_at, row, weight) for row, weight in rows if row.due_at is not None]
    if sum(piece.weight for piece in pieces) >= most:
        # More rows may be due that were not read: slices and batches that are due later wait for them.
        until = pieces[-1].time
    slices = [(each.due_at, each) for each in view.due_slices(until, limit)]
    pieces += [_Piece(time, each, of_slice(each)) for time, each in slices if time is not None]
    batches = [(expiry_of(each), each) for each in view.expiring(until, limit)]
    pieces += [_Piece(time, each, of_batch(each, view.partitions)) for time, each in batches if time is not None]
    pieces = sorted(pieces, key=itemgetter(0))[:limit]
    reached = accumulate(piece.weight for piece in pieces)
    return pieces[: next((n for n, weight in enumerate(reached, 1) if weight >= most), limit)]


def _due_row(row: Row, at: At, view: View, guards: Guards, ledger: Ledger) -> list[Effect]:
    """The effects of time on a row: a schedule fires, a retry begins, a lease expires, or a cancel goes unanswered."""
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
    """Handle an unanswered cancel: repeat it within its grace, settle it by `on_timeout` afterwards."""
    ending = row.ending
    if ending is None or ending.grace_until is None:
        raise AssertionError(f"invocation {row.invocation_id} is CANCELLING and due without a grace")
    if at.now < ending.grace_until:
        repeat = ending.repeat + 1
        due_at = next_repeat(at.now, repeat, ending.grace_until)
        asked = replace(row, due_at=due_at, ending=replace(ending, repeat=repeat))
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
            return [UpdateRow(replace(row, modified_at=at.now, due_at=None, ending=over))]
        case _:
            assert_never(ending.on_timeout)


def _forget_rows(command: Tick, handled: set[int], left: _Left, view: View) -> list[Effect]:
    """Remove rows that ended long ago, and write out in full those that rest on old deltas."""
    effects: list[Effect] = []
    for seq, invocation_id in () if left.nothing else view.ended(command.ended_before, left.pieces):
        if left.nothing:
            break
        left.take(of_removal(invocation_id))
        effects.append(RemoveRow(seq, invocation_id))
        # The view shows the table before this tick, whose own writes and removals must not be undone.
        handled.add(seq)
    resting = () if left.nothing else view.on_old_deltas(command.batches_ended_before, left.pieces, left.bytes)
    for row, weight in resting:
        left.take(weight)
        if row.seq not in handled:
            effects.append(UpdateRow(row))
    return effects


def _forget_batches(command: Tick, left: _Left, view: View) -> list[Effect]:
    """Forget finished batches, here and on every partition."""
    effects: list[Effect] = []
    for batch_id in () if left.nothing else view.finished_batches(command.batches_ended_before, left.pieces):
        if left.nothing:
            break
        left.take(of_order(batch_id, view.partitions))
        effects.append(RemoveBatch(batch_id))
        effects += [
            Append(partition, batch_id, ControlSlice(ENGINE_VERSION, partition, batch_id, SliceOperation.FORGET))
            for partition in range(view.partitions)
        ]
    return effects
