"""The SQLite table and the plain one side by side: random turns are absorbed by both, and must leave the same."""

from __future__ import annotations

import copy
from collections import Counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from msgspec.structs import replace

from streams.codec import decode, encode, encode_invocation, encode_row
from streams.engine.answers import At, PageQuery, PageSizes
from streams.engine.effects import (
    InsertRow,
    PutBatch,
    PutDelta,
    PutSlice,
    RemoveBatch,
    RemoveRow,
    RemoveSlice,
    SetPage,
    SetRelease,
    SetTick,
    UpdateRow,
)
from streams.engine.guards import Guards
from streams.engine.rows import alive
from streams.model import (
    TERMINAL,
    Action,
    Batch,
    BatchState,
    Cause,
    Exclusion,
    Filter,
    Invocation,
    OnTimeout,
    Payload,
    Row,
    Slice,
    SliceProgress,
    SliceState,
    StartBatch,
    Status,
)
from streams.state.store import Store
from streams.state.table import Table
from support.tables.memory_table import MemoryTable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from streams.engine.effects import Effect
    from streams.engine.view import View
from support.tables.twin_effects import ACTIONS, ENDINGS, delta_of, progress_after
from support.tables.twin_flows import FLOW_IDS, PARENTS, TwinFlows
from support.tables.twin_histories import MAX_BYTES, History, Op

SIZES = PageSizes(100, 100)
IDS = (*(f"i-{n}" for n in range(4)), *(f"pay/ü~{n}" for n in range(4)), "ü" * 40, "x" * 256)
OBJECTS = (("pay", "ü"), ("pay", "ü "), ("mail", "ü"))
BATCH_IDS = ("b-0", "b-1", "b-2")
SERVICES = ("mail", "pay")
FILTERS = (
    Filter(match_all=True),
    Filter(services=("mail",)),
    Filter(statuses=(Status.RUNNING, Status.CANCELLING, Status.PAUSED)),
    Filter(batch_ids=("b-0", "b-2")),
    Filter(modified_from=3, modified_until=20),
    Filter(labels={"k": "v"}),
    Filter(match_all=True, exclude=Exclusion(labels_in={"k": ("v", "w")}, batch_ids=("b-1",))),
    Filter(flow_ids=("x", "a/b", "x"), exclude=Exclusion(parent_ids=("i-1",))),
    Filter(parent_ids=("i-0", "i-1"), exclude=Exclusion(flow_ids=("x",))),
    Filter(flow_ids=("x", "i-0"), parent_ids=("i-0",), services=("mail",)),
)


