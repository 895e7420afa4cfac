"""A restore: changelog records applied to a store, in order, give the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from streams.codec import BadRecordError, decode, decode_row
from streams.model import ENGINE_VERSION, Batch, Member, Meta, PageDelta, Payload, Record, Slice
from streams.state import kept_flows
from streams.state.columns import BY_ID, delete_rows, insert_rows, json_list, update_rows
from streams.state.deltas import apply_delta, count_resting, release, seqs_of
from streams.state.errors import ChangelogError, NewerEngineError
from streams.state.keys import flow_named, member_named, split_key
from streams.state.remembered import Written, write

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from streams.model import Invocation, Row
    from streams.state.kept_flows import Entries, FlowName
    from streams.state.remembered import Kind
    from streams.state.shared import Shared

_R = TypeVar("_R", bound=Record)

_AT_ONCE: Final = 5_000
"""Number of rows gathered before they are written."""


class _Old(NamedTuple):
    """The table's row of an id whose record is being replaced."""

    invocation_id: str
    seq: int
    delta: int | None


class Restore:
    """Applies records within the connection's open transaction.

    Rows, payloads, batches and slices are gathered and written together, only the last record of each key. A page delta
    needs the rows before it, so these are written first.
    """

    def __init__(self, db: sqlite3.Connection, malformed: set[str], shared: Shared) -> None:
        """`malformed`: keys of members' entries that are left out, since key or record means nothing; it is kept up."""
        self.meta: tuple[Meta, bytes] | None = None
        self._db = db
        self._shared = shared
        self._rows: dict[str, tuple[Row, Invocation] | None] = {}
        self._payloads: dict[str, bytes | None] = {}
        self._records: dict[Kind, dict[str, bytes | None]] = {"batches": {}, "slices": {}}
        self._gone: list[tuple[int]] = []
        self._flows: dict[FlowName, bytes | None] = {}
        self._entries: Entries = {}
        self._entry_count = 0
        self._malformed = malformed

    def apply(self, records: Iterable[tuple[str, bytes | None, int]]) -> int:
        """Apply (key, value, offset) in order; returns their number."""
        applied = 0
        for key, value, _ in records:
            self._one(key, value)
            applied += 1
            if len(self._rows) + len(self._payloads) + len(self._flows) + self._entry_count >= _AT_ONCE:
                self._write()
        self._write()
        return applied

    def _one(self, key: str, value: bytes | None) -> None:
        kind, name = split_key(key)
        match kind:
            case "i":
                self._rows[name] = None if value is None else decode_row(value)
            case "p":
                self._payloads[name] = None if value is None else _expect(Payload, key, value).payload
            case "b":
                self._records["batches"][name] = value
            case "s":
                self._records["slices"][name] = value
            case "f":
                self._flows[flow_named(name)] = value
            case "g":
                self._member(name, value)
            case "d" if value is None:
                self._gone.append((int(name),))
            case "d":
                self._write()
                self._delta(int(name), key, value)
            case _:
                self._meta(key, value)

    def _delta(self, offset: int, key: str, value: bytes | None) -> None:
        delta = _expect(PageDelta, key, value)
        release(self._db, count_resting(self._db, seqs_of(delta)))
        apply_delta(self._db, offset, delta, value or b"")

    def _member(self, name: str, value: bytes | None) -> None:
        self._malformed.discard("g/" + name)
        try:
            flow, partition, seq = member_named(name)
            member = None if value is None else _expect(Member, name, value)
        except (ChangelogError, BadRecordError):
            if value is not None:
                self._malformed.add("g/" + name)
            return
        self._entries.setdefault(flow, {}).setdefault(partition, {})[seq] = member
        self._entry_count += 1

    def _meta(self, key: str, value: bytes | None) -> None:
        meta = _expect(Meta, key, value)
        if meta.engine_version > ENGINE_VERSION:
            raise NewerEngineError(meta.engine_version, ENGINE_VERSION)
        self.meta = (meta, value or b"")

    def _write(self) -> None:
        if self._rows:
            self._write_rows()
        if self._payloads:
            self._write_payloads()
        for kind, records in self._records.items():
            if records:
                write(self._db, kind, [_written(kind, name, value) for name, value in records.items()])
                records.clear()
        if self._flows or self._entries:
            self._write_flows()
        # A row may still point to a deleted delta: compaction removed its next record, and a later one is still to
        # come.
        self._db.executemany("DELETE FROM deltas WHERE offset = ?", self._gone)
        self._gone.clear()

    def _write_flows(self) -> None:
        gone = [name for name, value in self._flows.items() if value is None]
        kept_flows.remove_flows(self._db, gone)
        there = [(name, value) for name, value in self._flows.items() if value is not None]
        kept_flows.put_flows(self._db, [(name, kept_flows.flow_of(value), value) for name, value in there])
        kept_flows.put_members(self._db, self._entries)
        self._flows.clear()
        self._entries.clear()
        self._entry_count = 0

    # --- rows ---

    def _write_rows(self) -> None:
        rows = self._rows
        old = self._existing(list(rows))
        released: dict[int, int] = {}
        leaving: list[int] = []
        updates: list[tuple[Row, Invocation]] = []
        inserts: list[tuple[Row, Invocation]] = []
        for known in old.values():
            if known.delta is not None:
                released[known.delta] = released.get(known.delta, 0) + 1
        for invocation_id, record in rows.items():
            before = old.get(invocation_id)
            if before is not None and (record is None or record[0].seq != before.seq):
                leaving.append(before.seq)
            if record is not None:
                same = before is not None and record[0].seq == before.seq
                (updates if same else inserts).append(record)
        release(self._db, released)
        if leaving:
            seqs = json_list(leaving)
            self._keep_payloads([row.invocation_id for row, _ in inserts])
            kept_flows.parents_gone(self._db, seqs)
            delete_rows(self._db, seqs)
        inserts.sort(key=lambda record: record[0].seq)
        updates.sort(key=lambda record: record[0].seq)
        insert_rows(self._db, inserts, self._shared)
        kept_flows.parents_came(self._db, [row.invocation_id for row, _ in inserts])
        update_rows(self._db, [row for row, _ in updates])
        self._adopt_payloads([row.invocation_id for row, _ in inserts])
        rows.clear()

    def _existing(self, ids: list[str]) -> dict[str, _Old]:
        found = f"json_each(?) j CROSS JOIN invocations i ON i.id = j.value {BY_ID}"
        sql = f"SELECT i.id, r.seq, r.delta FROM {found}"  # noqa: S608 - our own names
        return {old[0]: _Old(*old) for old in self._db.execute(sql, (json_list(ids),)).fetchall()}

    # --- payloads: by id in the changelog, by seq in the table ---

    def _keep_payloads(self, arriving: list[str]) -> None:
        """Keep the payloads of rows that are about to be removed where another row of their id is arriving."""
        self._db.execute(
            """INSERT OR REPLACE INTO early_payloads SELECT i.id, p.payload FROM json_each(?) j
            CROSS JOIN invocations i ON i.id = j.value CROSS JOIN payloads p ON p.seq = i.seq""",
            (json_list(arriving),),
        )

    def _adopt_payloads(self, arrived: list[str]) -> None:
        if not arrived or self._db.execute("SELECT 1 FROM early_payloads LIMIT 1").fetchone() is None:
            return
        ids = json_list(arrived)
        self._db.execute(
            """INSERT OR REPLACE INTO payloads SELECT i.seq, e.payload FROM json_each(?) j
            CROSS JOIN early_payloads e ON e.id = j.value CROSS JOIN invocations i ON i.id = j.value""",
            (ids,),
        )
        self._db.execute("DELETE FROM early_payloads WHERE id IN (SELECT value FROM json_each(?))", (ids,))

    def _write_payloads(self) -> None:
        old = self._existing(list(self._payloads))
        put = [(old[name].seq, value) for name, value in self._payloads.items() if value is not None and name in old]
        early = [(name, value) for name, value in self._payloads.items() if value is not None and name not in old]
        gone = [name for name, value in self._payloads.items() if value is None]
        self._db.executemany("INSERT OR REPLACE INTO payloads VALUES (?, ?)", put)
        self._db.executemany("INSERT OR REPLACE INTO early_payloads VALUES (?, ?)", early)
        self._db.executemany("DELETE FROM payloads WHERE seq = ?", [(old[name].seq,) for name in gone if name in old])
        self._db.executemany("DELETE FROM early_payloads WHERE id = ?", [(name,) for name in gone])
        self._payloads.clear()


def _written(kind: Kind, name: str, value: bytes | None) -> Written:
    if value is None:
        return Written(name, None, None)
    key = f"{kind[0]}/{name}"
    record = _expect(Batch, key, value) if kind == "batches" else _expect(Slice, key, value)
    return Written(name, record, value)


def _expect(kind: type[_R], key: str, value: bytes | None) -> _R:
    record = decode(value)
    if not isinstance(record, kind):
        raise ChangelogError(f"changelog key {key!r} holds a {type(record).__name__}, not a {kind.__name__}")
    return record
