"""A partition's table in plain dicts: what the store must do, in the most obvious way."""

from __future__ import annotations

from collections import Counter
from itertools import accumulate
from typing import TYPE_CHECKING

from msgspec.structs import replace

from streams.engine import weights
from streams.engine.answers import MAX_BYTES, Inbox, Page, PageSizes, StartedRow, Weighed
from streams.engine.effects import (
    Append,
    Count,
    InsertRow,
    PutBatch,
    PutDelta,
    PutSlice,
    RemoveBatch,
    RemoveRow,
    RemoveSlice,
    Send,
    SendAll,
    SetPage,
    SetRelease,
    SetTick,
    UpdateRow,
)
from streams.engine.guarding import Guard, guard_of, guarding
from streams.engine.lead_control import expiry_of
from streams.engine.lifecycle import stands_at
from streams.engine.slices import takes_turns
from streams.model import FINAL_SLICES, FINAL_STATES, UNSTARTED, Action, Meta, Row, SliceState, Status
from support.reference.filters import Seen, matches
from support.reference.state import ENDED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Set as AbstractSet

    from streams.engine.answers import At, Object, PageQuery
    from streams.engine.effects import Effect
    from streams.model import Batch, Invocation, PageDelta, Slice

DEFAULT_SIZES = PageSizes(100, 100)


