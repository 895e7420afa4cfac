"""A turn: commands applied in memory, and their output."""

from __future__ import annotations

import sys
import time
from collections import Counter
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any, assert_never

from streams.engine import apply
from streams.engine.answers import At, PageSizes
from streams.engine.counters import REMOVED_ENTRIES
from streams.engine.effects import (
    Append,
    Count,
    InsertRow,
    PutFlow,
    PutMembers,
    PutSlice,
    RemoveMembers,
    Send,
    SendAll,
    TableEffect,
    UpdateRow,
)
from streams.model import (
    ActMembers,
    ContinueFlow,
    ContinueSlice,
    ReportTransition,
    SignalKind,
    Status,
    Tick,
)
from streams.protocol.validation import CommandRefusedError
from streams.worker.clock_ahead import runs_of
from streams.worker.cycle import OF_CYCLES, Cycle
from streams.worker.intake import at_once, left_over
from streams.worker.items import forward_fault
from streams.worker.outbox import Outbox
from streams.worker.page_sizes import ANSWER_COST, SIGNAL_COST, TURN_S, Measured, MeasuredPieces, Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from streams.config import Settings
    from streams.engine.answers import Page
    from streams.engine.effects import Effect
    from streams.model import Command
    from streams.worker.clock_ahead import ClockAheadRun
    from streams.worker.intake import PartitionInput
    from streams.worker.items import Item, RecordFault
    from streams.worker.page_sizes import Budget, TunedSizes
    from streams.worker.task import PartitionTask
    from streams.worker.topics import Topics

_COMMAND = attrgetter("command")
_OF_THE_TABLE = frozenset({InsertRow, UpdateRow, PutFlow, PutMembers, RemoveMembers})


