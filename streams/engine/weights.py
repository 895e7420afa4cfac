"""Estimates of the bytes that a page will write: they bound a page, as its rows do.

An estimate is never too low, and the same in every replay: only the table and the record decide it. Every
implementation of `View` must weigh in this way.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final

from msgspec.structs import astuple

from streams.engine.answers import MAX_BYTES
from streams.engine.effects import Append, PutBatch, PutFlow, PutMembers, PutSlice, Send, UpdateRow
from streams.engine.lifecycle import stands_at
from streams.model import UNSTARTED, Action, Record, Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streams.engine.effects import Effect
    from streams.model import Batch, Cause, Ending, Flow, Row, Slice

SEQ: Final = 10
"""Bytes of a row in the list of a page's delta."""
SIGNAL: Final = 64
"""Bytes of a signal besides its key, invocation, payload and cause."""
RECORD: Final = 128
"""Bytes of a row's record besides its key, invocation and texts."""
TOMBSTONES: Final = 32
"""Bytes of the tombstones of a row and its payload, without the id."""
_PROGRESS: Final = 1_024
"""Bytes of slices, headers and commands to slices besides their texts."""


def limit_of(max_bytes: int) -> int:
    """The byte limit that the `max_bytes` of a record stands for."""
    return max_bytes or MAX_BYTES


def text(value: str | None) -> int:
    """Bytes of a text; 0 if it is absent."""
    if value is None:
        return 0
    return len(value) if value.isascii() else len(value.encode())


def of_cause(cause: Cause) -> int:
    """Bytes of the texts of a cause."""
    return text(cause.batch_id) + text(cause.flow_id) + text(cause.actor) + text(cause.reason)


def of_record(row: Row) -> int:
    """Bytes of the row's own record."""
    return RECORD + len(row.encoded) + text(row.invocation_id) + text(row.deployment_id) + _of_ending(row.ending)


def of_start(row: Row, payload: int | None) -> int:
    """Most bytes to write for a row's next step: its record, and a START or another signal.

    `payload`: size of the payload, bytes; None if the row has none.
    """
    cause = 0 if row.ending is None else of_cause(row.ending.cause)
    return of_record(row) + SIGNAL + len(row.encoded) + text(row.invocation_id) + cause + (payload or 0)


def of_matched(row: Row, action: Action, started: bool, payload: int | None, each: int) -> int:  # noqa: FBT001
    """Weight of a row in a page of `action` that matches it, bytes. It bounds what is read for the row, too.

    Args:
        row: the row.
        action: the page's action.
        started: whether an executor may know the row.
        payload: as for `of_start`.
        each: bytes that the cause takes in each signal of the page.
    """
    again = row.status is Status.CANCELLING and row.due_at is None and action is Action.CANCEL
    paused = row.status is Status.PAUSED and action in {Action.PAUSE, Action.RESUME}
    if again or paused or action is Action.RESTART:
        record = RECORD + len(row.encoded) + text(row.invocation_id) + text(row.deployment_id)
        if action is Action.PAUSE:
            return record
        # The record of a row that is asked again names the cause, and the batch once more.
        rest = 3 * each if again else payload or 0
        return record + SIGNAL + len(row.encoded) + text(row.invocation_id) + rest
    return SEQ + SIGNAL + each + len(row.encoded) + text(row.invocation_id) if started else SEQ


def of_member(row: Row, action: Action, payload: int | None, each: int) -> int:
    """Weight of a row in a page of a flow's members, bytes: as `of_matched`, and what its flows are told.

    Args:
        row: the row.
        action: as for `of_matched`.
        payload: likewise.
        each: likewise.
    """
    told = 0
    if row.flow_id is not None:
        told += SIGNAL + SEQ + 2 * text(row.flow_id)
    if row.parent_id is not None:
        told += SIGNAL + SEQ + 2 * text(row.parent_id)
    return told + of_matched(row, action, stands_at(row) not in UNSTARTED, payload, each)


def of_removal(invocation_id: str) -> int:
    """Bytes to forget a row and its payload."""
    return TOMBSTONES + 2 * text(invocation_id)


def of_effects(effects: Iterable[Effect]) -> int:
    """Bytes to write the effects of a tick."""
    return sum(map(_of_effect, effects))


def _of_effect(effect: Effect) -> int:  # noqa: PLR0911 - one for each kind
    match effect:
        case UpdateRow():
            return of_record(effect.row)
        case Send():
            cause = 0 if effect.cause is None else of_cause(effect.cause)
            return SIGNAL + len(effect.encoded) + text(effect.invocation_id) + cause + len(effect.payload or b"")
        case PutSlice():
            return of_slice(effect.slice)
        case PutFlow():
            return of_flow(effect.flow)
        case PutBatch():
            return of_batch(effect.batch, 0)
        case PutMembers():
            return (SEQ + SIGNAL + 2 * text(effect.flow_id)) * len(effect.seqs)
        case Append():
            seqs, labels = getattr(effect.command, "seqs", ()), getattr(effect.command, "labels", {})
            return of_order(effect.key, 1) + SEQ * len(seqs) + _of_filter(labels)
        case _:
            return 0


def of_slice(slice_: Slice) -> int:
    """Bytes to write a slice and its progress."""
    ids = sum(map(text, (*slice_.samples, *slice_.failures)))
    return _PROGRESS + _of_filter(slice_.filter) + of_cause(slice_.cause) + 4 * text(slice_.batch_id) + 2 * ids


def of_batch(batch: Batch, partitions: int) -> int:
    """Bytes to write a batch and its header, and one command about it to every partition."""
    start = batch.start
    texts = text(start.reason) + text(start.actor) + text(batch.error) + text(start.batch_id)
    return 2 * (_PROGRESS + _of_filter(start.filter) + texts) + of_order(start.batch_id, partitions)


def of_flow(flow: Flow) -> int:
    """Bytes to write a flow and its progress."""
    texts = of_cause(flow.cause) + text(flow.escalated_by) + _of_filter(flow.recheck_labels) + 2 * text(flow.flow_id)
    return _PROGRESS + 2 * texts + 2 * sum(map(text, flow.failures)) + SEQ * (len(flow.cursors) + len(flow.asked))


def of_flows(effects: Iterable[Effect]) -> int:
    """Bytes to write what a page means for flows besides its rows."""
    return sum(_of_effect(effect) for effect in effects if isinstance(effect, (PutFlow, PutMembers, Append)))


def of_order(batch_id: str, partitions: int) -> int:
    """Bytes to send every partition a command about a batch."""
    return partitions * (SIGNAL + 2 * text(batch_id))


def _of_ending(ending: Ending | None) -> int:
    if ending is None:
        return 0
    return of_cause(ending.cause) + text(ending.counted_by) + text(ending.error)


def _of_filter(part: object) -> int:
    """Bytes of all texts in a filter or a part of one, each with its length prefix."""
    match part:
        case str():
            return 2 + text(part)
        case dict():
            return sum(map(_of_filter, chain.from_iterable(part.items())))
        case tuple():
            return sum(map(_of_filter, part))
        case Record():
            return sum(map(_of_filter, astuple(part)))
        case _:
            return SEQ
