"""Snapshots of the worker, taken by its loop, and the gauges made from them at a scrape.

The loop publishes what it has at hand without a closer look; the asking thread does the sums.
"""

from __future__ import annotations

import shutil
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from streams.metrics import COUNTER, OfWorker
from streams.model import BatchState, SliceState, Status
from streams.state.remembered import NUMBER
from streams.worker.task import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from prometheus_client import Metric

    from streams.engine.answers import PageSizes
    from streams.model import Batch, Meta, Slice
    from streams.state.kept_flows import Backlog
    from streams.state.remembered import OverCounts
    from streams.worker.task import PartitionTask

_FILES: Final = (("database", ""), ("wal", "-wal"))


class PartitionSnapshot(NamedTuple):
    """A partition between two turns. `lag` is None while it is unknown, `meta` is None in a new table.

    `ahead_ms`: the task's. `backlog`: the reconciler's; `flow_due_at`: its oldest deadline. `processed`, `errors`: of
    its last cycle.
    """

    partition: int
    phase: Phase
    fault: str | None
    lag: int | None
    restored: int
    restore_ratio: float
    meta: Meta | None
    batches: tuple[Batch, ...]
    slices: tuple[Slice, ...]
    over: OverCounts | None
    held: int
    file: Path
    ahead_ms: int = 0
    backlog: Backlog | None = None
    flow_due_at: int | None = None
    processed: int = 0
    errors: int = 0


class WorkerSnapshot(NamedTuple):
    """A worker between two turns."""

    partitions: tuple[PartitionSnapshot, ...]
    page_sizes: PageSizes


def snapshot_of(
    tasks: Iterable[PartitionTask], page_sizes: PageSizes, log_end: Callable[[int], int | None]
) -> WorkerSnapshot:
    """A snapshot of the worker; for its loop to call. `log_end` returns the end of a partition's log, if known."""
    return WorkerSnapshot(tuple(_partition(task, log_end) for task in tasks), page_sizes)


def _partition(task: PartitionTask, log_end: Callable[[int], int | None]) -> PartitionSnapshot:
    table = task.table
    end = None if table is None else log_end(task.partition)
    return PartitionSnapshot(
        task.partition,
        task.phase,
        task.fault,
        None if end is None or table is None else max(0, end - table.meta.next_offset),
        task.replay.records,
        task.restore_ratio,
        task.store.meta if table is None else table.meta,
        () if table is None else table.batches(),
        () if table is None else table.slices(),
        None if table is None else table.over(),
        0 if table is None else table.held_rows(),
        task.file,
        task.ahead_ms,
        None if table is None else table.flow_backlog(),
        None if table is None else table.next_flow_due(),
        task.cycle.processed,
        task.cycle.errors,
    )


def gauges(now: WorkerSnapshot, wall_ms: int) -> Iterator[Metric]:
    """The gauges of `OfWorker` from a snapshot; `wall_ms`: time of the scrape."""
    partitions = now.partitions
    yield from _progress(partitions, wall_ms)
    yield from _restore(partitions)
    yield from _batches(partitions)
    yield from _backlog(partitions, wall_ms)
    rows = OfWorker.INVOCATIONS.family()
    held = OfWorker.HELD.family()
    sizes = OfWorker.STORE_BYTES.family()
    for each in partitions:
        if each.meta is not None:
            for status in Status:
                rows.add_metric([str(each.partition), status], each.meta.counts.get(status, 0))
            held.add_metric([str(each.partition)], each.held)
        for name, suffix in _FILES:
            sizes.add_metric([str(each.partition), name], _size(each.file.with_name(each.file.name + suffix)))
    yield from (rows, held, sizes, _free(partitions))
    limits = OfWorker.PAGE_LIMIT.family()
    limits.add_metric(["scanned"], now.page_sizes.max_scanned)
    limits.add_metric(["matched"], now.page_sizes.max_matched)
    yield limits


def _progress(partitions: Iterable[PartitionSnapshot], wall_ms: int) -> Iterator[Metric]:
    lag, behind = OfWorker.LAG.family(), OfWorker.CLOCK_BEHIND.family()
    for each in partitions:
        if each.lag is not None:
            lag.add_metric([str(each.partition)], each.lag)
        if each.meta is not None and each.meta.clock:
            behind.add_metric([str(each.partition)], (wall_ms - each.meta.clock) / 1_000)
    yield from (lag, behind)


def _restore(partitions: Iterable[PartitionSnapshot]) -> Iterator[Metric]:
    phases, records, ratio = OfWorker.PHASES.family(), OfWorker.RESTORED.family(), OfWorker.RESTORE_RATIO.family()
    for each in partitions:
        for phase in Phase:
            phases.add_metric([str(each.partition), phase.name], each.phase is phase)
        records.add_metric([str(each.partition)], each.restored)
        ratio.add_metric([str(each.partition)], each.restore_ratio)
    yield from (phases, records, ratio)


def _batches(partitions: Iterable[PartitionSnapshot]) -> Iterator[Metric]:
    led = Counter(batch.state for each in partitions for batch in each.batches)
    parts: dict[SliceState, Counter[str]] = {state: Counter() for state in SliceState}
    for each in partitions:
        for slice_ in each.slices:
            parts[slice_.state].update({NUMBER: 1} | {name: getattr(slice_, name) for name in COUNTER.values})
        if each.over is not None:
            led.update({state: counts[NUMBER] for state, counts in each.over.batches.items()})
            for state, counts in each.over.slices.items():
                parts[state].update(counts)
    batches, slices, rows = OfWorker.BATCHES.family(), OfWorker.SLICES.family(), OfWorker.SLICE_ROWS.family()
    for batch_state in BatchState:
        batches.add_metric([batch_state], led[batch_state])
    for state, counts in parts.items():
        slices.add_metric([state], counts[NUMBER])
        for counter in COUNTER.values:
            rows.add_metric([state, counter], counts[counter])
    yield from (batches, slices, rows)


def _backlog(partitions: Sequence[PartitionSnapshot], wall_ms: int) -> Iterator[Metric]:
    """The reconciler's backlog; without samples while a partition of the worker is not read: a part would mislead."""
    backlog, overdue, cycle = OfWorker.BACKLOG.family(), OfWorker.BACKLOG_AGE.family(), OfWorker.CYCLES.family()
    known = [each.backlog for each in partitions if each.backlog is not None]
    if known and len(known) == len(partitions):
        backlog.add_metric(["flows"], sum(each.flows for each in known))
        backlog.add_metric(["members"], sum(each.members for each in known))
        due = min((each.flow_due_at for each in partitions if each.flow_due_at is not None), default=wall_ms)
        overdue.add_metric([], max(0, wall_ms - due) / 1_000)
        waiting = [each for each in partitions if each.backlog is not None and each.backlog.flows]
        cycle.add_metric(["processed"], sum(each.processed for each in waiting))
        cycle.add_metric(["errors"], sum(each.errors for each in waiting))
    yield from (backlog, overdue, cycle)


def _free(partitions: Sequence[PartitionSnapshot]) -> Metric:
    """Free space where the tables are; absent without one."""
    family = OfWorker.FREE_BYTES.family()
    if partitions:
        with suppress(OSError):
            family.add_metric([], shutil.disk_usage(partitions[0].file.parent).free)
    return family


def _size(file: Path) -> int:
    """Size of a file, bytes; 0 if it is missing or has just been removed."""
    try:
        return file.stat().st_size
    except OSError:
        return 0
