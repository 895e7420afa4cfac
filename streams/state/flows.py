"""The flows of a partition as a turn sees them: each is read once, changed in memory and written once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streams.codec import encode
from streams.engine.effects import PutFlow, PutMembers, RemoveFlow, RemoveMembers
from streams.protocol.validation import MAX_LONG
from streams.state import kept_flows
from streams.state.groups import any_row_of
from streams.state.keys import flow_key, member_prefix

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from streams.engine.effects import FlowEffect
    from streams.model import Flow, Member, Row
    from streams.state.kept_flows import Backlog, Entries, EntriesOfFlow, FlowName
    from streams.state.overlay import Changelog

_CACHED: Final = 4_096


class Flows:
    """Flows and entries of members, on top of the store.

    A turn may change a flow many times. Its record is encoded once, at `flush`; a question about many of them needs
    SQL, so that `write` comes first.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._known: dict[FlowName, Flow | None] = {}
        """What is read or written, of this turn and others."""
        self._before: dict[FlowName, Flow | None] = {}
        """The flows that the turn has changed, as it found them."""
        self._unwritten: set[FlowName] = set()
        self._records: dict[FlowName, bytes] = {}
        """The changed flows as last written."""
        self._entries: Entries = {}
        """The entries that the turn has changed and written."""
        self._entries_unwritten: Entries = {}
        self._highest: dict[FlowName, dict[int, int]] = {}
        """The highest seq of an entry, by flow and partition: a member with a higher one is new, without a look-up."""
        self._new: set[tuple[FlowName, int, int]] = set()
        """Entries that the store did not have when the turn began."""
        self._turns: dict[FlowName, Flow] = {}
        self._backlog = kept_flows.Backlog(0, 0)

    def reload(self) -> None:
        """Read again from the store."""
        self.forget()
        self._known.clear()
        self._highest.clear()
        self._turns = {(flow.children, flow.flow_id): flow for flow in kept_flows.with_turns(self._db)}
        self._backlog = kept_flows.backlog(self._db)

    def forget(self) -> None:
        """Forget the turn's changes: the store has them, committed or about to be."""
        self._before.clear()
        self._unwritten.clear()
        self._records.clear()
        self._entries.clear()
        self._entries_unwritten.clear()
        self._new.clear()
        if len(self._known) > _CACHED:
            self._known.clear()
            self._highest.clear()

    # --- reading ---

    def flow(self, name: FlowName) -> Flow | None:
        """The flow of that name."""
        try:
            return self._known[name]
        except KeyError:
            flow = self._known[name] = kept_flows.stored_flow(self._db, name)
            return flow

    def members(self, name: FlowName, partition: int, after: int, limit: int) -> list[tuple[int, Member]]:
        """As `View.members`."""
        self._write_entries_of(name)
        return kept_flows.members_after(self._db, name, partition, after, limit)

    def all_members(self, name: FlowName) -> list[tuple[int, int, Member]]:
        """As `View.all_members`."""
        self._write_entries_of(name)
        return kept_flows.all_members(self._db, name)

    def members_at(self, name: FlowName, partition: int, seqs: Sequence[int]) -> list[tuple[int, Member]]:
        """As `View.members_at`."""
        highest = self._highest.get(name)
        if highest is None or partition not in highest:
            highest = self._read_highest(name, partition)
        if seqs[0] > highest[partition]:
            if len(seqs) == 1:
                self._new.add((name, partition, seqs[0]))
            else:
                self._new.update([(name, partition, seq) for seq in seqs])
            return []
        changed = self._entries_unwritten.get(name, {}).get(partition)
        if not changed:
            there = kept_flows.members_at(self._db, name, partition, seqs)
            if len(there) < len(seqs):
                self._note_new(name, partition, set(seqs).difference(seq for seq, _ in there))
            return there
        asked = [seq for seq in seqs if seq not in changed]
        found = dict(kept_flows.members_at(self._db, name, partition, asked)) if asked else {}
        if len(found) < len(asked):
            self._note_new(name, partition, [seq for seq in asked if seq not in found])
        if len(asked) < len(seqs):
            found |= {seq: member for seq in seqs if (member := changed.get(seq)) is not None}
        return sorted(found.items())

    def _note_new(self, name: FlowName, partition: int, seqs: Iterable[int]) -> None:
        written = self._entries.get(name, {}).get(partition, ())
        self._new.update([(name, partition, seq) for seq in seqs if seq not in written])

    def _read_highest(self, name: FlowName, partition: int) -> dict[int, int]:
        highest = self._highest.setdefault(name, {})
        known = [-1] if self.flow(name) is None else [kept_flows.highest_seq(self._db, name, partition)]
        known += self._entries_unwritten.get(name, {}).get(partition, ())
        highest[partition] = max(known)
        return highest

    def with_children(self, rows: Sequence[Row]) -> list[Row]:
        """As `View.with_children`: one look for all, since most rows have none."""
        flows = kept_flows.with_children(self._db, [row.seq for row in rows])
        for flow in flows:
            self._known.setdefault((True, flow.flow_id), flow)
        parents = {flow.flow_id for flow in flows} | {flow_id for children, flow_id in self._before if children}
        return [row for row in rows if row.invocation_id in parents] if parents else []

    def dispatching(self) -> list[Flow]:
        """As `View.dispatching`."""
        return [flow for _, flow in sorted(self._turns.items())] if self._turns else []

    def due(self, until: int, limit: int) -> list[Flow]:
        """As `View.due_flows`."""
        self.write()
        return kept_flows.due_flows(self._db, until, limit)

    def finished(self, before: int, limit: int) -> list[Flow]:
        """As `View.finished_flows`."""
        self.write()
        return kept_flows.finished_flows(self._db, before, limit)

    def next_due(self) -> int | None:
        """The earliest due_at of a flow, ms."""
        return kept_flows.next_due_flow(self._db) if self._backlog.flows else None

    def any_row_of(self, flow_id: str, *, children: bool) -> bool:
        """True if a row here belongs to the flow."""
        return any_row_of(self._db, flow_id, children=children)

    def since(self, time: int) -> dict[str, Flow]:
        """The named flows of `updated_at >= time`, ms, by id."""
        return {flow.flow_id: flow for flow in kept_flows.changed_since(self._db, time)}

    @property
    def backlog(self) -> Backlog:
        """The reconciler's backlog: a running count."""
        return self._backlog

    def changed(self) -> dict[str, Flow | None]:
        """The named flows that the turn has changed, by id; None: removed."""
        return {name[1]: self._known[name] for name in self._before if not name[0]}

    # --- changing ---

    def absorb(self, effect: FlowEffect) -> None:
        """Put or remove a flow, or entries of members."""
        if type(effect) is PutMembers:
            self._put_entries((effect.children, effect.flow_id), effect.partition, effect.seqs, effect.member)
            return
        if isinstance(effect, PutFlow):
            flow = effect.flow
            self._put((flow.children, flow.flow_id), flow)
            return
        name = (effect.children, effect.flow_id)
        match effect:
            case RemoveMembers():
                self._put_entries(name, effect.partition, effect.seqs, None)
            case RemoveFlow():
                self._put(name, None)
                self._remove_entries(name)

    def _put(self, name: FlowName, flow: Flow | None) -> None:
        before = self.flow(name)
        if name not in self._unwritten:
            self._unwritten.add(name)
            self._before.setdefault(name, before)
        self._known[name] = flow
        if flow is not None and (flow.cursors or flow.recheck_left) and kept_flows.has_turn(flow):
            self._turns[name] = flow
        elif self._turns:
            self._turns.pop(name, None)
        if (before is not None and before.due_at is not None) or (flow is not None and flow.due_at is not None):
            self._count(before, flow)

    def _count(self, before: Flow | None, flow: Flow | None) -> None:
        flows, members = self._backlog
        if before is not None and before.due_at is not None:
            flows, members = flows - 1, members - before.pending
        if flow is not None and flow.due_at is not None:
            flows, members = flows + 1, members + flow.pending
        self._backlog = kept_flows.Backlog(flows, members)

    def _put_entries(self, name: FlowName, partition: int, seqs: Sequence[int], member: Member | None) -> None:
        changed = self._entries_unwritten.get(name, {}).get(partition)
        if changed is None:
            changed = self._entries_unwritten.setdefault(name, {}).setdefault(partition, {})
        if len(seqs) == 1:
            changed[seqs[0]] = member
        else:
            changed.update(dict.fromkeys(seqs, member))
        highest = self._highest.get(name)
        if highest is not None and highest.get(partition, MAX_LONG) < seqs[-1]:
            highest[partition] = seqs[-1]

    def _remove_entries(self, name: FlowName) -> None:
        self._note_written(name, self._entries_unwritten.pop(name, {}))
        entries = self._entries.setdefault(name, {})
        for changed in entries.values():
            changed.update(dict.fromkeys(changed))
        for partition, seq in kept_flows.remove_members(self._db, name):
            entries.setdefault(partition, {})[seq] = None

    # --- writing ---

    def write(self) -> None:
        """Write the changes since the last `write` to the store's open transaction."""
        if self._unwritten:
            flows = [(name, self._known[name]) for name in self._unwritten]
            kept_flows.remove_flows(self._db, [name for name, flow in flows if flow is None])
            put = [(name, flow, encode(flow)) for name, flow in flows if flow is not None]
            kept_flows.put_flows(self._db, put)
            self._records.update((name, record) for name, _, record in put)
            self._unwritten.clear()
        if self._entries_unwritten:
            kept_flows.put_members(self._db, self._entries_unwritten)
            for name, entries in self._entries_unwritten.items():
                self._note_written(name, entries)
            self._entries_unwritten.clear()

    def _write_entries_of(self, name: FlowName) -> None:
        entries = self._entries_unwritten.pop(name, None)
        if entries:
            kept_flows.put_members(self._db, {name: entries})
            self._note_written(name, entries)

    def _note_written(self, name: FlowName, entries: EntriesOfFlow) -> None:
        written = self._entries.setdefault(name, {})
        for partition, members in entries.items():
            written.setdefault(partition, {}).update(members)

    def flush(self) -> Changelog:
        """Write everything; returns the turn's changelog of flows and members. Call `forget` before the next turn."""
        if not (self._before or self._entries or self._entries_unwritten):
            return []
        self.write()
        changelog: Changelog = []
        for name, before in self._before.items():
            record = None if self._known[name] is None else self._records[name]
            if record is not None or before is not None:
                changelog.append((flow_key(*name), record))
        new = self._new
        for name, entries in self._entries.items():
            for partition, members in entries.items():
                prefix = f"{member_prefix(*name)}{partition}/"
                last, value = None, None
                for seq, member in members.items():
                    if member is not last:
                        # Most entries of a flow are one and the same object.
                        last, value = member, None if member is None else encode(member)
                    if member is not None or (name, partition, seq) not in new:
                        changelog.append((f"{prefix}{seq}", value))
        return changelog