class Turn:
    """Everything between a turn's consume and its checkpoint; no Kafka client is touched here.

    `wall_clock`: the worker's, ms. Without one, as in a replay, no record counts as stamped too far ahead.
    """

    def __init__(
        self, settings: Settings, topics: Topics, sizes: TunedSizes, wall_clock: Callable[[], int] | None = None
    ) -> None:
        self._settings = settings
        self._wall_clock = wall_clock
        self._now = 0
        self._latest = sys.maxsize
        self._ahead: dict[int, int] = {}
        self._asked = 0
        self._follows = 0.0
        self.answers = 0
        self._topics = topics
        self.outbox = Outbox(topics.slice_partitions, topics.flow_partitions, shadow=settings.shadow)
        self.sizes = sizes
        self.tasks: list[PartitionTask] = []
        self.taken: list[PartitionInput] = []
        self.applied = 0
        self.commands_s = 0.0
        self.forwarded = 0
        self.records: Counter[type] = Counter()
        self.counts: dict[str, int] = {}
        self.cycles: list[tuple[Cycle, str, int]] = []
        self.ended: Counter[tuple[Status, str]] = Counter()
        self.pages: list[Measured] = []
        self.other_pages: list[MeasuredPieces] = []
        self.usual_pages = 1
        self.ahead: list[ClockAheadRun] = []

    def apply(self, inputs: Sequence[PartitionInput]) -> None:
        """Apply inputs. The turn's pages divide the time budget. A partition may come twice, with one page in all."""
        if self._wall_clock is not None:
            # Read after the records were consumed, and never kept: a process may be frozen between two turns.
            self._now = self._wall_clock()
            self._latest = self._now + self._settings.max_clock_ahead_ms
        began = time.perf_counter()
        done = []
        for number, input_ in enumerate(inputs, 1):
            # Each input has its part of the time, and the rest of the parts before it.
            done.append(self._apply_input(input_, began + number / len(inputs) * TURN_S))
        self.taken += done
        self.commands_s += time.perf_counter() - began
        commands = list(map(_COMMAND, chain.from_iterable(input_.items for input_ in done)))
        self.records.update(map(type, commands))
        if ReportTransition in self.records:
            self.answers += sum(type(each) is ReportTransition and each.to is Status.CANCELLED for each in commands)

    def _apply_input(self, input_: PartitionInput, until: float) -> PartitionInput:
        """Apply a partition's input until its time is up; returns what was done. The rest goes back to the backlog."""
        task, items = input_.task, input_.items
        table = task.running_table
        table.page_sizes, table.batch_sizes = self.sizes.others(task.partition), self.sizes.batches(task.partition)
        table.begin()
        table.load(input_.ids)
        clock, done = table.meta.clock, 0
        while done < len(items) and (not done or time.perf_counter() < until):
            if done == input_.page:
                clock = self._do_page(task, items[done], clock)
                done += 1
            else:
                page = input_.page if input_.page is not None and input_.page > done else len(items)
                some = at_once(items, done, page)
                clock = self._apply(task, some, clock)
                done += len(some)
        if done < len(items):
            input_ = left_over(input_, done)
        table.set_position(input_.items[-1].message.offset() + 1, clock)
        self._note_ahead(input_)
        self._finish(task)
        self.ended.update(table.take_ended())
        self.outbox.published(table.published())
        task.flows.note(table.changed_flows())
        self.applied += done
        return input_

    def had_a_page(self) -> list[PartitionTask]:
        """Partitions that have done a page; a tick counts as one."""
        return [input_.task for input_ in self.taken if input_.page is not None]

    def tune(self, budget: Budget) -> None:
        """Tune the sizes of later turns and pages by the time that this one and its pages took."""
        pages_ms = sum(page.took_ms for page in self.pages) + sum(page.took_ms for page in self.other_pages)
        commands_ms = max(0.0, 1_000 * self.commands_s - pages_ms)
        budget.came(self.records, commands_ms, time.perf_counter(), self.answers)
        self.sizes.learn(self.pages, self.other_pages, budget.ms, self.usual_pages if budget.waited_for else None)
        self.sizes.learn_commands(self.applied, commands_ms)

    def write_ticks(self, tasks: Sequence[PartitionTask], now: int) -> None:
        """Append a `Tick` for each partition where something is due and none is outstanding; `now`: wall-clock ms."""
        for task in tasks:
            if task.tick_due(now, self._settings):
                tick = task.new_tick(now, self._settings, self.sizes.others(task.partition))
                self.outbox.append(Append(task.partition, f"tick/{task.partition}", tick))

    def publish_flows(self, tasks: Iterable[PartitionTask], now: int, *, at_once: bool = False) -> None:
        """Publish the named flows of these partitions that are free to be; once a turn. Arguments as for `take`.

        A partition without input becomes part of the turn: its offset shows whether it is still this worker's.
        """
        for task in tasks:
            table = task.running_table
            records = task.flows.take(table.meta.clock, now, at_once=at_once)
            if records:
                self._include(task)
            self.outbox.flows_published(records)

    def publish_addresses(self, tasks: Iterable[PartitionTask]) -> None:
        """Publish where the queries of these partitions are answered, once per takeover; input as for flows.

        Also that they are answered nowhere: else gateways would go by the address of the worker before.
        """
        for task in tasks:
            if not task.address_published:
                self._include(task)
                self.outbox.address_published(task.partition, task.address)
                task.address_published = True

    def _include(self, task: PartitionTask) -> None:
        """Make a partition part of the turn that may have no input."""
        if task not in self.tasks:
            task.running_table.begin()
            self._finish(task)

    def _finish(self, task: PartitionTask) -> None:
        """Write a partition's part of the turn."""
        table = task.running_table
        self.outbox.table_changes(task.partition, table.flush())
        if table.strays:
            self._count(REMOVED_ENTRIES, table.strays, task)
        if task not in self.tasks:
            self.tasks.append(task)

    def _do_page(self, task: PartitionTask, item: Item, clock: int) -> int:
        """Apply a page and measure it, its writes included; returns the partition clock after it."""
        table = task.running_table
        # Changes of other commands are written first, so that the page is not charged for them.
        table.write()
        self._asked = 0
        self._follows = 0.0
        watch = Stopwatch()
        clock = self._apply(task, (item,), clock)
        # Its row-by-row changes would otherwise be written at the end of the turn and charged to nobody.
        table.write()
        command, took_ms = item.command, watch.ms()
        if isinstance(command, ContinueSlice) and table.last_page is not None:
            slice_ = table.slice(command.batch_id)
            last = slice_ is None or slice_.pages_done
            self.pages.append(_measured(command, table.last_page, took_ms, last=last, follows=self._follows))
        elif not isinstance(command, ContinueSlice):
            self._note_page(task, command, took_ms)
        return clock

    def _note_page(self, task: PartitionTask, command: Command, took_ms: float) -> None:
        """Note the time of a page that belongs to no batch: all count against the budget."""
        noted = MeasuredPieces(0, filled=False, took_ms=took_ms, partition=task.partition)
        match command:
            case Tick(max_rows=most, tick_no=number):
                noted = noted._replace(allowed=most, filled=task.tick_outstanding == number + 1)
            case ContinueFlow(max_matched=most):
                noted = noted._replace(allowed=most, filled=self._asked >= most, size="max_asked")
            case ActMembers(max_rows=most, seqs=seqs):
                noted = noted._replace(allowed=most, filled=len(seqs) >= most, size="max_members")
            case _:
                # The size of a release is not tuned.
                pass
        self.other_pages.append(noted)

    def _apply(self, task: PartitionTask, items: Sequence[Item], clock: int) -> int:
        """Apply commands in order; returns the partition clock after them. This is the worker's hot loop."""
        table, partition, outbox, known = task.running_table, task.partition, self.outbox, task.known_ahead
        for item in items:
            message = item.message
            timestamp = message.timestamp()[1]
            offset = message.offset()
            if timestamp > self._latest or (known is not None and known.clock_at(offset) is not None):
                self._ahead[offset] = clock = clock or self._first_clock(task, offset)
            elif timestamp > clock:
                clock = timestamp
            if item.bad is not None:
                self._refuse_bad(item, item.bad, task)
                continue
            if (home := item.home) is not None and home != partition:
                self._forward(message, home)
                continue
            at = At(partition, offset, clock)
            try:
                effects = apply(item.command, at, table)
            except CommandRefusedError as refused:
                self._refuse(message, refused)
                continue
            table.absorb(effects, at)
            for effect in effects:
                if type(effect) is Send:
                    outbox.signal(partition, effect)
                elif type(effect) not in _OF_THE_TABLE:
                    self._carry_out(effect, task, item.command)
        return clock

    def _carry_out(self, effect: Effect, task: PartitionTask, by: Command) -> None:
        """Carry out an effect beyond the table; `by`: the command that has it."""
        match effect:
            case Append():
                self.outbox.append(effect)
                command = effect.command
                if type(command) is ActMembers:
                    self._asked += len(command.seqs)
                elif type(command) is Tick and effect.partition == task.partition:
                    task.tick_outstanding = command.tick_no
            case SendAll():
                cost = ANSWER_COST if effect.kind is SignalKind.CANCEL else SIGNAL_COST
                self._follows += (cost - 1) * len(effect.rows)
                self.outbox.signals_of_page(task.partition, effect)
            case Count(name=name, by=number):
                self._count(name, number, task)
            case PutSlice():
                # Of all reports, only an answer that a batch has waited for changes a slice. Those that say CANCELLED,
                # to a batch, a flow or a parent, are counted together.
                self.answers += type(by) is ReportTransition and by.to is not Status.CANCELLED
            case _:
                if not isinstance(effect, TableEffect | Send):  # the table has applied it already
                    assert_never(effect)

    def _count(self, name: str, by: int, task: PartitionTask) -> None:
        self.counts[name] = self.counts.get(name, 0) + by
        if name in OF_CYCLES:
            self.cycles.append((task.cycle, name, by))

    def _first_clock(self, task: PartitionTask, offset: int) -> int:
        """The clock of a partition that has none yet: the worker's, since one in 1970 would forget far too early."""
        named = None if task.known_ahead is None else task.known_ahead.clock_at(offset)
        return self._now if named is None else named

    def _note_ahead(self, input_: PartitionInput) -> None:
        """Write the places of an input's records that were stamped too far ahead to the dead letters."""
        last = input_.items[-1].message
        input_.task.ahead_ms = max(0, last.timestamp()[1] - self._now) if last.offset() in self._ahead else 0
        if not self._ahead:
            return
        for run in runs_of(input_.items, self._ahead, self._now):
            self.ahead.append(run)
            self.outbox.clock_ahead(run, self._topics)
        self._ahead = {}

    def _forward(self, message: Any, partition: int) -> None:
        """Forward a record to the partition it belongs to, or to the dead letters if it would be refused there."""
        fault = forward_fault(message)
        if fault is not None:
            self._refuse(message, fault)
            return
        self.outbox.forward(partition, message)
        self.forwarded += 1

    def _refuse_bad(self, item: Item, why: RecordFault, task: PartitionTask) -> None:
        """Write a bad record to the dead letters, and its replacement, if any, to the log."""
        self._refuse(item.message, why)
        if item.instead is not None:
            key = (item.message.key() or b"").decode("utf-8", "replace")
            self._carry_out(Append(task.partition, key, item.instead), task, item.instead)

    def _refuse(self, message: Any, why: RecordFault | CommandRefusedError) -> None:
        self.outbox.dead_letter(message, why.code, why.message)


def _measured(command: ContinueSlice, page: Page, took_ms: float, *, last: bool, follows: float) -> Measured:
    matched = len(page.started) + sum(map(len, page.unstarted.values()))
    allowed = PageSizes(command.max_scanned, command.max_matched)
    cost = 1 + follows / max(1, matched)
    return Measured(allowed, page.looks, matched, took_ms, command.partition, command.batch_id, last, cost)
