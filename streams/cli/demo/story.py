"""The story of the demo, step by step; each step is checked against the workload."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from streams.cli.demo.load import Loader
from streams.cli.demo.tally import ends, record_counts
from streams.cli.demo.workload import BEGAN, DOOMED, ORDERS, OTHERS, STOPPED, Workload
from streams.cli.show.console import err, out
from streams.cli.show.follow import shown
from streams.client import BatchTimeoutError, Client, Delivery, ProgressReader, new_batch_id
from streams.config import Topic
from streams.errors import StreamsError
from streams.model import (
    Action,
    BatchProgress,
    BatchState,
    ContinueSlice,
    ControlSlice,
    Filter,
    Signal,
    SignalKind,
    SliceReport,
    StartBatch,
    StartSlice,
)

if TYPE_CHECKING:
    from collections import Counter
    from pathlib import Path

    from streams.cli.children import QuietChildren
    from streams.config import Settings

_OF_A_BATCH = (StartBatch, StartSlice, ContinueSlice, SliceReport, ControlSlice)
_LOOK_S = 5.0
_PATIENCE_S = 90.0
_SLOWEST = 2_000
"""Invocations a second that even the slowest machine should load and count."""
_IDLE_S = 4.0
_SAMPLES = 3


class Answer(NamedTuple):
    """An order: seconds since 1970 at which it was placed, and the milliseconds until its START; None: never."""

    at: float
    took_ms: float | None


@dataclass(frozen=True)
class Killed:
    """The kill: its last progress, its place in the log, its number of records, and when it began and ended."""

    progress: BatchProgress
    place: Delivery
    records: Counter[str]
    began: float
    ended: float


class Story:
    """The demo's story, told once."""

    def __init__(self, settings: Settings, children: QuietChildren, workload: Workload) -> None:
        self._settings = settings
        self._children = children
        self._workload = workload

    def tell(self) -> None:
        """Load, count, kill while orders go on, and check the result.

        Raises:
            StreamsError: the service's counts differ from the demo's own, or it made no progress.
        """
        self._load()
        counted, _ = self._batch(Filter(match_all=True), dry_run=True)
        expect("invocations in the table", counted.done, self._workload.size)
        self._wait_for_lines(BEGAN, self._workload.running)
        _say("counted", f"all of them are in the table; {self._workload.running} {DOOMED[1]} run in the executor")

        self._children.start("traffic", str(self._answers), module="streams.cli.demo.traffic")
        idle = self._idle()
        self._preview()
        killed = self._kill()
        self._children.end("traffic")
        answers = msgspec.json.decode(self._answers.read_bytes(), type=list[Answer])

        self._tell_kill(killed)
        self._tell_traffic(answers, idle, killed)
        self._check(killed.progress, len(answers))

    @property
    def _answers(self) -> Path:
        return self._children.log("traffic").with_suffix(".json")

    def _load(self) -> None:
        workload = self._workload
        columns = (TextColumn("loading"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        began = time.monotonic()
        with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:
            task = bars.add_task("", total=workload.size)
            Loader(self._settings, lambda more: bars.advance(task, more)).load(workload.invocations())
        seconds = time.monotonic() - began
        services = len(workload.started)
        _say("loaded", f"{workload.size:,} invocations of {services} services in {seconds:.1f} s,")
        _say("", f"{workload.scheduled.total():,} of them scheduled for tomorrow")

    def _idle(self) -> tuple[float, float]:
        """Wait while only orders run; returns begin and end of that time."""
        self._require_answers()
        began = time.time()
        time.sleep(_IDLE_S)
        return began, time.time()

    def _require_answers(self) -> None:
        """Wait until the first orders have been started: the programs take a moment to begin."""
        before = ends(self._settings, Topic.SIGNALS)
        deadline = time.monotonic() + _PATIENCE_S
        while ends(self._settings, Topic.SIGNALS) == before:
            self._children.require_running()
            if time.monotonic() > deadline:
                raise StreamsError("no order was started: slow machine, or a bug")
            time.sleep(0.1)

    def _preview(self) -> None:
        found, _ = self._batch(Filter(services=DOOMED), dry_run=True)
        expect("matched by the preview", found.done, self._workload.doomed)
        _say("preview", f"service {' or '.join(DOOMED)}: {found.matched:,} match, such as")
        for each in found.samples[:_SAMPLES]:
            _say("", each)

    def _kill(self) -> Killed:
        before = ends(self._settings, Topic.COMMANDS)
        began = time.time()
        progress, place = self._batch(Filter(services=DOOMED), dry_run=False)
        ended = time.time()
        records = record_counts(
            self._settings,
            Topic.COMMANDS,
            lambda record: type(record).__name__ if isinstance(record, _OF_A_BATCH) else None,
            before,
        )
        return Killed(progress, place, records, began, ended)

    def _batch(self, chosen: Filter, *, dry_run: bool) -> tuple[BatchProgress, Delivery]:
        """Start a batch and follow it to its end; returns its last progress and the place of its command."""
        start = StartBatch(new_batch_id(), Action.KILL, chosen, dry_run=dry_run, reason="demo")
        deliveries: list[Delivery] = []
        with Client(self._settings) as client:
            client.send(start, deliveries.append)
        progress = self._end_of(start.batch_id)
        if progress.state is not BatchState.COMPLETED:
            raise StreamsError(f"batch {start.batch_id} is {progress.state}: {progress.error}")
        return progress, deliveries[0]

    def _end_of(self, batch_id: str) -> BatchProgress:
        deadline = time.monotonic() + _PATIENCE_S + self._workload.size / _SLOWEST
        while True:
            self._children.require_running()
            if time.monotonic() > deadline:
                raise StreamsError(f"batch {batch_id} has not ended in time: slow machine, or a bug")
            try:
                *_, last = shown(ProgressReader(self._settings).follow(batch_id, _LOOK_S))
            except BatchTimeoutError:
                continue  # check that all programs still run
            return last

    def _wait_for_lines(self, beginning: str, wanted: int) -> None:
        """Wait until the executor has printed the line that often."""
        deadline = time.monotonic() + _PATIENCE_S
        while (found := self._lines(beginning)) < wanted and time.monotonic() < deadline:
            self._children.require_running()
            time.sleep(0.1)
        expect(f"lines {beginning!r} of the executor", found, wanted)

    def _lines(self, beginning: str) -> int:
        text = self._children.log("executor").read_text(encoding="utf-8", errors="replace")
        return sum(line.startswith(beginning) for line in text.splitlines())

    def _tell_kill(self, killed: Killed) -> None:
        progress = killed.progress
        seconds = max(1, (progress.finished_at or progress.updated_at) - progress.created_at) / 1_000
        _say("killed", f"{progress.done:,} of {progress.matched:,} matched, in {seconds:.2f} s by the log's clock:")
        _say("", f"{progress.done / seconds:,.0f} a second")
        own = killed.records.pop(StartBatch.__name__)
        listed = ", ".join(f"{count} {name}" for name, count in killed.records.most_common())
        _say("asked", f"by {own} record in the log: partition {killed.place.partition}, offset {killed.place.offset};")
        _say("", f"the workers added {killed.records.total()}: {listed}")

    def _tell_traffic(self, answers: list[Answer], idle: tuple[float, float], killed: Killed) -> None:
        expect("orders never started", sum(each.took_ms is None for each in answers), 0)
        before = _between(answers, *idle)
        during = _between(answers, killed.began, killed.ended)
        _say("meanwhile", f"{len(during):,} {ORDERS} were placed and started; from command to START signal")
        _say("", f"before: p50 {_quantile(before, 0.5):.0f} ms, p99 {_quantile(before, 0.99):.0f} ms")
        _say("", f"during: p50 {_quantile(during, 0.5):.0f} ms, p99 {_quantile(during, 0.99):.0f} ms")

    def _check(self, killed: BatchProgress, orders: int) -> None:
        workload = self._workload
        expect("matched by the kill", killed.matched, workload.doomed)
        expect("ended by the kill", killed.done, workload.doomed)
        expect("skipped, pending or failed", killed.skipped + killed.pending + killed.failed, 0)
        self._wait_for_lines(STOPPED, workload.running)
        left, _ = self._batch(Filter(services=OTHERS), dry_run=True)
        expect("others not ended afterwards", left.done, workload.size - workload.doomed)
        signals = record_counts(self._settings, Topic.SIGNALS, _kind_of_signal)
        expect("START signals", signals[SignalKind.START], workload.started.total() + orders)
        expect("KILL signals", signals[SignalKind.KILL], workload.doomed_started)
        self._wait_for_orders()
        waiting = workload.doomed_started - workload.running
        _say("true", f"{left.done:,} others are untouched, and all {orders:,} {ORDERS} have completed;", "bold green")
        _say("", f"{workload.running} handlers that ran were stopped; {waiting:,} that waited for an")
        _say("", f"executor and {workload.doomed - workload.doomed_started:,} scheduled ones will never run")

    def _wait_for_orders(self) -> None:
        """Wait for the orders: the executor may be busy with the last ones."""
        deadline = time.monotonic() + _PATIENCE_S
        while (left := self._batch(Filter(services=(ORDERS,)), dry_run=True)[0].done) > 0:
            if time.monotonic() > deadline:
                expect("orders that have not completed", left, 0)


def expect(what: str, found: int, wanted: int) -> None:
    """Raise a `StreamsError` unless the service found what the demo counted."""
    if found != wanted:
        raise StreamsError(f"{what}: the service says {found:,}, the demo counted {wanted:,}")


def _say(title: str, text: str, style: str = "bold") -> None:
    out.print(f"[{style}]{title:<11}[/] {text}")


def _kind_of_signal(record: object) -> str | None:
    return record.kind if isinstance(record, Signal) else None


def _between(answers: list[Answer], began: float, ended: float) -> list[float]:
    """Times to START of the orders placed between the two times, sorted, ms."""
    return sorted(each.took_ms for each in answers if each.took_ms is not None and began <= each.at <= ended)


def _quantile(rising: list[float], share: float) -> float:
    """The quantile by nearest rank; NaN without values."""
    return rising[min(len(rising) - 1, int(share * len(rising)))] if rising else float("nan")
