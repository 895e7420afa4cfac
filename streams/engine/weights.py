"""How many bytes a page is going to write, before it writes them: a page is bounded by them as by its rows.

An estimate that is never too low and the same in every replay: it comes from what stands in the table and in the
record alone. Whoever implements `View` weighs as is said here.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final

from msgspec.structs import astuple

from streams.engine.effects import Append, PutBatch, PutSlice, Send, UpdateRow
from streams.model import Action, Record, Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streams.engine.effects import Effect
    from streams.model import Batch, Cause, Ending, Row, Slice

MAX_BYTES: Final = 4 * 1024 * 1024
"""Of a page whose record does not say how many."""

SEQ: Final = 10
"""A row in the list of a page's delta."""
SIGNAL: Final = 64
"""What a signal has besides its key, invocation, payload and cause."""
RECORD: Final = 128
"""What a row's record has besides its key, invocation and texts."""
TOMBSTONES: Final = 32
"""Those of a row and its payload, without the id."""
_PROGRESS: Final = 1_024
"""What slices, headers and commands to slices have besides their texts."""


def limit_of(max_bytes: int) -> int:
    """What the `max_bytes` of a record means."""
    return max_bytes or MAX_BYTES


def text(value: str | None) -> int:
    """Bytes of a text; none of one that is absent."""
    return 0 if value is None else len(value.encode())


def of_cause(cause: Cause) -> int:
    """Bytes of the texts of a cause."""
    return text(cause.batch_id) + text(cause.flow_id) + text(cause.actor) + text(cause.reason)


def of_record(row: Row) -> int:
    """What it takes to write the row's own record."""
    return RECORD + len(row.encoded) + text(row.invocation_id) + text(row.deployment_id) + _of_ending(row.ending)


def of_start(row: Row, payload: int | None) -> int:
    """What it takes at most to write what becomes of a row: its record, and a START or another signal.

    `payload`: its bytes; None when the row has none.
    """
    cause = 0 if row.ending is None else of_cause(row.ending.cause)
    return of_record(row) + SIGNAL + len(row.encoded) + text(row.invocation_id) + cause + (payload or 0)


def of_matched(row: Row, action: Action, started: bool, payload: int | None, each: int) -> int:  # noqa: FBT001
    """What a row weighs in a page of `action` that it matches; that is also what it takes to read it.

    Args:
        row: the row.
        action: of the page.
        started: whether an executor may know the row.
        payload: as for `of_start`.
        each: bytes that the page's signal to one executor has of its cause.
    """
    if row.status is Status.PAUSED and action in {Action.PAUSE, Action.RESUME}:
        record = RECORD + len(row.encoded) + text(row.invocation_id) + text(row.deployment_id)
        if action is Action.PAUSE:
            return record
        return record + SIGNAL + len(row.encoded) + text(row.invocation_id) + (payload or 0)
    return SEQ + SIGNAL + each + len(row.encoded) + text(row.invocation_id) if started else SEQ


def of_removal(invocation_id: str) -> int:
    """What it takes to forget a row and its payload."""
    return TOMBSTONES + 2 * text(invocation_id)


def of_effects(effects: Iterable[Effect]) -> int:
    """What it takes to write what a tick does."""
    return sum(map(_of_effect, effects))


def _of_effect(effect: Effect) -> int:
    match effect:
        case UpdateRow():
            return of_record(effect.row)
        case Send():
            cause = 0 if effect.cause is None else of_cause(effect.cause)
            return SIGNAL + len(effect.encoded) + text(effect.invocation_id) + cause + len(effect.payload or b"")
        case PutSlice():
            return of_slice(effect.slice)
        case PutBatch():
            return of_batch(effect.batch, 0)
        case Append():
            return of_order(effect.key, 1)
        case _:
            return 0


def of_slice(slice_: Slice) -> int:
    """What it takes to write a slice, and its progress."""
    ids = sum(map(text, (*slice_.samples, *slice_.failures)))
    return _PROGRESS + _of_filter(slice_.filter) + of_cause(slice_.cause) + 4 * text(slice_.batch_id) + 2 * ids


def of_batch(batch: Batch, partitions: int) -> int:
    """What it takes to write a batch and its header, and to tell every partition of it."""
    start = batch.start
    texts = text(start.reason) + text(start.actor) + text(batch.error) + text(start.batch_id)
    return 2 * (_PROGRESS + _of_filter(start.filter) + texts) + of_order(start.batch_id, partitions)


def of_order(batch_id: str, partitions: int) -> int:
    """What it takes to tell every partition something of a batch."""
    return partitions * (SIGNAL + 2 * text(batch_id))


def _of_ending(ending: Ending | None) -> int:
    if ending is None:
        return 0
    return of_cause(ending.cause) + text(ending.counted_by) + text(ending.error)


def _of_filter(part: object) -> int:
    """Bytes of all texts in a filter, or in a part of one, each with its length."""
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
