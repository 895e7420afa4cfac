"""What must have happened, said a second time: plain Python over the records of the topics, without the engine.

It knows invocations that arrive, are adopted, scheduled far ahead or reported on, of objects and not, and batches of
every action.
A batch takes effect at each partition's cut-off at once: a test must not report on what a batch matches while it runs.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from streams import codec
from streams.model import (
    Action,
    BatchProgress,
    Invocation,
    InvocationRow,
    Invoke,
    Meta,
    PageDelta,
    ReportTransition,
    Signal,
    SignalKind,
    SliceProgress,
    StartSlice,
    Status,
)
from support.service.oracle_rows import ENDED, Expected, matches

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streams.model import Record
    from support.kafka.reading import Entry

Place = tuple[int, int]
"""(partition, seq): what an invocation is known by."""
Object = tuple[int, str, str]
"""(partition, service, object key)."""


# --- what must be -----------------------------------------------------------------------------------------------


@dataclass
class Prediction:
    """The table as it must be; `cutoffs` and `matched` by batch and partition, `purged`: rows that were removed."""

    rows: dict[Place, Expected] = field(default_factory=dict)
    purged: dict[Place, Expected] = field(default_factory=dict)
    objects: dict[Object, list[Place]] = field(default_factory=dict)
    cutoffs: dict[str, dict[int, int]] = field(default_factory=dict)
    matched: dict[str, Counter[int]] = field(default_factory=dict)

    def ended_by(self, batch_id: str) -> set[Place]:
        """What the batch must have ended."""
        return {place for place, row in self.rows.items() if row.ended_by == batch_id}

    def after_cutoff(self, batch_id: str) -> set[Place]:
        """What was invoked too late for the batch."""
        cutoffs = self.cutoffs[batch_id]
        return {place for place in self.rows if place[1] > cutoffs[place[0]]}


def predict(log: Iterable[Entry]) -> Prediction:
    """What the commands in the log lead to; entries of a partition in order of their offset."""
    prediction = Prediction()
    by_id: dict[str, Place] = {}
    clocks: Counter[int] = Counter()
    for entry in log:
        clocks[entry.partition] = clock = max(clocks[entry.partition], entry.timestamp)
        match _decode(entry):
            case Invoke() as invoke:
                if by_id.get(invoke.invocation.invocation_id) not in prediction.rows:
                    by_id[invoke.invocation.invocation_id] = place = (entry.partition, entry.offset)
                    prediction.rows[place] = row = _arrival(invoke, clock)
                    object_ = _object(place, row)
                    if object_ is not None:
                        prediction.objects.setdefault(object_, []).append(place)
                        _promote(prediction, object_)
            case ReportTransition() as report:
                place = by_id[report.invocation_id]
                reported = prediction.rows.get(place)
                if reported is not None and _follows(reported, report):
                    reported.status, reported.paused_from = report.to, None
                    if (object_ := _object(place, reported)) is not None:
                        _promote(prediction, object_)
            case StartSlice() as start:
                _strike(prediction, start, entry, clock)
                for object_ in prediction.objects:
                    _promote(prediction, object_)
            case _:
                pass
    return prediction


def _arrival(invoke: Invoke, clock: int) -> Expected:
    if invoke.adopt:
        return Expected(invoke.invocation, clock, Status.RUNNING, 1, adopted=True)
    if invoke.scheduled_at is not None and invoke.scheduled_at > clock:
        return Expected(invoke.invocation, clock, Status.SCHEDULED, 0, invoke.scheduled_at)
    if invoke.invocation.object_key is not None:
        return Expected(invoke.invocation, clock, Status.PENDING, 0)
    return Expected(invoke.invocation, clock, Status.READY, 1, signals=[SignalKind.START])


def _object(place: Place, row: Expected) -> Object | None:
    key = row.invocation.object_key
    return None if key is None else (place[0], row.invocation.service, key)


def _promote(prediction: Prediction, object_: Object) -> None:
    """If none of the object is started, the first that waits is."""
    inbox = [prediction.rows[place] for place in prediction.objects[object_] if place in prediction.rows]
    waiting = [row for row in inbox if row.status is Status.PENDING]
    if waiting and not any(row.started for row in inbox):
        waiting[0].start()


def _follows(row: Expected, report: ReportTransition) -> bool:
    held = row.status in {Status.PAUSED, Status.CANCELLING}
    return row.attempt == report.attempt and row.status not in ENDED and (report.to in ENDED or not held)


def _strike(prediction: Prediction, start: StartSlice, entry: Entry, clock: int) -> None:
    prediction.cutoffs.setdefault(start.batch_id, {})[entry.partition] = entry.offset
    matched = prediction.matched.setdefault(start.batch_id, Counter())
    for place, row in list(prediction.rows.items()):
        concerned = (row.status in ENDED) == (start.action in {Action.PURGE, Action.RESTART})
        if place[0] != entry.partition or not concerned or not matches(start.filter, row):
            continue
        matched[place[0]] += 1
        if start.dry_run:
            continue
        match start.action:
            case Action.KILL | Action.CANCEL:
                _end(row, start)
            case Action.PAUSE:
                _pause(row)
            case Action.RESUME:
                _resume(row, clock)
            case Action.RESTART if not row.adopted:
                row.ended_by = None
                row.arrive(clock)
            case Action.PURGE:
                prediction.purged[place] = prediction.rows.pop(place)


def _end(row: Expected, start: StartSlice) -> None:
    if start.action is Action.CANCEL and row.status is Status.CANCELLING:
        return
    started, row.paused_from = row.started, None
    if started:
        row.signals.append(SignalKind.KILL if start.action is Action.KILL else SignalKind.CANCEL)
    if start.action is Action.KILL:
        row.status, row.ended_by = Status.KILLED, start.batch_id
    elif started:
        row.status = Status.CANCELLING
    else:
        row.status, row.ended_by = Status.CANCELLED, start.batch_id


def _pause(row: Expected) -> None:
    if row.status in {Status.PAUSED, Status.CANCELLING}:
        return
    if row.started:
        row.signals.append(SignalKind.PAUSE)
    row.status, row.paused_from = Status.PAUSED, row.status


def _resume(row: Expected, clock: int) -> None:
    if row.status is not Status.PAUSED:
        return
    started, row.paused_from = row.started, None
    if started:
        row.start()
    else:
        row.arrive(clock)


# --- what is ----------------------------------------------------------------------------------------------------


@dataclass
class Folded:
    """A row as the changelog tells it; only what a page changes, and who it is."""

    invocation: Invocation
    status: Status
    attempt: int
    due_at: int | None
    paused_from: Status | None
    batch_id: str | None
    counted_by: str | None
    error: str | None
    reason: str | None


@dataclass
class Table:
    """The changelog read in order; `meta` by partition."""

    rows: dict[Place, Folded] = field(default_factory=dict)
    meta: dict[int, Meta] = field(default_factory=dict)

    def by_id(self, invocation_id: str) -> Folded:
        """The row of an invocation."""
        return next(row for row in self.rows.values() if row.invocation.invocation_id == invocation_id)

    def ended_by(self, batch_id: str) -> set[Place]:
        """What the batch has ended."""
        return {place for place, row in self.rows.items() if row.batch_id == batch_id and row.status in ENDED}


def fold(changelog: Iterable[Entry]) -> Table:
    """A record replaces its row, a delta changes the rows it lists, a tombstone removes."""
    table = Table()
    places: dict[tuple[int, str], Place] = {}
    for entry in changelog:
        kind, _, name = entry.key.partition("/")
        if kind == "i":
            old = places.pop((entry.partition, name), None)
            if old is not None:
                del table.rows[old]
            if entry.value is not None:
                seq, row = _row(entry)
                places[entry.partition, name] = entry.partition, seq
                table.rows[entry.partition, seq] = row
        elif kind == "d" and entry.value is not None:
            _apply_delta(table, entry)
        elif kind == "m":
            meta = _decode(entry)
            if not isinstance(meta, Meta):
                raise TypeError(f"changelog key m/ holds {meta!r}")
            table.meta[entry.partition] = meta
    return table


def _row(entry: Entry) -> tuple[int, Folded]:
    record = _decode(entry)
    if not isinstance(record, InvocationRow):
        raise TypeError(f"changelog key {entry.key} holds {record!r}")
    ending = record.ending
    return record.seq, Folded(
        record.invocation,
        record.status,
        record.attempt,
        record.due_at,
        record.paused_from,
        ending.cause.batch_id if ending else None,
        ending.counted_by if ending else None,
        ending.error if ending else None,
        ending.cause.reason if ending else None,
    )


def _apply_delta(table: Table, entry: Entry) -> None:
    delta = _decode(entry)
    if not isinstance(delta, PageDelta):
        raise TypeError(f"changelog key {entry.key} holds {delta!r}")
    ending = delta.ending
    for change in delta.changes:
        seq = 0
        for distance in change.seqs:
            seq += distance
            row = table.rows[entry.partition, seq]
            row.status, row.due_at, row.paused_from = change.status, change.due_at, change.paused_from
            row.batch_id = ending.cause.batch_id if ending else None
            row.counted_by = ending.counted_by if ending else None
            row.error = ending.error if ending else None
            row.reason = ending.cause.reason if ending else None


# --- that the two agree -----------------------------------------------------------------------------------------


def check_table(expected: Prediction, table: Table) -> None:
    """Every invocation stands as it must, none is missing, none is extra, and `m/` counts them rightly."""
    must = {place: (row.status, row.ended_by, row.paused_from) for place, row in expected.rows.items()}
    found = {
        place: (row.status, row.batch_id if row.status in ENDED else None, row.paused_from)
        for place, row in table.rows.items()
    }
    wrong = {place: (must.get(place), found.get(place)) for place in must.keys() | found.keys()}
    wrong = {place: pair for place, pair in wrong.items() if pair[0] != pair[1]}
    assert not wrong, f"{len(wrong)} rows differ, (expected, found): {dict(sorted(wrong.items())[:5])}"
    check_counts(table)


def check_counts(table: Table) -> None:
    """The running counts of each partition are what counting gives."""
    for partition, meta in table.meta.items():
        counted = Counter(str(row.status) for (home, _), row in table.rows.items() if home == partition)
        kept = {status: count for status, count in meta.counts.items() if count}
        assert kept == dict(counted), f"partition {partition}: m/ counts {kept}, the rows are {dict(counted)}"


def check_signals(entries: Iterable[Entry], expected: Prediction | None = None) -> Counter[tuple[Place, SignalKind]]:
    """No signal stands there twice; with `expected`, each invocation got what it must. Returns signals by kind."""
    seen: Counter[tuple[int, int, SignalKind, int, int]] = Counter()
    for entry in entries:
        signal = _decode(entry)
        assert isinstance(signal, Signal), f"signals hold {signal!r}"
        seen[entry.partition, signal.seq, signal.kind, signal.attempt, signal.repeat] += 1
    twice = [key for key, count in seen.items() if count > 1]
    assert not twice, f"{len(twice)} signals stand there more than once: {twice[:5]}"
    found = Counter(((partition, seq), kind) for partition, seq, kind, _, _ in seen)
    if expected is not None:
        rows = expected.rows | expected.purged
        must = Counter((place, kind) for place, row in rows.items() for kind in row.signals)
        assert not must - found, f"{(must - found).total()} signals are missing: {list(must - found)[:5]}"
        assert not found - must, f"{(found - must).total()} signals are extra: {list(found - must)[:5]}"
    return found


def check_progress(entries: Iterable[Entry]) -> None:
    """Every progress record ever written adds up, and for each key the revisions rise."""
    revisions: dict[str, int] = {}
    for entry in entries:
        record = None if entry.value is None else _decode(entry)
        if not isinstance(record, SliceProgress | BatchProgress):
            continue
        parts = record.done + record.pending + record.skipped + record.failed
        assert record.matched == parts, f"{entry.key} at {entry.offset} does not add up: {record}"
        assert min(record.done, record.pending, record.skipped, record.failed) >= 0, f"negative: {record}"
        if isinstance(record, SliceProgress):
            assert record.revision > revisions.get(entry.key, -1), f"{entry.key} repeats revision {record.revision}"
            revisions[entry.key] = record.revision


def _decode(entry: Entry) -> Record | None:
    """The record; None for bytes that hold none, which are dead letters."""
    try:
        return codec.decode(entry.value)
    except codec.BadRecordError:
        return None
