"""A batch at its lead partition: remembered, handed out to every partition, followed to its end."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from streams.engine.counters import REPEATED_BATCH, STALE_SLICE_REPORT
from streams.engine.effects import Append, PutBatch
from streams.engine.lead_control import RANK, hand_on, put, share_of_rate
from streams.engine.lifecycle import DEFAULT_GRACE_MS
from streams.engine.partitioner import partitions_of
from streams.engine.validate import check_internal, check_partition
from streams.model import (
    ENGINE_VERSION,
    Action,
    Batch,
    BatchHeader,
    BatchState,
    Cause,
    SlicePhase,
    StartSlice,
)
from streams.protocol.batch_validation import check_start_batch
from streams.protocol.content import content_hash
from streams.protocol.routing import routing_key
from streams.protocol.validation import CommandRefusedError, check_id

if TYPE_CHECKING:
    from streams.engine.answers import At
    from streams.engine.effects import Effect
    from streams.engine.view import View
    from streams.model import Filter, SliceReport, StartBatch

_FIRST_HOLDER: Final = 0
"""The first partition to act when a limit is handed from partition to partition."""


def start_batch(command: StartBatch, at: At, view: View) -> list[Effect]:
    """Remember the batch and hand out its slices. A batch that breaks a rule is remembered as REJECTED."""
    check_id("batch_id", command.batch_id)
    digest = content_hash(command)
    known = view.batch(command.batch_id)
    if known is not None:
        return _again(known, digest)
    error = _fault(command, at)
    start = command if error else _resolved(command)
    ids = command.filter.invocation_ids
    batch = Batch(
        start=replace(start, filter=replace(start.filter, invocation_ids=None)),
        content_hash=digest,
        ids=None if ids is None else len(set(ids)),
        state=BatchState.REJECTED if error else BatchState.STARTING,
        error=error,
        phases=(None,) * view.partitions,
        cutoffs=(-1,) * view.partitions,
        revision=at.offset,
        created_at=at.now,
        updated_at=at.now,
        max_rate=start.max_rate,
        holder=None if start.limit is None else _FIRST_HOLDER,
    )
    return [PutBatch(batch)] if error else [PutBatch(batch), *_slices_of(start, share_of_rate(batch), at, view)]


def _again(known: Batch, digest: int) -> list[Effect]:
    if known.content_hash == digest:
        return [REPEATED_BATCH]
    raise CommandRefusedError(
        "batch_id_conflict",
        f"batch_id {known.start.batch_id} is taken by a batch of other content, logged at {known.created_at}: "
        "use a new id, or send the same content",
    )


def _fault(command: StartBatch, at: At) -> str | None:
    """`<code>: <message>` of the first rule that the batch breaks."""
    try:
        check_start_batch(command, at.now)
    except CommandRefusedError as refusal:
        return f"{refusal.code}: {refusal.message}"
    return None


def _resolved(command: StartBatch) -> StartBatch:
    """The batch with its default grace filled in."""
    if command.action is not Action.CANCEL or command.grace_ms is not None:
        return command
    return replace(command, grace_ms=DEFAULT_GRACE_MS)


def _slices_of(start: StartBatch, max_rate: float | None, at: At, view: View) -> list[Append]:
    """One `StartSlice` for every partition, each with its share of the rate and of the limit."""
    cause = Cause(batch_id=start.batch_id, actor=start.actor, reason=start.reason)
    return [
        Append(
            partition,
            start.batch_id,
            StartSlice(
                engine_version=ENGINE_VERSION,
                partition=partition,
                batch_id=start.batch_id,
                lead=at.partition,
                action=start.action,
                filter=filter_,
                dry_run=start.dry_run,
                grace_ms=start.grace_ms or 0,
                on_timeout=start.on_timeout,
                cause=cause,
                budget=None if start.limit is None else start.limit if partition == _FIRST_HOLDER else 0,
                max_rate=max_rate,
                standing_until=None if start.dry_run else start.standing_until,
            ),
        )
        for partition, filter_ in enumerate(_split(start.filter, view.partitions))
    ]


def _split(filter_: Filter, partitions: int) -> list[Filter]:
    """The filter for each partition. It lists only the ids that live there, sorted, each once."""
    if filter_.invocation_ids is None:
        return [filter_] * partitions
    ids = sorted(set(filter_.invocation_ids))
    by_partition: defaultdict[int, list[str]] = defaultdict(list)
    for partition, id_ in zip(partitions_of([routing_key(id_) for id_ in ids], partitions), ids, strict=True):
        by_partition[partition].append(id_)
    return [replace(filter_, invocation_ids=tuple(by_partition[partition])) for partition in range(partitions)]


def slice_report(command: SliceReport, at: At, view: View) -> list[Effect]:
    """Record a slice's progress. The batch is as far as its slowest slice."""
    check_internal(command, at)
    batch = view.batch(command.batch_id)
    if batch is None or batch.state is BatchState.REJECTED:
        return [STALE_SLICE_REPORT]
    index = command.slice_partition
    check_partition("slice_partition", index, len(batch.phases))
    before, now = RANK[batch.phases[index]], RANK[command.phase]
    if now <= before:
        return [STALE_SLICE_REPORT]
    phases = (*batch.phases[:index], command.phase, *batch.phases[index + 1 :])
    cutoffs = (*batch.cutoffs[:index], command.cutoff, *batch.cutoffs[index + 1 :])
    batch = replace(batch, phases=phases, cutoffs=cutoffs, aborted=batch.aborted or command.aborted)
    told: list[Append] = []
    if before < RANK[SlicePhase.PAGES_DONE] <= now:
        batch, told = hand_on(batch, index, command.acted)
    return [put(batch, at), *told]


def header_of(batch: Batch) -> BatchHeader:
    """The header of a batch, published under `<batch id>/lead`."""
    start = batch.start
    return BatchHeader(
        batch_id=start.batch_id,
        action=start.action,
        filter=start.filter,
        dry_run=start.dry_run,
        limit=start.limit,
        max_rate=batch.max_rate,
        grace_ms=start.grace_ms,
        on_timeout=start.on_timeout,
        standing_until=start.standing_until,
        expires_at=start.expires_at,
        reason=start.reason,
        actor=start.actor,
        invocation_ids_count=batch.ids,
        state=batch.state,
        error=batch.error,
        partitions_total=len(batch.phases),
        revision=batch.revision,
        created_at=batch.created_at,
        updated_at=batch.updated_at,
        content_hash=batch.content_hash,
    )