class MemoryTable:
    """One partition's table; `absorb` applies effects and checks what the engine promises about them."""

    def __init__(self, partitions: int = 1, page_sizes: PageSizes = DEFAULT_SIZES) -> None:
        self.partitions = partitions
        self.page_sizes = page_sizes
        self.meta = Meta(partitions=partitions)
        self.rows: dict[str, Row] = {}
        self.invocations: dict[str, Invocation] = {}
        self.payloads: dict[str, bytes] = {}
        self.deltas: dict[int, PageDelta] = {}
        self.batches: dict[str, Batch] = {}
        self.slices: dict[str, Slice] = {}

    # --- what the engine sees ---------------------------------------------------------------------------------

    def page_sizes_of(self, batch_id: str) -> PageSizes:  # noqa: ARG002
        """Of every batch alike."""
        return self.page_sizes

    def row(self, invocation_id: str) -> Row | None:
        """The invocation's row."""
        return self.rows.get(invocation_id)

    def payload(self, row: Row) -> bytes | None:
        """Its payload, kept until the row is removed."""
        return self.payloads.get(row.invocation_id)

    def row_total(self) -> int:
        """Number of rows."""
        return len(self.rows)

    def batch(self, batch_id: str) -> Batch | None:
        """A batch led here."""
        return self.batches.get(batch_id)

    def slice(self, batch_id: str) -> Slice | None:
        """A slice of this partition."""
        return self.slices.get(batch_id)

    def at_the_door(self, invocation: Invocation, now: int) -> Slice | None:
        """The first rule that stands and matches a row as it would arrive, by the filter as the tests' model has it."""
        row = Row(invocation.invocation_id, b"", -1, 0, Status.PENDING, 0, -1, now, now)
        for slice_ in sorted(self.slices.values(), key=lambda slice_: slice_.cutoff):
            until = slice_.standing_until
            stands = slice_.state is SliceState.RUNNING and until is not None and now < until
            if stands and matches(slice_.filter, slice_.action, _seen(row, invocation), slice_.cutoff):
                return slice_
        return None

    def running_slices(self) -> Sequence[str]:
        """Ids of running slices that wait for no time, by cut-off."""
        running = [slice_ for slice_ in self.slices.values() if takes_turns(slice_)]
        return [slice_.batch_id for slice_ in sorted(running, key=lambda slice_: slice_.cutoff)]

    def guarding(self) -> Sequence[Guard]:
        """Slices that guard starts."""
        return [guard_of(slice_) for slice_ in self.slices.values() if guarding(slice_)]

    def invocation(self, row: Row) -> Invocation:
        """Its invocation, kept until the row is removed."""
        return self.invocations[row.invocation_id]

    def held(self, after: int, limit: int, max_bytes: int = MAX_BYTES) -> Sequence[Weighed]:
        """Held rows behind a seq."""
        held = [row for row in self.rows.values() if row.held and row.seq > after]
        return self._weighed(sorted(held, key=lambda row: row.seq)[:limit], max_bytes)

    def select(self, query: PageQuery) -> Page:
        """One page, row by row, by the filter as the model of the tests has it."""
        rows = sorted((row for row in self.rows.values() if row.seq < query.cutoff), key=lambda row: row.seq)
        if query.ids is None:
            rows = [row for row in rows if row.seq > query.cursor]
            seen, matched = self._window(rows, query)
        else:
            seen = [row for row in rows if row.invocation_id in query.ids]
            matched = [row for row in seen if self._matches(row, query)]
        weight = sum(self._weight(row, query) for row in matched)
        if query.ids is not None and len(query.ids) > 1 and weight > query.max_bytes:
            return Page(len(seen), seen[-1].seq, True, {}, [], [], weight=weight)
        unstarted: dict[Status, list[int]] = {}
        started = []
        for row in matched:
            if stands_at(row) in UNSTARTED:
                unstarted.setdefault(row.status, []).append(row.seq)
            else:
                counted_by = row.ending.counted_by if row.ending else None
                started.append(
                    StartedRow(row.seq, row.invocation_id, row.encoded, row.status, row.attempt, counted_by),
                )
        cursor = seen[-1].seq if seen else query.cursor
        samples = [row.invocation_id for row in matched[: query.samples]]
        whole = tuple(
            row
            for row in matched
            if query.action is Action.PURGE
            or (query.action is Action.RESUME and row.status is Status.PAUSED)
            or (query.action is Action.PAUSE and row.status is Status.PAUSED and row.held)
        )
        objects = {self.object_of(row) for row in matched if query.action not in {Action.RESUME, Action.PURGE}}
        found = sorted(each for each in objects if each is not None) if self._anything_waits() else ()
        return Page(len(seen), cursor, len(seen) == len(rows), unstarted, started, samples, whole, tuple(found), weight)

    def inboxes(
        self, objects: Sequence[Object], without: AbstractSet[int], most: int | None = None
    ) -> dict[Object, Inbox]:
        """The inboxes of these objects, by looking at every row."""
        found = {}
        for each in objects:
            rows = [row for row in self.rows.values() if self.object_of(row) == each and row.seq not in without]
            waiting = [row for row in rows if row.status is Status.PENDING]
            started = any(stands_at(row) not in {*UNSTARTED, *ENDED} for row in rows)
            found[each] = Inbox(started, None if started else min(waiting, key=lambda row: row.seq, default=None))
        heads = [inbox.head for inbox in found.values() if inbox.head is not None]
        heavy = most is not None and sum(weight for _, weight in self._weighed(heads, 1 << 62)) > most
        return {} if heavy else found

    def object_of(self, row: Row) -> Object | None:
        """The row's object, by its invocation."""
        invocation = self.invocations[row.invocation_id]
        return None if invocation.object_key is None else (invocation.service, invocation.object_key)

    def due(self, until: int, limit: int, max_bytes: int = MAX_BYTES) -> Sequence[Weighed]:
        """Rows that time has something to do with."""
        due = [
            row
            for row in self.rows.values()
            if row.due_at is not None and row.due_at <= until and row.status is not Status.PAUSED and not row.held
        ]
        return self._weighed(sorted(due, key=lambda row: (row.due_at or 0, row.seq))[:limit], max_bytes)

    def due_slices(self, until: int, limit: int) -> Sequence[Slice]:
        """Slices whose time has come."""
        going_on = {name: slice_ for name, slice_ in self.slices.items() if slice_.state not in FINAL_SLICES}
        due = [(slice_.due_at, name) for name, slice_ in going_on.items() if slice_.due_at is not None]
        return [self.slices[name] for time, name in sorted(due)[:limit] if time <= until]

    def expiring(self, until: int, limit: int) -> Sequence[Batch]:
        """Batches whose pages took too long."""
        times = [(expiry_of(batch), name) for name, batch in self.batches.items() if batch.state not in FINAL_STATES]
        due = sorted((time, name) for time, name in times if time is not None and time <= until)
        return [self.batches[name] for _, name in due[:limit]]

    def ended(self, before: int, limit: int) -> Sequence[tuple[int, str]]:
        """Rows that ended before a time."""
        ended = [row for row in self.rows.values() if row.status in ENDED and row.modified_at < before]
        return [(row.seq, row.invocation_id) for row in sorted(ended, key=lambda row: row.modified_at)[:limit]]

    def on_old_deltas(self, before: int, limit: int, max_bytes: int = MAX_BYTES) -> Sequence[Weighed]:
        """Rows that rest on deltas from before a time."""
        old = [
            row for row in self.rows.values() if row.delta is not None and self.deltas[row.delta].modified_at < before
        ]
        found = sorted(old, key=lambda row: (row.delta or 0, row.seq))[:limit]
        return _as_far_as([Weighed(row, weights.of_record(row)) for row in found], max_bytes)

    def finished_batches(self, before: int, limit: int) -> Sequence[str]:
        """Batches that were over before a time."""
        over = [batch for batch in self.batches.values() if batch.state in FINAL_STATES and batch.updated_at < before]
        return [
            batch.start.batch_id
            for batch in sorted(over, key=lambda batch: (batch.updated_at, batch.start.batch_id))[:limit]
        ]

    # --- what the engine decided ------------------------------------------------------------------------------

    def absorb(self, effects: Iterable[Effect], at: At) -> None:
        """Apply the effects of the command at `at`."""
        for effect in effects:
            match effect:
                case InsertRow() | UpdateRow() | RemoveRow():
                    self._absorb_row(effect)
                case PutDelta(delta, left):
                    self._apply_delta(delta, left, at)
                case SetPage(page, outstanding):
                    self.meta = replace(self.meta, page=page, page_outstanding=outstanding)
                case SetRelease(release_no, outstanding, again):
                    marks = {"release_no": release_no, "release_outstanding": outstanding, "release_again": again}
                    self.meta = replace(self.meta, **marks)
                case SetTick(tick_no):
                    self.meta = replace(self.meta, tick_no=tick_no)
                case Send() | SendAll() | Append() | Count():
                    pass
                case _:
                    self._absorb_batch(effect)

    def snapshot(self) -> dict[str, object]:
        """Everything that is remembered, to compare two tables."""
        return {
            "rows": self.rows,
            "invocations": self.invocations,
            "payloads": self.payloads,
            "batches": self.batches,
            "slices": self.slices,
            "meta": self.meta,
        }

    def _absorb_row(self, effect: InsertRow | UpdateRow | RemoveRow) -> None:
        match effect:
            case InsertRow(row, invocation, payload):
                assert row.invocation_id not in self.rows
                self.rows[row.invocation_id] = row
                self.invocations[row.invocation_id] = invocation
                if payload is not None:
                    self.payloads[row.invocation_id] = payload
            case UpdateRow(row):
                assert self.rows[row.invocation_id].seq == row.seq
                self.rows[row.invocation_id] = replace(row, delta=None)
            case RemoveRow(seq, invocation_id):
                assert self.rows.pop(invocation_id).seq == seq
                del self.invocations[invocation_id]
                self.payloads.pop(invocation_id, None)

    def _absorb_batch(self, effect: PutBatch | RemoveBatch | PutSlice | RemoveSlice) -> None:
        match effect:
            case PutBatch(batch):
                self.batches[batch.start.batch_id] = batch
            case RemoveBatch(batch_id):
                del self.batches[batch_id]
            case PutSlice(slice_):
                self.slices[slice_.batch_id] = slice_
            case RemoveSlice(batch_id):
                del self.slices[batch_id]

    def _apply_delta(self, delta: PageDelta, left: dict[Status, int], at: At) -> None:
        by_seq = {row.seq: row for row in self.rows.values()}
        found: Counter[Status] = Counter()
        for change in delta.changes:
            seqs = list(accumulate(change.seqs))
            assert seqs == sorted(set(seqs))
            for seq in seqs:
                row = by_seq[seq]
                found[row.status] += 1
                self.rows[row.invocation_id] = replace(
                    row,
                    status=change.status,
                    modified_at=delta.modified_at,
                    paused_from=change.paused_from,
                    due_at=change.due_at,
                    held=False,
                    ending=delta.ending,
                    delta=at.offset,
                )
        assert found == left
        self.deltas[at.offset] = delta

    def _anything_waits(self) -> bool:
        return any(row.status is Status.PENDING and self.object_of(row) for row in self.rows.values())

    def _matches(self, row: Row, query: PageQuery) -> bool:
        return matches(query.filter, query.action, _seen(row, self.invocations[row.invocation_id]), query.cutoff)

    def _window(self, rows: list[Row], query: PageQuery) -> tuple[list[Row], list[Row]]:
        seen: list[Row] = []
        matched: list[Row] = []
        weight = 0
        for row in rows:
            if len(seen) == query.max_scanned or len(matched) == query.max_matched or weight >= query.max_bytes:
                break
            seen.append(row)
            if self._matches(row, query):
                matched.append(row)
                weight += self._weight(row, query)
        return seen, matched

    def _weight(self, row: Row, query: PageQuery) -> int:
        started = stands_at(row) not in UNSTARTED
        return weights.of_matched(row, query.action, started, self._payload_bytes(row), query.each)

    def _payload_bytes(self, row: Row) -> int:
        return len(self.payloads.get(row.invocation_id, b""))

    def _weighed(self, rows: Iterable[Row], max_bytes: int) -> list[Weighed]:
        return _as_far_as([Weighed(row, weights.of_start(row, self._payload_bytes(row))) for row in rows], max_bytes)


def _as_far_as(rows: list[Weighed], max_bytes: int) -> list[Weighed]:
    """The first of them, up to the one that brings their weight to `max_bytes`."""
    reached = 0
    for number, (_, weight) in enumerate(rows, 1):
        reached += weight
        if reached >= max_bytes:
            return rows[:number]
    return rows


def _seen(row: Row, invocation: Invocation) -> Seen:
    return Seen(
        invocation,
        row.seq,
        row.status,
        row.deployment_id or invocation.deployment_id,
        row.created_at,
        row.modified_at,
        row.started_seq,
        row.ending.cause.batch_id if row.ending else None,
    )
