"""A partition's table in plain dicts: what the store must do, in the most obvious way."""

from __future__ import annotations

from collections import Counter
from itertools import accumulate
from math import inf
from typing import TYPE_CHECKING

from msgspec.structs import replace

from streams.engine import weights
from streams.engine.answers import MAX_BYTES, Inbox, Page, PageSizes, StartedRow, Weighed
from streams.engine.effects import (
    Append,
    Count,
    InsertRow,
    PutDelta,
    PutFlow,
    PutMembers,
    RemoveFlow,
    RemoveMembers,
    RemoveRow,
    Send,
    SendAll,
    SetPage,
    SetReconciled,
    SetRelease,
    SetTick,
    UpdateRow,
)
from streams.engine.lifecycle import stands_at
from streams.model import UNSTARTED, Action, Meta, Row, Status
from support.reference.filters import matches
from support.reference.state import ENDED
from support.reference.zones import last_of, looks_of_passed, passed, zone_of
from support.tables.memory_batches import MemoryBatches, as_seen
from support.tables.memory_flows import groups_of, looked_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Set as AbstractSet

    from streams.engine.answers import At, Object, PageQuery
    from streams.engine.effects import Effect
    from streams.model import Invocation, PageDelta

DEFAULT_SIZES = PageSizes(100, 100)
ROW_BY_ROW = frozenset({Action.RESUME, Action.RESTART, Action.PURGE})


class MemoryTable(MemoryBatches):
    """One partition's table; `absorb` applies effects and checks what the engine promises about them."""

    def __init__(self, partitions: int = 1, page_sizes: PageSizes = DEFAULT_SIZES) -> None:
        self.page_sizes = page_sizes
        self.meta = Meta(partitions=partitions)
        self.rows: dict[str, Row] = {}
        self.invocations: dict[str, Invocation] = {}
        self.payloads: dict[str, bytes] = {}
        self.deltas: dict[int, PageDelta] = {}
        self._has_held = False
        super().__init__(partitions)

    # --- what the engine sees ---------------------------------------------------------------------------------

    def page_sizes_of(self, batch_id: str) -> PageSizes:  # noqa: ARG002
        """Of every batch alike."""
        return self.page_sizes

    @property
    def reconcile_labels(self) -> dict[str, str]:
        """Those of `meta`."""
        return self.meta.reconcile_labels

    def row(self, invocation_id: str) -> Row | None:
        """The invocation's row."""
        return self.rows.get(invocation_id)

    def in_order(self, ids: Sequence[str]) -> tuple[str, ...]:
        """Ids by the seqs of their rows; those of no row last."""
        seqs = {name: row.seq for name, row in self.rows.items()}
        return tuple(sorted(ids, key=lambda each: seqs.get(each, inf)))

    def payload(self, row: Row) -> bytes | None:
        """Its payload, kept until the row is removed."""
        return self.payloads.get(row.invocation_id)

    def row_total(self) -> int:
        """Number of rows."""
        return len(self.rows)

    def invocation(self, row: Row) -> Invocation:
        """Its invocation, kept until the row is removed."""
        return self.invocations[row.invocation_id]

    @property
    def may_hold(self) -> bool:
        """Whether any row is held, or has been."""
        return self._has_held

    def held(self, after: int, limit: int, max_bytes: int = MAX_BYTES) -> Sequence[Weighed]:
        """Held rows behind a seq."""
        held = [row for row in self.rows.values() if row.held and row.seq > after]
        return self._weighed(sorted(held, key=lambda row: row.seq)[:limit], max_bytes)

    def select(self, query: PageQuery) -> Page:
        """One page, row by row, by the filter as the model of the tests has it."""
        rows = sorted((row for row in self.rows.values() if row.seq < query.cutoff), key=lambda row: row.seq)
        if query.ids is None:
            rows = [row for row in rows if row.seq > query.cursor and looked_at(row, query.filter)]
            seen, matched, looks, cursor = self._window(rows, query)
        else:
            seen = [row for row in rows if row.invocation_id in query.ids]
            matched = [row for row in seen if self._matches(row, query)]
            looks, cursor = len(seen), seen[-1].seq if seen else query.cursor
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
        samples = [row.invocation_id for row in matched[: query.samples]]
        whole = tuple(
            row
            for row in matched
            if query.action in {Action.PURGE, Action.RESTART}
            or (query.action is Action.RESUME and row.status is Status.PAUSED)
            or (query.action is Action.PAUSE and row.status is Status.PAUSED and row.held)
            or (query.action is Action.CANCEL and row.status is Status.CANCELLING and row.due_at is None)
        )
        objects = {self.object_of(row) for row in matched if query.action not in ROW_BY_ROW}
        found = sorted(each for each in objects if each is not None) if self._anything_waits() else ()
        grouped, parents = groups_of(matched, self.flows) if query.action in {Action.KILL, Action.CANCEL} else ((), ())
        return Page(
            len(seen),
            cursor,
            len(seen) == len(rows),
            unstarted,
            started,
            samples,
            whole,
            tuple(found),
            weight,
            grouped,
            parents,
            looks,
        )

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

    def rows_at(self, seqs: Sequence[int], action: Action, max_bytes: int, each: int) -> tuple[Sequence[Row], int]:
        """Rows with these seqs, and how many seqs were looked at."""
        by_seq = {row.seq: row for row in self.rows.values()}
        found: list[Row] = []
        weight = 0
        for looked, seq in enumerate(seqs):
            if weight >= max_bytes:
                return found, looked
            if seq in by_seq:
                row = by_seq[seq]
                found.append(row)
                weight += weights.of_member(row, action, self._payload_bytes(row), each)
        return found, len(seqs)

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
                case SetReconciled(reconciled_at, labels):
                    self.meta = replace(self.meta, reconciled_at=reconciled_at, reconcile_labels=labels)
                case PutFlow() | RemoveFlow() | PutMembers() | RemoveMembers():
                    self._absorb_flow(effect)
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
            "flows": self.flows,
            "entries": self.entries,
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
                self._has_held |= row.held
                self.rows[row.invocation_id] = replace(row, delta=None)
            case RemoveRow(seq, invocation_id):
                assert self.rows.pop(invocation_id).seq == seq
                del self.invocations[invocation_id]
                self.payloads.pop(invocation_id, None)

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
        return matches(query.filter, query.action, as_seen(row, self.invocations[row.invocation_id]), query.cutoff)

    def _window(self, rows: list[Row], query: PageQuery) -> tuple[list[Row], list[Row], int, int]:
        """Rows looked at or passed over, those that match, what counts as looks, and the cursor."""
        seen: list[Row] = []
        matched: list[Row] = []
        weight, looks, cursor = 0, 0, query.cursor
        over = self._passed(query)
        for row in rows:
            if row.seq > cursor:
                if looks >= query.max_scanned or len(matched) == query.max_matched or weight >= query.max_bytes:
                    break
                zone = zone_of(row.seq)
                cursor, more = (last_of(zone), looks_of_passed()) if zone in over else (row.seq, 1)
                looks += more
            seen.append(row)
            if self._matches(row, query):
                matched.append(row)
                weight += self._weight(row, query)
        return seen, matched, looks, cursor

    def _passed(self, query: PageQuery) -> set[int]:
        if query.filter.flow_ids is not None or query.filter.parent_ids is not None:
            return set()
        rows = ((row.seq, self.invocations[name]) for name, row in self.rows.items())
        return passed(query.filter, query.cursor, query.cutoff, rows)

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