class Twin(TwinFlows):
    """Both tables in lockstep, and the changelog and progress that the SQLite one wrote in committed turns."""

    def __init__(self, path: Path) -> None:
        self.store = Store.open(path, 0)
        self.table = Table(self.store, 0, 1, SIZES)
        self.plain = MemoryTable(1, SIZES)
        self.offset = 0
        self.now = 0
        self.changelog: list[tuple[str, bytes | None]] = []
        self.published: dict[str, bytes | None] = {}

    def run(self, history: History) -> None:
        """Play turns; each must leave both tables the same, whether committed or rolled back."""
        for committed, turn in history:
            self.turn(turn, committed=committed)
            self.check()

    def turn(self, turn: Sequence[Op], *, committed: bool) -> None:
        """One turn of ops."""
        kept = copy.copy(self.plain.__dict__), self.offset, self.now
        self.plain.__dict__.update(
            {name: dict(value) for name, value in self.plain.__dict__.items() if isinstance(value, dict)}
        )
        self.table.begin()
        self.table.load([IDS[op[1] % len(IDS)] for op in turn])
        changed: dict[str, bytes | None] = {}
        counts = self.table._batches.held
        before = dict.fromkeys(BATCH_IDS, -1) if counts.unknown else dict(counts.by_batch)
        for op in turn:
            self.offset, self.now = self.offset + 1, self.now + self.offset % 3 // 2
            effects = getattr(self, "_" + op[0])(*op[1:])
            at = At(0, self.offset, self.now)
            self.plain.absorb(effects, at)
            self.table.absorb(effects, at)
            for effect in effects:
                changed.update(progress_after(effect))
        self.table.set_position(self.offset + 1, self.now)
        changelog = self.table.flush()
        published = self.table.published()
        self._check_published(published, dict(changed), before)
        if committed:
            self.changelog += changelog
            self.published.update(published)
            self.table.commit(len(self.changelog), self.now)
        else:
            self.table.rollback()
            self.plain.__dict__.update(kept[0])
            self.offset, self.now = kept[1:]

    def check(self) -> None:
        """Both tables answer the same; the running counts are a full count's; every delta has rows."""
        rows = self.plain.rows.values()
        counts = {str(status): count for status, count in Counter(row.status for row in rows).items()}
        assert self.table.meta.counts == counts
        assert self.table.row_total() == len(rows)
        assert dict(self.store.dump()) == self.expected()
        assert self.deltas() == Counter(row.delta for row in rows if row.delta is not None)
        self._look(0)

    def deltas(self) -> dict[int, int]:
        """Number of rows that rest on each delta, by the store."""
        return dict(self.store.db.execute("SELECT offset, resting FROM deltas").fetchall())

    def expected(self) -> dict[str, bytes]:
        """The dump that the plain table calls for."""
        plain = self.plain
        dump = {"i/" + row.invocation_id: encode_row(row) for row in plain.rows.values()}
        dump |= {"p/" + name: encode(Payload(payload)) for name, payload in plain.payloads.items()}
        dump |= {"b/" + name: encode(batch) for name, batch in plain.batches.items()}
        dump |= {"s/" + name: encode(slice_) for name, slice_ in plain.slices.items()}
        dump |= self.flow_records()
        if self.changelog:
            dump["m/"] = encode(self.table.meta)
        return dump

    # --- ops ---

    def _insert(self, name: int, shape: int, status: Status, due_at: int | None, payload: bytes | None) -> list[Effect]:
        effects: list[Effect] = []
        known = self.plain.rows.get(IDS[name])
        if known is not None:
            effects.append(RemoveRow(known.seq, known.invocation_id))
        service, key = ("pay", "ü") if "~" in IDS[name] else (SERVICES[shape % 2], None)
        labels = {"k": "v"} if shape > 4 else {}
        groups = (FLOW_IDS[shape % 5], PARENTS[shape % 4])
        invocation = Invocation(IDS[name], service, "run", key, None, *groups, shape or None, labels)
        row = Row(
            invocation.invocation_id,
            encode_invocation(invocation),
            self.offset,
            -shape * 2**58,
            status,
            shape,
            -1,
            self.now,
            self.now,
            due_at=due_at,
            adopted=shape % 4 == 1,
            lease_ms=invocation.lease_ms,
            object_key=key,
            flow_id=invocation.flow_id,
            parent_id=invocation.parent_id,
        )
        return [*effects, InsertRow(_moved(row, status, due_at, shape), invocation, payload)]

    def _update(self, pick: int, status: Status, due_at: int | None, shape: int, held: bool) -> list[Effect]:  # noqa: FBT001
        row = self._pick(pick)
        if row is None:
            return []
        moved = replace(_moved(row, status, due_at, shape), modified_at=self.now, held=held, attempt=row.attempt + 1)
        return [UpdateRow(replace(moved, deployment_id="d-1" if shape % 2 else None, last_report_no=shape))]

    def _remove(self, pick: int) -> list[Effect]:
        row = self._pick(pick)
        return [] if row is None else [RemoveRow(row.seq, row.invocation_id)]

    def _page(
        self,
        action: int,
        filter_: int,
        cursor: int,
        scanned: int,
        matched: int,
        by_ids: bool,  # noqa: FBT001
        max_bytes: int,
    ) -> list[Effect]:
        query = PageQuery(
            filter=FILTERS[filter_ % len(FILTERS)],
            action=ACTIONS[action % 6],
            cursor=cursor - 1,
            cutoff=self.offset - action // 6,
            max_scanned=scanned,
            max_matched=matched,
            samples=cursor,
            ids=IDS[cursor:] if by_ids else None,
            max_bytes=max_bytes,
            each=scanned,
        )
        page, expected = self.table.select(query), self.plain.select(query)
        assert replace(page, last=True) == replace(expected, last=True)
        assert by_ids or page.last == expected.last
        match query.action:
            case Action.PURGE:
                return [RemoveRow(row.seq, row.invocation_id) for row in page.rows]
            case Action.RESUME:
                return [UpdateRow(replace(row, status=Status.READY, paused_from=None, delta=None)) for row in page.rows]
            case Action.RESTART:
                return [UpdateRow(replace(alive(row), status=Status.PENDING, delta=None)) for row in page.rows]
        delta, left = delta_of(query.action, page, self.now)
        return [PutDelta(delta, left)] if left else []

    def _write_out(self, limit: int) -> list[Effect]:
        rows = self.table.on_old_deltas(self.now, limit + 1)
        assert list(rows) == self.plain.on_old_deltas(self.now, limit + 1)
        return [UpdateRow(replace(row, delta=None)) for row, _ in rows]

    def _slice(self, name: int, state: SliceState, due_at: int | None) -> list[Effect]:
        batch_id, now = BATCH_IDS[name % 3], self.now
        zeros = (0,) * 7
        slice_ = Slice(
            batch_id, 0, Action.KILL, FILTERS[0], False, 0, OnTimeout.KILL, Cause(), state, self.offset, -1, *zeros,
            (), (), self.offset, now, now, due_at=due_at,
        )  # fmt: skip
        return [PutSlice(slice_)]

    def _unslice(self, name: int) -> list[Effect]:
        batch_id = BATCH_IDS[name % 3]
        return [RemoveSlice(batch_id)] if batch_id in self.plain.slices else []

    def _batch(self, name: int, state: BatchState, expires_at: int | None) -> list[Effect]:
        start = StartBatch(BATCH_IDS[name % 3], Action.KILL, FILTERS[0], expires_at=expires_at)
        return [PutBatch(Batch(start, 1, None, state, None, (None,), (-1,), self.offset, self.now, self.now))]

    def _unbatch(self, name: int) -> list[Effect]:
        batch_id = BATCH_IDS[name % 3]
        return [RemoveBatch(batch_id)] if batch_id in self.plain.batches else []

    def _marks(self, number: int) -> list[Effect]:
        again = SetRelease(number, outstanding=number % 2 == 0, again=number % 3 == 0)
        return [SetPage(number, outstanding=number % 2 == 0), again, SetTick(number)]

    def _check_published(
        self, published: list[tuple[str, bytes | None]], changed: dict[str, bytes | None], before: dict[str, int]
    ) -> None:
        """Changed records, and each slice whose number of waiting rows changed; every one has that number."""
        held = self._held()
        guarding = {guard.slice.batch_id for guard in self.plain.guarding()}
        told = set()
        assert len(dict(published)) == len(published)
        for key, value in published:
            record = None if value is None else decode(value)
            if not isinstance(record, SliceProgress):
                assert value == changed.pop(key)
                continue
            assert record.held == held.get(record.batch_id, 0)
            told.add(record.batch_id)
            if key in changed:
                assert encode(replace(record, held=0)) == changed.pop(key)
            else:
                assert (record.revision, record.updated_at) == (self.offset, self.now)
                assert record.held != before.get(record.batch_id, 0)
        assert not changed
        assert {each for each in guarding if before.get(each, 0) != held.get(each, 0)} <= told

    def _held(self) -> dict[str, int]:
        counts: Counter[str] = Counter()
        for guard in self.plain.guarding():
            alone = SimpleNamespace(guarding=lambda only=guard: [only], invocation=self.plain.invocation)
            against = Guards(cast("View", alone)).against
            rows = (replace(row, flow_id=None, parent_id=None) for row in self.plain.rows.values() if row.held)
            counts[guard.slice.batch_id] += sum(map(against, rows))
        return {batch_id: count for batch_id, count in counts.items() if count}

    def _look(self, limit: int) -> list[Effect]:
        """Ask everything of both."""
        table, plain, before = self.table, self.plain, self.now
        limit += 1
        assert list(table.running_slices()) == plain.running_slices()
        guards = {guard.slice.batch_id: guard.slice for guard in plain.guarding()}
        assert {guard.slice.batch_id: guard.slice for guard in table.guarding()} == guards
        assert list(table.finished_batches(before, limit)) == plain.finished_batches(before, limit)
        for until in (4, 9):
            assert list(table.due_slices(until, limit)) == plain.due_slices(until, limit)
            assert list(table.expiring(until, limit)) == plain.expiring(until, limit)
        self._look_at_flows(limit)
        if self.store.in_transaction:
            assert list(table.ended(before, limit)) == plain.ended(before, limit)
            without = {row.seq for row in plain.rows.values() if row.seq % 3 == limit % 3}
            assert table.inboxes(OBJECTS, without) == plain.inboxes(OBJECTS, without)
            for most in MAX_BYTES:
                self._same_rows(most)
                assert list(table.due(limit, limit, most)) == plain.due(limit, limit, most)
                assert list(table.held(limit - 2, limit, most)) == plain.held(limit - 2, limit, most)
                assert list(table.on_old_deltas(before, limit, most)) == plain.on_old_deltas(before, limit, most)
                assert table.inboxes(OBJECTS, without, most) == plain.inboxes(OBJECTS, without, most)
            for name in IDS:
                row = plain.row(name)
                assert table.row(name) == row
                if row is not None:
                    assert table.invocation(row) == plain.invocation(row)
                    assert table.payload(row) == plain.payload(row)
        return []

    def _inboxes(self, number: int) -> list[Effect]:
        """Ask for them amid unwritten changes."""
        without = {seq for seq in range(self.offset) if seq % 6 == number}
        assert self.table.inboxes(OBJECTS, without) == self.plain.inboxes(OBJECTS, without)
        return []

    def _pick(self, pick: int) -> Row | None:
        rows = list(self.plain.rows.values())
        return rows[pick % len(rows)] if rows else None


def _moved(row: Row, status: Status, due_at: int | None, shape: int) -> Row:
    return replace(
        row,
        status=status,
        due_at=None if status in TERMINAL else due_at,
        paused_from=(Status.SCHEDULED, Status.RUNNING)[shape % 2] if status is Status.PAUSED else None,
        started_seq=shape or None,
        ending=ENDINGS[shape % 3],
        delta=None,
    )
