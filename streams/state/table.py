"""A partition's table within a turn: the turn's changes lie on top of the store until they are written.

The order of calls: `begin`, `load`, `absorb` for the effects of each command, `set_position`, `flush`, `published`, and
`commit` once the Kafka transaction is committed; or `rollback`, at any time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

from msgspec.structs import replace

from streams.codec import decode_invocation, encode
from streams.engine.answers import MAX_BYTES
from streams.engine.effects import (
    Append,
    Count,
    FlowEffect,
    InsertRow,
    Outgoing,
    PutBatch,
    PutDelta,
    PutFlow,
    PutMembers,
    PutSlice,
    RemoveBatch,
    RemoveFlow,
    RemoveMembers,
    RemoveRow,
    RemoveSlice,
    RowEffect,
    Send,
    SetPage,
    SetReconciled,
    SetRelease,
    SetTick,
    UpdateRow,
)
from streams.engine.weights import of_record, of_start
from streams.model import ENGINE_VERSION, Action, Meta
from streams.state import reads
from streams.state.batches import Batches
from streams.state.columns import unpack_ending
from streams.state.flows import Flows
from streams.state.keys import META_KEY
from streams.state.overlay import Changelog, Overlay
from streams.state.parts import PartsOfTable
from streams.state.schema import STATUSES
from streams.state.select import select_page
from streams.state.strays import Strays

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from streams.engine.answers import At, Inbox, Object, Page, PageQuery, PageSizes, Weighed
    from streams.engine.effects import Effect
    from streams.model import Invocation, Row, Status
    from streams.state.select import Window
    from streams.state.store import Store


_SENT: Final = frozenset({Send, Append})
"""Effects of many commands that leave the table as it is."""
_OF_FLOWS: Final = frozenset({PutFlow, PutMembers, RemoveMembers, RemoveFlow})


class Table(PartsOfTable):
    """One partition's table: the engine's view, and the one place where effects become state.

    Args:
        store: the partition's file; the table is its only writer.
        partition: its number.
        partitions: number of partitions of `commands`; kept in `m/`.
        page_sizes: for the next pages that the engine writes, of batches without sizes in `batch_sizes`.
        commands_topic_id: kept in `m/`; an empty one (unknown) leaves what `m/` has.
        changelog_topic_id: likewise.
    """

    def __init__(
        self,
        store: Store,
        partition: int,
        partitions: int,
        page_sizes: PageSizes,
        *,
        commands_topic_id: str = "",
        changelog_topic_id: str = "",
    ) -> None:
        self.last_page: Page | None = None
        self._window: Window | None = None
        self._page_sizes = page_sizes
        self.batch_sizes: Mapping[str, PageSizes] = {}
        self._store = store
        self._db = store.db
        self._partitions = partitions
        self._topic_ids = commands_topic_id, changelog_topic_id
        self._overlay = Overlay(store.db, store.shared)
        self._meta = Meta()
        self._batches = Batches(store.db, partition)
        self._flows = Flows(store.db)
        self._strays = Strays(store)
        self._row_due: tuple[int | None, ...] = ()
        """The result of `reads.next_due`; empty if rows have been written since."""
        self._reload()

    # --- a turn ---

    def begin(self) -> None:
        """Open the store's transaction for a turn; or continue that of the turn before, flushed but not committed."""
        if self._store.in_transaction:
            self._forget()
        else:
            self._store.begin()
        self._strays.begin()
        self.last_page = None

    def load(self, ids: Sequence[str]) -> None:
        """Read the rows that the turn's commands name, in one statement. They are forgotten after the turn."""
        self._overlay.load(ids)

    def absorb(self, effects: Sequence[Effect], at: At) -> None:
        """Apply a command's effects on the table. Effects on the log and on executors are left to the runtime."""
        overlay = self._overlay
        for effect in effects:
            # By type: `isinstance` of an effect that is another costs as much as all else here.
            if type(effect) is InsertRow:
                overlay.insert(effect)
            elif type(effect) is UpdateRow:
                overlay.update(effect)
            elif type(effect) in _SENT:
                continue
            elif type(effect) in _OF_FLOWS and isinstance(effect, FlowEffect):
                self._flows.absorb(effect)
            else:
                self._absorb_others(effect, at)

    def _absorb_others(self, effect: Effect, at: At) -> None:
        match effect:
            case PutDelta():
                self._overlay.put_delta(effect, at.offset, self._window)
                self._window = None
            case RemoveRow():
                self._overlay.remove(effect)
            case PutSlice() | RemoveSlice() | PutBatch() | RemoveBatch():
                self._batches.absorb(effect)
            case SetReconciled(reconciled_at=reconciled_at, labels=labels):
                self._meta = replace(self._meta, reconciled_at=reconciled_at, reconcile_labels=labels)
            case SetPage(page=page, outstanding=outstanding):
                self._meta = replace(self._meta, page=page, page_outstanding=outstanding)
            case SetRelease(release_no=release_no, outstanding=outstanding, again=again):
                marks = {"release_no": release_no, "release_outstanding": outstanding, "release_again": again}
                self._meta = replace(self._meta, **marks)
            case SetTick(tick_no=tick_no):
                self._meta = replace(self._meta, tick_no=tick_no)
            case _:
                if not isinstance(effect, RowEffect | Outgoing | Count | FlowEffect):
                    assert_never(effect)

    def write(self) -> None:
        """Write what has changed so far to the store's open transaction, as is done before a page."""
        self._overlay.write()
        self._flows.write()

    def set_position(self, next_offset: int, clock: int) -> None:
        """Set the turn's end.

        Args:
            next_offset: of the command that follows it in the log.
            clock: the highest timestamp seen, ms.
        """
        self._meta = replace(self._meta, next_offset=next_offset, clock=clock)

    def flush(self) -> Changelog:
        """Write the turn to the store's open transaction.

        Returns:
            Changelog keys and values in the order that replays exactly, `m/` last; None is a tombstone.
        """
        changelog = self._overlay.finish()
        self._row_due = ()
        changelog += self._batches.flush()
        changelog += self._strays.flush()
        changelog += self._flows.flush()
        self._meta = self.meta
        record = encode(self._meta)
        self._store.put_meta(self._meta, record)
        changelog.append((META_KEY, record))
        return changelog

    def take_ended(self) -> Counter[tuple[Status, str]]:
        """Number of invocations that have ended since the last call, by status and service. Ask before `commit`."""
        return self._overlay.just_ended.take()

    @property
    def strays(self) -> int:
        """Number of entries of members that the turn has removed: nobody could ever answer for them."""
        return self._strays.removed

    def published(self) -> Changelog:
        """Progress to publish after `flush`, as `Batches.published` says."""
        return self._batches.published(self._meta.next_offset, self._meta.clock)

    def commit(self, changelog_position: int, saved_at: int) -> None:
        """Commit the turn; parameters as for `Store.commit`."""
        self._store.commit(changelog_position, saved_at)
        self._strays.commit()
        self._forget()

    def _forget(self) -> None:
        """Forget the turn's changes: the store has them, committed or about to be."""
        self._overlay.forget()
        self._batches.forget()
        self._flows.forget()

    def rollback(self) -> None:
        """Return to the state before `begin`."""
        self._store.rollback()
        self._strays.rollback()
        self._reload()

    # --- the engine's view ---

    @property
    def partitions(self) -> int:
        """Number of partitions of `commands`."""
        return self._partitions

    @property
    def meta(self) -> Meta:
        """The partition's record, with the current counts."""
        overlay = self._overlay
        if overlay.counts_changed:
            overlay.counts_changed = False
            counts = overlay.counts
            self._meta = replace(self._meta, counts={str(s): counts[s] for s in STATUSES if counts.get(s)})
        return self._meta

    @property
    def reconcile_labels(self) -> dict[str, str]:
        """Those of `meta`."""
        return self._meta.reconcile_labels

    @property
    def page_sizes(self) -> PageSizes:
        """Sizes for the next page of a batch without sizes of its own, and for the next tick; the worker sets them."""
        return self._page_sizes

    @page_sizes.setter
    def page_sizes(self, sizes: PageSizes) -> None:
        self._page_sizes = sizes

    def page_sizes_of(self, batch_id: str) -> PageSizes:
        """Sizes for the batch's next page written to the log."""
        return self.batch_sizes.get(batch_id, self._page_sizes)

    def row(self, invocation_id: str) -> Row | None:
        """The invocation's row; None if there is none."""
        return self._overlay.row(invocation_id)

    def payload(self, row: Row) -> bytes | None:
        """The row's payload; None if it has none."""
        return self._overlay.payload(row.seq)

    def row_total(self) -> int:
        """Number of rows of the table: a running count."""
        return self._overlay.total

    def invocation(self, row: Row) -> Invocation:
        """The part of the row that never changes."""
        return decode_invocation(row.encoded)

    def select(self, query: PageQuery) -> Page:
        """One page of matching rows; kept as `last_page` until the next turn."""
        self.write()
        page, self._window = select_page(self._db, query, self._counted_by)
        seqs = reads.written_row_by_row(self._db, page, query.action)
        if seqs and (query.action is not Action.PAUSE or self.held(-1, 1, 1)):
            rows = self._overlay.rows(seqs)
            page = replace(page, rows=tuple(row for row in rows if row.held or query.action is not Action.PAUSE))
        self.last_page = page
        return page

    def rows_at(self, seqs: Sequence[int], action: Action, max_bytes: int, each: int) -> tuple[Sequence[Row], int]:
        """The rows with these seqs, and how many of the seqs were looked at."""
        # The delta that follows is of these rows: it must not take a page selected before for its own.
        self._window = None
        return self._overlay.rows_at(seqs, action, max_bytes, each)

    def inboxes(
        self, objects: Sequence[Object], without: AbstractSet[int], most: int | None = None
    ) -> dict[Object, Inbox]:
        """The inboxes of these objects, in their order, as if the rows with the seqs of `without` did not exist."""
        return self._overlay.inboxes(objects, without, most)

    def due(self, until: int, limit: int, max_bytes: int = MAX_BYTES) -> Sequence[Weighed]:
        """Rows with `due_at <= until` that are neither paused nor held, in order of due_at, then seq."""
        self._overlay.write()
        return self._overlay.weighed(reads.due_rows(self._db, until, limit), of_start, max_bytes)

    def ended(self, before: int, limit: int) -> Sequence[tuple[int, str]]:
        """(seq, id) of terminal rows with `modified_at < before`, oldest first."""
        return self._overlay.ended(before, limit)

    def on_old_deltas(self, before: int, limit: int, max_bytes: int = MAX_BYTES) -> Sequence[Weighed]:
        """Rows that rest on page deltas with `modified_at < before`, oldest first."""
        self._overlay.write()
        found = reads.rows_on_deltas(self._db, self._overlay.old_deltas, before, limit)
        return self._overlay.weighed(found, lambda row, _: of_record(row), max_bytes)

    # --- between turns ---

    def next_due(self) -> int | None:
        """The earliest time at which anything here is due, ms; None if nothing ever is."""
        # Cached: the loop asks in each round, and an idle loop goes round all the time.
        self._row_due = self._row_due or (reads.next_due(self._db),)
        times = (*self._row_due, self._batches.next_due())
        return min((time for time in times if time is not None), default=None)

    def retention_due(self, ended_before: int, batches_before: int) -> bool:
        """True if a Tick with these limits (ms) would find rows or batches to forget or write out."""
        return reads.anything_to_forget(self._db, ended_before, batches_before) or bool(
            self.finished_batches(batches_before, 1) or self.finished_flows(batches_before, 1)
        )

    def _counted_by(self, delta: int | None, packed: bytes | None) -> str | None:
        ending = unpack_ending(packed) if delta is None else self._overlay.endings(delta)
        return None if ending is None else ending.counted_by

    def _reload(self) -> None:
        """Read everything from the store again."""
        kept = self._store.meta or Meta()
        commands_id, changelog_id = self._topic_ids
        since = kept.engine_since if kept.engine_version == ENGINE_VERSION else kept.next_offset
        self._meta = replace(
            kept,
            engine_version=ENGINE_VERSION,
            engine_since=since,
            partitions=self._partitions,
            commands_topic_id=commands_id or kept.commands_topic_id,
            changelog_topic_id=changelog_id or kept.changelog_topic_id,
        )
        self._overlay.reload(kept.counts)
        self._row_due = ()
        self._batches.reload()
        self._flows.reload()
        self.last_page = None
