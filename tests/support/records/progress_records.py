"""Records of `batch-slices`, with what a test does not care about filled in."""

from __future__ import annotations

from streams.model import Action, BatchHeader, BatchState, Filter, OnTimeout, SliceProgress, SliceState

CREATED = 1_000_000


def header(
    *,
    batch_id: str = "b",
    state: BatchState = BatchState.RUNNING,
    revision: int = 10,
    partitions: int = 2,
    limit: int | None = None,
    updated_at: int = CREATED,
    error: str | None = None,
) -> BatchHeader:
    """A header."""
    return BatchHeader(
        batch_id=batch_id,
        action=Action.KILL,
        filter=Filter(services=("shop",)),
        dry_run=False,
        limit=limit,
        max_rate=None,
        grace_ms=None,
        on_timeout=OnTimeout.KILL,
        standing_until=None,
        expires_at=None,
        reason="why",
        actor="who",
        invocation_ids_count=None,
        state=state,
        error=error,
        partitions_total=partitions,
        revision=revision,
        created_at=CREATED,
        updated_at=updated_at,
    )


def slice_progress(
    partition: int = 0,
    *,
    batch_id: str = "b",
    state: SliceState = SliceState.RUNNING,
    revision: int = 20,
    counters: tuple[int, int, int, int] = (0, 0, 0, 0),
    scanned: int = 0,
    scan_total: int = 100,
    samples: tuple[str, ...] = (),
    failures: tuple[str, ...] = (),
    updated_at: int = CREATED,
) -> SliceProgress:
    """Progress of one slice; `counters`: done, pending, skipped, failed."""
    done, pending, skipped, failed = counters
    return SliceProgress(
        batch_id=batch_id,
        partition=partition,
        state=state,
        cutoff=5,
        cursor=5,
        scan_total=scan_total,
        scanned=scanned,
        matched=sum(counters),
        done=done,
        pending=pending,
        skipped=skipped,
        failed=failed,
        samples=samples,
        failures=failures,
        revision=revision,
        updated_at=updated_at,
    )
