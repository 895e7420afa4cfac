"""Partitions in memory, on which every promise is looked at after every command."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from streams.engine.effects import InsertRow, PutSlice, Send, UpdateRow
from streams.engine.filters import Facts, matches
from streams.engine.lifecycle import stands_at
from streams.model import (
    STARTED,
    TERMINAL,
    UNSTARTED,
    Action,
    Command,
    ContinueSlice,
    ControlBatch,
    ControlOperation,
    Invoke,
    ReleaseHeld,
    Row,
    SignalKind,
    SliceState,
    Status,
)
from support.tables.engine_rows import of
from support.tables.memory_cluster import MemoryCluster

if TYPE_CHECKING:
    from streams.engine.answers import PageSizes
    from streams.engine.effects import Effect
    from streams.model import Slice
    from support.tables.memory_table import MemoryTable


class Watched(MemoryCluster):
    """A cluster that checks after every command what must always hold."""

    def __init__(self, partitions: int, page_sizes: PageSizes) -> None:
        super().__init__(partitions, page_sizes)
        self.ended: Counter[tuple[int, int]] = Counter()

    def step(self, partition: int) -> list[Effect]:
        """Apply the partition's next command, then look whether every promise still holds."""
        table = self.tables[partition]
        before = {row.seq: row for row in table.rows.values()}
        slices = dict(table.slices)
        now, command = self.logs[partition][self.applied[partition]]
        rule = None
        if isinstance(command, Invoke) and command.invocation.invocation_id not in table.rows:
            rule = table.at_the_door(command.invocation, now)
        effects = super().step(partition)
        if rule is not None and effects:
            self._turned_away(rule, effects)
        self._each_row_ends_once(partition, before, table)
        self._a_paused_row_rests(table)
        self._objects_have_their_order(before, table)
        self._no_work_is_doomed(table, before, effects)
        self._what_is_held_is_held_by_somebody(partition, table)
        if isinstance(command, ContinueSlice):
            self._only_who_may_acts(slices, table, command.batch_id)
        self._limits_hold()
        self._counters_add_up(table, effects)
        self._one_page_is_outstanding(partition, table)
        return effects

    def play(self: MemoryCluster, history: list[Command | int | list[int]]) -> None:
        """Log commands, let time pass, apply a few here and there; then everything, until all graces are over."""
        for move in history:
            if isinstance(move, int):
                self.now += move
                self.send(*(self.next_tick(p, table, max_rows=3) for p, table in enumerate(self.tables)))
            elif isinstance(move, list):
                for turn in move:
                    if waiting := self.waiting():
                        self.step(waiting[turn % len(waiting)])
            else:
                self.send(move)
        self.run()
        started = [batch_id for table in self.tables for batch_id in table.batches]
        self.run(*(ControlBatch(batch_id, ControlOperation.RESUME) for batch_id in started))
        while any(slice_.due_at is not None for table in self.tables for slice_ in table.slices.values()):
            self.tick(after_ms=10_000)
        self.tick(after_ms=100_000)

    def _only_who_may_acts(self, before: dict[str, Slice], table: MemoryTable, batch_id: str) -> None:
        """A page changes no slice that is paused, waits for its share of a limit or for its time, or is over."""
        was = before.get(batch_id)
        if was is not None and (was.state is not SliceState.RUNNING or was.due_at is not None):
            assert table.slices[batch_id] is was

    @staticmethod
    def _turned_away(rule: Slice, effects: list[Effect]) -> None:
        """What a rule matches as it arrives is ended, or asked to end, and nobody is told to start it."""
        (row,) = (effect.row for effect in effects if isinstance(effect, InsertRow))
        assert row.ending is not None
        assert (row.ending.cause.batch_id, row.ending.counted_by) == (rule.batch_id, rule.batch_id)
        assert row.status in {Status.KILLED, Status.CANCELLED, Status.CANCELLING}
        assert not [effect for effect in effects if isinstance(effect, Send) and effect.kind is SignalKind.START]

    def _limits_hold(self) -> None:
        for table in self.tables:
            for batch_id, batch in table.batches.items():
                slices = self.slices(batch_id)
                assert batch.start.limit is None or sum(slice_.acted for slice_ in slices) <= max(batch.start.limit, 0)
                acted_on = [slice_.done + slice_.pending + slice_.failed for slice_ in slices]
                assert all(least <= slice_.acted for least, slice_ in zip(acted_on, slices, strict=True))

    def _each_row_ends_once(self, partition: int, before: dict[int, Row], table: MemoryTable) -> None:
        for row in table.rows.values():
            was = before.get(row.seq)
            if was is not None and was.status in TERMINAL and row.status not in TERMINAL:
                # It was restarted.
                assert (row.ending, row.held) == (None, False)
                del self.ended[partition, row.seq]
            if row is not was and row.status in TERMINAL:
                self.ended[partition, row.seq] += 1
                assert self.ended[partition, row.seq] == 1
                assert row.due_at is None
                assert row.status is not Status.CANCELLING

    def _a_paused_row_rests(self, table: MemoryTable) -> None:
        for row in table.rows.values():
            assert (row.status is Status.PAUSED) == (row.paused_from is not None)
            assert row.paused_from not in {Status.PAUSED, Status.CANCELLING, *TERMINAL}
            assert row.status is not Status.PAUSED or row.due_at is None
            assert (row.status is Status.SCHEDULED) <= (row.due_at is not None)

    def _objects_have_their_order(self, before: dict[int, Row], table: MemoryTable) -> None:
        """What was in an inbox starts when nothing of its object is started, and nothing waits before it."""
        for each in {table.object_of(row) for row in table.rows.values()} - {None}:
            rows = [row for row in table.rows.values() if table.object_of(row) == each]
            started = [row for row in rows if stands_at(row) in STARTED]
            waiting = [row for row in rows if row.status is Status.PENDING]
            assert started or not waiting or min(waiting, key=lambda row: row.seq).held
            for row in started:
                was = before.get(row.seq)
                if was is not None and stands_at(was) in UNSTARTED | TERMINAL:
                    assert started == [row]
                    assert all(other.seq > row.seq for other in waiting)

    def _no_work_is_doomed(self, table: MemoryTable, before: dict[int, Row], effects: list[Effect]) -> None:
        """What a slice was going to end, as it stood, is not started."""
        stood = dict(before)
        for effect in reversed(of(UpdateRow, effects)):
            if effect.row.seq in before and before[effect.row.seq].status in TERMINAL:
                stood[effect.row.seq] = effect.row
        for send in of(Send, effects):
            if send.kind is SignalKind.START and send.seq in before:
                assert not self._guards(table, stood[send.seq])

    def _what_is_held_is_held_by_somebody(self, partition: int, table: MemoryTable) -> None:
        """A mark stays only as long as a slice guards its row, or pages to let it go are under way."""
        for row in table.rows.values():
            assert not row.held or self._guards(table, row) or table.meta.release_outstanding
            assert not row.held or row.status not in {Status.SUSPENDED, Status.CANCELLING, *TERMINAL}
        ahead = self.logs[partition][self.applied[partition] :]
        assert sum(isinstance(command, ReleaseHeld) for _, command in ahead) == table.meta.release_outstanding

    def _guards(self, table: MemoryTable, row: Row) -> bool:
        """Whether a slice has the row before it, said without the engine's words for it."""
        for slice_ in table.slices.values():
            ids = slice_.filter.invocation_ids
            to_come = slice_.cursor < row.seq if ids is None else row.invocation_id in ids[slice_.cursor :]
            acts = slice_.action in {Action.KILL, Action.CANCEL} and not slice_.dry_run and slice_.budget is None
            facts = Facts(row, table.invocations[row.invocation_id])
            matched = matches(slice_.filter, slice_.action, slice_.cutoff, facts)
            if slice_.state is SliceState.RUNNING and to_come and acts and matched:
                return True
        return False

    def _counters_add_up(self, table: MemoryTable, effects: list[Effect]) -> None:
        written = [effect.slice.batch_id for effect in effects if isinstance(effect, PutSlice)]
        assert len(written) == len(set(written))
        waiting = Counter(
            row.ending.counted_by
            for row in table.rows.values()
            if row.status is Status.CANCELLING and row.ending is not None and row.ending.counted_by is not None
        )
        for slice_ in table.slices.values():
            counts = (slice_.done, slice_.pending, slice_.skipped, slice_.failed)
            assert slice_.matched == sum(counts)
            assert min(counts) >= 0
            assert slice_.pending == waiting[slice_.batch_id]
            assert (slice_.state is SliceState.DRAINING) <= (slice_.pending > 0)
            assert (slice_.state in {SliceState.COMPLETED, SliceState.ABORTED}) <= (slice_.pending == 0)
            assert (slice_.state is SliceState.ABORTED) <= slice_.aborted
            assert (slice_.due_at is not None) <= (slice_.state is SliceState.RUNNING)

    def _one_page_is_outstanding(self, partition: int, table: MemoryTable) -> None:
        ahead = self.logs[partition][self.applied[partition] :]
        pages = [command for _, command in ahead if isinstance(command, ContinueSlice)]
        assert len(pages) == table.meta.page_outstanding
        assert bool(table.running_slices()) <= table.meta.page_outstanding
        assert (not ahead) <= (table.meta.page_outstanding == bool(table.running_slices()))
