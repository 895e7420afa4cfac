"""The rows of a turn: each is read once, changed in memory and written once."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from streams.codec import encode, encode_row
from streams.engine.answers import Inbox, Weighed
from streams.engine.weights import of_member, of_start
from streams.model import TERMINAL
from streams.state import reads
from streams.state.columns import delete_rows, insert_rows, json_list, row_of, update_rows
from streams.state.deltas import (
    RESTING,
    Endings,
    OldDeltas,
    apply_delta,
    count_resting,
    drop_deserted,
    release,
    seqs_of,
)
from streams.state.ended import Ended
from streams.state.inboxes import Inboxes
from streams.state.kept_flows import parents_came, parents_gone
from streams.state.keys import delta_key, invocation_key, payload_key
from streams.state.payloads import write_payloads
from streams.state.schema import STATUSES

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from streams.engine.answers import Object
    from streams.engine.effects import InsertRow, PutDelta, RemoveRow, UpdateRow
    from streams.model import Action, Row, Status
    from streams.state.columns import Params
    from streams.state.select import Window
    from streams.state.shared import Shared

Changelog = list[tuple[str, bytes | None]]
"""Keys and values, in the order in which they apply; None is a tombstone."""

_SEQ: Final = attrgetter("seq")
_ANY: Final = 1 << 62
"""A limit in bytes that nothing reaches."""


class Overlay:
    """Rows and their payloads as a turn sees them, on top of the store.

    A question about the whole table (a page, what is due) needs SQL, so `write` comes first. A page's delta applies to
    what was written before it, so the changelog has it between the row records before and after.
    """

    def __init__(self, db: sqlite3.Connection, shared: Shared) -> None:
        self.endings = Endings(db)
        self.counts: dict[str, int] = {}
        self.counts_changed = False
        self.total = 0
        self.may_hold = True
        """False if it is known that no row is held."""
        self._db = db
        self._shared = shared
        self.old_deltas = OldDeltas(db)
        self._rows: dict[str, Row | None] = {}
        self._inserted: dict[int, InsertRow] = {}
        self._updated: dict[int, Row] = {}
        self._removed: dict[int, str] = {}
        self._to_forget: dict[int, reads.EndedRow] = {}
        self._released: Counter[int] = Counter()
        self._inboxes = Inboxes()
        self._deltas: set[int] = set()
        self.just_ended = Ended(db)
        self._changelog: Changelog = []

    def reload(self, counts: Mapping[str, int]) -> None:
        """Begin again without any changes; `counts`: rows of the store by status."""
        self.counts = dict(counts)
        self.counts_changed = False
        self.may_hold = True
        self.total = sum(counts.values())
        self.endings.reload()
        self.old_deltas.reload()
        self.forget()

    def forget(self) -> None:
        """Forget the turn's rows: the store has them now."""
        for changes in (self._rows, self._inserted, self._updated, self._removed, self._to_forget, self._released):
            changes.clear()
        self._inboxes.forget()
        self._inboxes.reload()
        self._deltas.clear()
        self.just_ended.forget()
        self._changelog = []

    # --- reading ---

    def load(self, ids: Sequence[str]) -> None:
        """Read these rows in one statement, and remember the ids that have no row."""
        wanted = [invocation_id for invocation_id in dict.fromkeys(ids) if invocation_id not in self._rows]
        if not wanted:
            return
        self._rows.update(dict.fromkeys(wanted))
        endings = self.endings
        for columns in reads.rows_by_ids(self._db, wanted):
            self._rows[columns[0]] = row_of(columns, endings)

    def row(self, invocation_id: str) -> Row | None:
        """The row with the turn's changes; None if there is none."""
        rows = self._rows
        if invocation_id not in rows:
            columns = reads.row_by_id(self._db, invocation_id)
            rows[invocation_id] = None if columns is None else row_of(columns, self.endings)
        return rows[invocation_id]

    def payload(self, seq: int) -> bytes | None:
        """The payload of the row with this seq."""
        inserted = self._inserted.get(seq)
        if inserted is not None:
            return inserted.payload
        found = self._db.execute("SELECT payload FROM payloads WHERE seq = ?", (seq,)).fetchone()
        return None if found is None else bytes(found[0])

    def rows(self, seqs: list[int]) -> tuple[Row, ...]:
        """The rows with these seqs, in order of seq; their changes must be written first."""
        rows = tuple(row_of(columns, self.endings) for columns in reads.rows_by_seqs(self._db, seqs)) if seqs else ()
        self._rows.update((row.invocation_id, row) for row in rows)
        return rows

    def inboxes(
        self, objects: Sequence[Object], without: AbstractSet[int], most: int | None = None
    ) -> dict[Object, Inbox]:
        """As `View.inboxes`, with the turn's changes."""
        changed = self._inboxes
        if most is not None:
            self.write()
        elif len(objects) == 1 and not without and (known := changed.known(objects[0])) is not None:
            return {objects[0]: known}
        if self._removed or changed.too_many(objects):
            self.write()
        found = reads.inboxes(self._db, objects, [*without, *changed.seqs(objects)])
        seqs = [seq for _, seq in found if seq is not None]
        # One byte above the limit marks the result as too large.
        weighed = self.weighed(reads.weighed_by_seqs(self._db, seqs), of_start, _ANY if most is None else most + 1)
        if most is not None and sum(weight for _, weight in weighed) > most:
            return {}
        heads = {row.seq: row for row, _ in weighed}
        return {
            each: changed.over(each, Inbox(started, None if seq is None else heads[seq]), without)
            for each, (started, seq) in zip(objects, found, strict=True)
        }

    def rows_at(self, seqs: Sequence[int], action: Action, max_bytes: int, each: int) -> tuple[list[Row], int]:
        """As `View.rows_at`, with the turn's changes."""
        self.write()
        rows, weight, endings = [], 0, self.endings
        for columns in reads.rows_by_seqs(self._db, list(seqs)):
            row = row_of(columns, endings)
            rows.append(row)
            # The payload of a row that ends is never read.
            weight += of_member(row, action, None, each)
            if weight >= max_bytes:
                return rows, bisect_right(seqs, row.seq)
        return rows, len(seqs)

    def ended(self, before: int, limit: int) -> list[tuple[int, str]]:
        """As `View.ended`, with the turn's changes."""
        self.write()
        found = reads.ended_rows(self._db, self.old_deltas, before, limit)
        self._to_forget.update((ended.seq, ended) for ended in found)
        return [(ended.seq, ended.invocation_id) for ended in found]

    def weighed(
        self, found: Iterable[Params], weight_of: Callable[[Row, int | None], int], max_bytes: int
    ) -> list[Weighed]:
        """Rows from the columns of `SELECT_WEIGHED`, up to the row that brings their weight to `max_bytes`.

        Later rows are not even read. Changes must be written first.
        """
        rows, reached = [], 0
        for columns in found:
            row = row_of(columns[:-1], self.endings)
            weight = weight_of(row, columns[-1])
            rows.append(Weighed(row, weight))
            reached += weight
            if reached >= max_bytes:
                break
        self._rows.update((row.invocation_id, row) for row, _ in rows)
        return rows

    # --- changing ---

    def insert(self, effect: InsertRow) -> None:
        """Add a new row and its payload."""
        row = effect.row
        self._rows[row.invocation_id] = row
        self._inserted[row.seq] = effect
        if row.object_key is not None:
            self._inboxes.put(row)
        if row.status in TERMINAL:
            self.just_ended.row(row)
        self._count(row.status, 1)
        self.total += 1

    def update(self, effect: UpdateRow) -> None:
        """Replace the row's state; it leaves the delta it rested on."""
        row = effect.row
        known = self.row(row.invocation_id)
        if known is None:
            raise AssertionError(f"invocation {row.invocation_id} is updated and has no row")
        if known.status is not row.status:
            self._count(known.status, -1)
            self._count(row.status, 1)
            if row.status in TERMINAL:
                self.just_ended.row(row)
        if known.delta is not None:
            self._released[known.delta] += 1
        if self._to_forget:
            self._to_forget.pop(row.seq, None)
        if row.delta is not None:
            row = replace(row, delta=None)
        if row.object_key is not None:
            self._inboxes.put(row)
        if row.held:
            self.may_hold = True
        self._rows[row.invocation_id] = row
        self._updated[row.seq] = row

    def remove(self, effect: RemoveRow) -> None:
        """Remove the row and its payload."""
        seq, invocation_id = effect.seq, effect.invocation_id
        status, delta = self._status_and_delta(seq, invocation_id)
        self._count(status, -1)
        self.total -= 1
        if delta is not None:
            self._released[delta] += 1
        self._rows[invocation_id] = None
        self._updated.pop(seq, None)
        inserted = self._inserted.pop(seq, None)
        self._inboxes.reload()
        if inserted is None:
            self._removed[seq] = invocation_id
        else:
            self._inboxes.remove(inserted.row)

    def put_delta(self, effect: PutDelta, offset: int, page: Window | None) -> None:
        """Apply a page's delta. `offset`: of the command that caused it; `page`: the page selected last."""
        if offset in self._deltas:
            raise AssertionError(f"the command at offset {offset} puts a second delta")
        self.write()
        delta, left = effect.delta, effect.left
        seqs = seqs_of(delta)
        if not RESTING.isdisjoint(left):
            self._released.update(count_resting(self._db, seqs))
        record = encode(delta)
        whole = page is not None and len(delta.changes) == 1 and page.matched == len(seqs)
        there = apply_delta(self._db, offset, delta, record, page.condition if page is not None and whole else None)
        if not len(seqs) == there == sum(left.values()):
            raise AssertionError(f"delta {offset} lists {len(seqs)} rows, {there} are there, {left} were counted")
        self._deltas.add(offset)
        self._changelog.append((delta_key(offset), record))
        for status, count in left.items():
            self._count(status, -count)
        for change in delta.changes:
            self._count(change.status, len(change.seqs))
        self.just_ended.delta(delta, None if page is None else page.ending)
        self._to_forget.clear()
        self._inboxes.reload()
        if self._rows:
            changed = set(seqs)
            self._rows = {name: row for name, row in self._rows.items() if row is None or row.seq not in changed}

    def _status_and_delta(self, seq: int, invocation_id: str) -> tuple[Status, int | None]:
        ended = self._to_forget.pop(seq, None)
        if ended is not None:
            return STATUSES[ended.status], ended.delta
        row = self.row(invocation_id)
        if row is None or row.seq != seq:
            raise AssertionError(f"invocation {invocation_id} with seq {seq} is removed and has no row")
        return row.status, row.delta

    def _count(self, status: Status, by: int) -> None:
        self.counts[status] = self.counts.get(status, 0) + by
        self.counts_changed = True

    # --- writing ---

    def write(self) -> None:
        """Write the changes since the last `write`, and note their changelog records: rows, payloads, tombstones."""
        changelog, tombstones = self._changelog, self._write_removed()
        if self._inserted:
            self._write_inserted()
        if self._updated:
            rows = sorted(self._updated.values(), key=_SEQ)
            update_rows(self._db, rows)
            changelog += [(invocation_key(row.invocation_id), encode_row(row)) for row in rows]
            self._updated.clear()
        changelog += write_payloads(self._db, list(self._inserted.values()), tombstones)
        changelog += [(key, None) for key in tombstones]
        self._inserted.clear()
        self._inboxes.forget()

    def write_new(self, rows: Iterable[Row]) -> None:
        """Write if one of these rows is new: it is linked to the flow of its children as it is written."""
        if self._inserted and not self._inserted.keys().isdisjoint(map(_SEQ, rows)):
            self.write()

    def finish(self) -> Changelog:
        """Write everything; returns the turn's changelog of rows, payloads and deltas."""
        self.write()
        changelog = self._changelog
        if self._released:
            # Only these deltas can have lost their last row: a page that changes no row puts no delta.
            release(self._db, self._released)
            changelog += [(delta_key(offset), None) for offset in drop_deserted(self._db, self._released)]
            self._released.clear()
        self._deltas.clear()
        self._changelog = []
        return changelog

    def _write_removed(self) -> dict[str, None]:
        """Delete removed rows; returns the keys of their tombstones."""
        if not self._removed:
            return {}
        seqs = json_list(list(self._removed))
        parents_gone(self._db, seqs)
        had_payload = delete_rows(self._db, seqs)
        keys = dict.fromkeys(map(invocation_key, self._removed.values()))
        keys |= dict.fromkeys(payload_key(self._removed[seq]) for seq in had_payload)
        self._removed.clear()
        return keys

    def _write_inserted(self) -> None:
        updated = self._updated
        rows = [(updated.pop(seq, effect.row), effect.invocation) for seq, effect in self._inserted.items()]
        self._changelog += [(invocation_key(row.invocation_id), encode_row(row)) for row, _ in rows]
        insert_rows(self._db, rows, self._shared)
        parents_came(self._db, [row.invocation_id for row, _ in rows])
