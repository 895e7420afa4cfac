"""The progress of one batch, merged from its header and its slices.

Everything here is a pure function of records. Records have absolute values and a revision, and the highest revision of
a key wins, so neither order nor repetition matters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from streams import codec
from streams.model import (
    FINAL_SLICES,
    PAGING_SLICES,
    BatchHeader,
    BatchProgress,
    BatchState,
    Record,
    SliceProgress,
    SliceState,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

MAX_SAMPLES = 20

_LEAD = "lead"


class SliceKey(Record, frozen=True):
    """Key of a record of `batch-slices`; `partition` is None for the lead's header."""

    batch_id: str
    partition: int | None


class BatchRecords(Record, frozen=True):
    """The known records of a batch; slices may be known before their header."""

    header: BatchHeader | None = None
    slices: dict[int, SliceProgress] = msgspec.field(default_factory=dict)


def parse_key(key: bytes) -> SliceKey:
    """Take `<batch id>/lead` or `<batch id>/<partition>` apart; a batch id may hold slashes itself.

    Raises:
        ValueError: the key has neither form.
    """
    batch_id, slash, last = key.decode().rpartition("/")
    if not slash or not batch_id or not (last == _LEAD or last.isdecimal()):
        raise ValueError(f"key {key!r} is neither <batch id>/lead nor <batch id>/<partition>")
    return SliceKey(batch_id, None if last == _LEAD else int(last))


def with_record(batch: BatchRecords, record: BatchHeader | SliceProgress) -> BatchRecords:
    """The batch with one more record; the same object if the record is not newer than the known one."""
    match record:
        case BatchHeader():
            stale = batch.header is not None and record.revision <= batch.header.revision
            return batch if stale else BatchRecords(record, batch.slices)
        case SliceProgress():
            known = batch.slices.get(record.partition)
            stale = known is not None and record.revision <= known.revision
            return batch if stale else BatchRecords(batch.header, {**batch.slices, record.partition: record})


def with_tombstone(batch: BatchRecords, partition: int | None) -> BatchRecords:
    """The batch after a tombstone.

    A tombstone of the header removes the batch, slices included. That of a slice follows its header's: if there is a
    header again (the id is in use again) it changes nothing, without one it removes the slice.
    """
    if partition is None:
        return BatchRecords()
    if batch.header is not None or partition not in batch.slices:
        return batch
    return BatchRecords(None, {each: kept for each, kept in batch.slices.items() if each != partition})


def batch_progress(batch: BatchRecords) -> BatchProgress | None:
    """The batch's progress; None as long as its header is unknown.

    `rate` is the mean since the batch was created: rows acted on (matched but not skipped) a second. `eta_ms` is the
    time for the rows still to be looked at, at the mean speed so far. It is None if that is meaningless: before every
    slice has begun, with a limit, and once all rows have been looked at.
    """
    header = batch.header
    if header is None:
        return None
    slices = [batch.slices[partition] for partition in sorted(batch.slices)]
    state = _state(header, slices)
    rate, eta_ms = _speed(header, slices, state)
    records: list[BatchHeader | SliceProgress] = [header, *slices]
    return BatchProgress(
        **{name: getattr(header, name) for name in _FROM_HEADER},
        **{name: sum(getattr(each, name) for each in slices) for name in _SUMMED},
        state=state,
        partitions_done=sum(each.state in FINAL_SLICES for each in slices),
        rate=rate,
        eta_ms=eta_ms,
        samples=_first(each.samples for each in slices),
        failures=_first(each.failures for each in slices),
        revision=sum(each.revision + 1 for each in records),
        updated_at=max(each.updated_at for each in records),
        finished_at=_finished_at(header, slices, state),
    )


def pruned(batch: BatchRecords) -> BatchRecords:
    """The batch without what its progress does not need, so that it fits a record with thousands of partitions.

    Slices lose the id of their batch, and the samples and failures that its progress does not show: the length of ids
    then hardly matters. Its progress stays the same, now and after further records: a slice's lists only grow, so what
    was left out never comes among the first.
    """
    samples = failures = MAX_SAMPLES
    slices = {}
    for partition in sorted(batch.slices):
        slice_ = batch.slices[partition]
        kept = replace(slice_, batch_id="", samples=slice_.samples[:samples], failures=slice_.failures[:failures])
        samples -= len(kept.samples)
        failures -= len(kept.failures)
        slices[partition] = kept
    return BatchRecords(batch.header, slices)


def dump_records(batch: BatchRecords) -> bytes:
    """The batch in the form of the gateway's table: its records, each as in Kafka."""
    records = [*([] if batch.header is None else [batch.header]), *batch.slices.values()]
    return msgspec.msgpack.encode([codec.encode(record) for record in records])


def load_records(saved: bytes) -> BatchRecords:
    """The batch from the gateway's table, even if an older version saved it.

    Raises:
        BadRecordError: a newer version saved them.
    """
    batch = BatchRecords()
    for each in msgspec.msgpack.decode(saved, type=list[bytes]):
        record = codec.decode(each)
        if isinstance(record, BatchHeader | SliceProgress):
            batch = with_record(batch, record)
    return batch


_SUMMED = ("scan_total", "scanned", "matched", "done", "pending", "skipped", "failed", "held")
_COMPUTED = frozenset(
    {"state", "partitions_done", "rate", "eta_ms", "samples", "failures", "revision", "updated_at", "finished_at"}
)
_FROM_HEADER = tuple(name for name in BatchProgress.__struct_fields__ if name not in _COMPUTED.union(_SUMMED))


def _state(header: BatchHeader, slices: Collection[SliceProgress]) -> BatchState:
    states = {each.state for each in slices}
    if header.state in {BatchState.REJECTED, BatchState.PAUSED}:
        return header.state
    if len(slices) < header.partitions_total:
        return BatchState.STARTING
    if states & PAGING_SLICES:
        return BatchState.RUNNING
    if SliceState.DRAINING in states:
        return BatchState.DRAINING
    return BatchState.ABORTED if SliceState.ABORTED in states else BatchState.COMPLETED


def _speed(header: BatchHeader, slices: Collection[SliceProgress], state: BatchState) -> tuple[float, int | None]:
    if not slices:
        return 0.0, None
    # Each partition has its own clock: a slice may seem to have moved before its batch was created.
    elapsed_ms = max(1, max(each.updated_at for each in slices) - header.created_at)
    rate = sum(each.matched - each.skipped for each in slices) * 1000 / elapsed_ms
    scanned = sum(each.scanned for each in slices)
    left = sum(each.scan_total for each in slices) - scanned
    if state is not BatchState.RUNNING or header.limit is not None or scanned == 0 or left <= 0:
        return rate, None
    return rate, round(left * elapsed_ms / scanned)


def _first(lists: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(each for some in lists for each in some)[:MAX_SAMPLES]


def _finished_at(header: BatchHeader, slices: Collection[SliceProgress], state: BatchState) -> int | None:
    match state:
        case BatchState.REJECTED:
            return header.updated_at
        case BatchState.COMPLETED | BatchState.ABORTED:
            # The header may be published again after the last slice has ended; that must not move the end.
            return max(each.updated_at for each in slices)
        case _:
            return None
