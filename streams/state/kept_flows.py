"""Flows and their members on disk: their SQL, and the link from a flow of children to the row of their parent."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from streams.codec import decode
from streams.engine.flows import has_page, living
from streams.model import Flow, Member, MemberState
from streams.state.columns import json_list
from streams.state.errors import ChangelogError
from streams.state.keys import member_prefix

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from streams.state.columns import Params

FlowName = tuple[bool, str]
"""Whether the flow is that of an invocation's children, and its id: the order of names is that of flows."""
EntriesOfFlow = dict[int, dict[int, Member | None]]
"""New entries of a flow by the member's partition, then by its seq; None removes one."""
Entries = dict[FlowName, EntriesOfFlow]

_STATES: Final = (
    MemberState.JOINED,
    MemberState.ASKED,
    MemberState.AWAITED,
    MemberState.KEPT,
    MemberState.FAILED,
    MemberState.RESTARTED,
)
_CODES: Final = {state: code for code, state in enumerate(_STATES)}
_JOINED: Final = _CODES[MemberState.JOINED]
"""The code of members that are new."""
_NO_LABELS: Final = "{}"
_encode_labels: Final = msgspec.json.Encoder().encode
_decode_labels: Final = msgspec.json.Decoder(dict[str, str]).decode
_decode_seqs: Final = msgspec.json.Decoder(list[int]).decode

_FEW: Final = 8
"""Fewer members than these are written one by one: to ask whether they are a range takes as long."""
_PUT: Final = """INSERT INTO flows(children, id, turns, pending, due_at, over, changed, parent, record)
    VALUES (?1, ?2, ?3, ?8, NULLIF(?4, ''), NULLIF(?5, ''), CASE WHEN NOT ?1 THEN ?7 END,
        CASE WHEN ?1 THEN (SELECT seq FROM invocations i WHERE i.id = ?2) END, ?6)
    ON CONFLICT DO UPDATE SET turns = excluded.turns, pending = excluded.pending, due_at = excluded.due_at,
        over = excluded.over, changed = excluded.changed, record = excluded.record"""
_PUT_MEMBER: Final = """INSERT OR REPLACE INTO members(children, flow_id, partition, state, round, labels,
    restarted_seq, invocation_id, seq) SELECT ?, ?, ?, ?, ?, ?, ?, NULLIF(?, ''), """
_PUT_ONE: Final = f"{_PUT_MEMBER} ?"
_PUT_ALIKE: Final = f"{_PUT_MEMBER} value FROM json_each(?)"
_REMOVE: Final = """DELETE FROM members WHERE children = ? AND flow_id = ? AND partition = ?
    AND seq IN (SELECT value FROM json_each(?))"""
_REMOVE_ALL: Final = """DELETE FROM members WHERE children = ? AND flow_id = ? AND partition = ?
    AND seq BETWEEN ? AND ?"""
_CHANGE_ALL: Final = """UPDATE members
    SET state = ?, round = ?, labels = ?, restarted_seq = ?, invocation_id = NULLIF(?, '')
    WHERE children = ? AND flow_id = ? AND partition = ? AND seq BETWEEN ? AND ?"""
_THERE: Final = """SELECT json_group_array(seq) FROM (SELECT seq FROM members
    WHERE children = ? AND flow_id = ? AND partition = ? AND seq BETWEEN ? AND ? ORDER BY seq LIMIT ?)"""
_MEMBER: Final = """SELECT seq, state, round, labels, restarted_seq, invocation_id FROM members
    WHERE children = ? AND flow_id = ? AND partition = ? AND"""
_VANISHED: Final = "NOT EXISTS (SELECT 1 FROM flows f WHERE f.children = m.children AND f.id = m.flow_id)"
_SUMMARY: Final = """SELECT min(state), max(state), min(round), max(round), min(labels), max(labels),
    min(restarted_seq), max(restarted_seq), count(invocation_id), json_group_array(seq)"""
"""SQL that tells whether members are equal, which most are, and then all there is to tell of them."""
_SEQ: Final = itemgetter(0)
# Every id sorts after the empty text: the index is entered at its first flow instead of being scanned.
_ANY_ORPHAN: Final = """SELECT 1 FROM flows INDEXED BY flows_orphans
    WHERE children = 1 AND parent IS NULL AND id > '' LIMIT 1"""
_LINK: Final = """UPDATE flows INDEXED BY flows_orphans
    SET parent = (SELECT seq FROM invocations i WHERE i.id = flows.id)
    WHERE children = 1 AND parent IS NULL AND id IN (SELECT value FROM json_each(?))"""


def flow_of(value: bytes) -> Flow:
    """A stored flow."""
    flow = decode(value)
    if not isinstance(flow, Flow):
        raise ChangelogError(f"the record of a flow is a {type(flow).__name__}")
    return flow


def stored_flow(db: sqlite3.Connection, name: FlowName) -> Flow | None:
    """The flow of that name; None if there is none."""
    found = db.execute("SELECT record FROM flows WHERE children = ? AND id = ?", name).fetchone()
    return None if found is None else flow_of(found[0])


def has_turn(flow: Flow) -> bool:
    """True if the flow has a page to do now."""
    return has_page(flow, len(flow.cursors) or 1)


def put_flows(db: sqlite3.Connection, flows: Iterable[tuple[FlowName, Flow, bytes]]) -> None:
    """Write flows: name, flow, changelog value."""
    values: list[Params] = []
    for (children, flow_id), flow, record in flows:
        due_at, over = flow.due_at, "" if living(flow) else flow.updated_at
        turns = 1 if has_turn(flow) else 0
        times = "" if due_at is None else due_at, over
        values.append((int(children), flow_id, turns, *times, bytearray(record), flow.updated_at, flow.pending))
    db.executemany(_PUT, values)


def remove_flows(db: sqlite3.Connection, names: Iterable[FlowName]) -> None:
    """Remove flows; their members stay."""
    db.executemany("DELETE FROM flows WHERE children = ? AND id = ?", names)


def put_members(db: sqlite3.Connection, entries: Entries) -> None:
    """Write entries of members: equal ones of a flow and partition by one statement."""
    ones: list[Params] = []
    alike: list[Params] = []
    for (children, flow_id), by_partition in entries.items():
        for partition, members in by_partition.items():
            place = (int(children), flow_id, partition)
            for columns, seqs in _equal(members):
                if columns is not None and len(seqs) == 1:
                    ones.append((*place, *columns, seqs[0]))
                elif columns is not None and columns[0] == _JOINED:
                    alike.append((*place, *columns, json_list(seqs)))
                else:
                    _put_many(db, place, columns, sorted(seqs))
    db.executemany(_PUT_ONE, ones)
    db.executemany(_PUT_ALIKE, alike)


def _put_many(db: sqlite3.Connection, place: Params, columns: Params | None, seqs: list[int]) -> None:
    """Write the same entry for these seqs, which rise, or remove theirs. Those one after the other are one range."""
    listed = json_list(seqs)
    among = (*place, seqs[0], seqs[-1])
    whole = len(seqs) >= _FEW and db.execute(_THERE, (*among, len(seqs) + 1)).fetchone()[0] == listed
    if columns is None:
        db.execute(*((_REMOVE_ALL, among) if whole else (_REMOVE, (*place, listed))))
    else:
        db.execute(*((_CHANGE_ALL, (*columns, *among)) if whole else (_PUT_ALIKE, (*place, *columns, listed))))


def _equal(members: Mapping[int, Member | None]) -> Iterable[tuple[Params | None, list[int]]]:
    """Seqs by the columns of their entry; None: it is removed."""
    found: dict[Params | None, list[int]] = {}
    last: Member | None = None
    seqs: list[int] | None = None
    for seq, member in members.items():
        if seqs is None or member is not last:
            # Most entries of a flow are one and the same object.
            last, seqs = member, found.setdefault(None if member is None else _columns(member), [])
        seqs.append(seq)
    return found.items()


def _columns(member: Member) -> Params:
    labels = _encode_labels(member.labels).decode() if member.labels else _NO_LABELS
    return _CODES[member.state], member.round, labels, member.restarted_seq, member.invocation_id or ""


def remove_members(db: sqlite3.Connection, name: FlowName) -> list[tuple[int, int]]:
    """Remove all entries of a flow; returns partition and seq of each."""
    gone = "DELETE FROM members WHERE children = ? AND flow_id = ? RETURNING partition, seq"
    return db.execute(gone, name).fetchall()


def vanished(db: sqlite3.Connection) -> list[str]:
    """Keys of the entries whose flow is not there."""
    sql = f"SELECT children, flow_id, partition, seq FROM members m WHERE {_VANISHED}"  # noqa: S608 - our own names
    return [f"{member_prefix(bool(kind), flow)}{partition}/{seq}" for kind, flow, partition, seq in db.execute(sql)]


def remove_vanished(db: sqlite3.Connection) -> None:
    """Remove the entries whose flow is not there."""
    db.execute(f"DELETE FROM members AS m WHERE {_VANISHED}")  # noqa: S608 - our own names


def _members(db: sqlite3.Connection, seqs: str, params: Params) -> list[tuple[int, Member]]:
    """The members of a partition whose seqs a condition tells, in order of seq; equal ones are one object."""
    of_range = f"{_MEMBER} {seqs}"
    *found, ids, seqs = db.execute(f"{_SUMMARY} FROM ({of_range})", params).fetchone()
    lowest, highest = found[::2], found[1::2]
    if lowest != highest or ids:
        return _shared(db.execute(of_range, params).fetchall())
    numbers = _decode_seqs(seqs)
    member = _member((0, *lowest, None))[1] if numbers else None
    return [(seq, member) for seq in numbers] if member is not None else []


def members_after(
    db: sqlite3.Connection, name: FlowName, partition: int, after: int, limit: int
) -> list[tuple[int, Member]]:
    """Members of a flow on a partition with `seq > after`, in order of seq."""
    return _members(db, "seq > ? ORDER BY seq LIMIT ?", (*name, partition, after, limit))


def members_at(db: sqlite3.Connection, name: FlowName, partition: int, seqs: Sequence[int]) -> list[tuple[int, Member]]:
    """Members of a flow on a partition with these seqs, which rise, in order of seq."""
    if len(seqs) == 1:
        return _shared(db.execute(f"{_MEMBER} seq = ?", (*name, partition, seqs[0])).fetchall())
    # Most answers are of members one after the other.
    within = "seq BETWEEN ? AND ? ORDER BY seq LIMIT ?"
    found = _members(db, within, (*name, partition, seqs[0], seqs[-1], len(seqs) + 1))
    if len(found) > len(seqs):
        among = "seq IN (SELECT value FROM json_each(?)) ORDER BY seq"
        return _members(db, among, (*name, partition, json_list(list(seqs))))
    wanted = set(seqs)
    return found if wanted.issuperset(map(_SEQ, found)) else [each for each in found if each[0] in wanted]


def highest_seq(db: sqlite3.Connection, name: FlowName, partition: int) -> int:
    """The highest seq of the flow's members on a partition; -1 if it has none there."""
    sql = "SELECT coalesce(max(seq), -1) FROM members WHERE children = ? AND flow_id = ? AND partition = ?"
    return int(db.execute(sql, (*name, partition)).fetchone()[0])


def all_members(db: sqlite3.Connection, name: FlowName) -> list[tuple[int, int, Member]]:
    """All members of a flow, in order of partition and seq."""
    sql = """SELECT partition, seq, state, round, labels, restarted_seq, invocation_id FROM members
        WHERE children = ? AND flow_id = ? ORDER BY partition, seq"""
    return [(found[0], *_member(found[1:])) for found in db.execute(sql, name).fetchall()]


def entries_of_all(db: sqlite3.Connection) -> Iterator[tuple[FlowName, int, int, Member]]:
    """The members of all flows."""
    sql = """SELECT children, flow_id, partition, seq, state, round, labels, restarted_seq, invocation_id FROM members
        ORDER BY children, flow_id, partition, seq"""
    for children, flow_id, partition, *found in db.execute(sql):
        yield (bool(children), flow_id), partition, *_member(found)


def due_flows(db: sqlite3.Connection, until: int, limit: int) -> list[Flow]:
    """Flows with `due_at <= until`, in order of due_at, then name."""
    sql = "SELECT record FROM flows WHERE due_at <= ? ORDER BY due_at, children, id LIMIT ?"
    return [flow_of(record) for (record,) in db.execute(sql, (until, limit)).fetchall()]


def next_due_flow(db: sqlite3.Connection) -> int | None:
    """The earliest due_at."""
    found = db.execute("SELECT due_at FROM flows WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 1").fetchone()
    return None if found is None else int(found[0])


def finished_flows(db: sqlite3.Connection, before: int, limit: int) -> list[Flow]:
    """Flows without members that have not ended, of `updated_at < before`, in order of that time, then name."""
    sql = "SELECT record FROM flows WHERE over < ? ORDER BY over, children, id LIMIT ?"
    return [flow_of(record) for (record,) in db.execute(sql, (before, limit)).fetchall()]


def changed_since(db: sqlite3.Connection, time: int) -> list[Flow]:
    """Named flows of `updated_at >= time`, ms."""
    sql = "SELECT record FROM flows WHERE changed >= ?"
    return [flow_of(record) for (record,) in db.execute(sql, (time,)).fetchall()]


def with_turns(db: sqlite3.Connection) -> list[Flow]:
    """The flows that have a page to do now."""
    return [flow_of(record) for (record,) in db.execute("SELECT record FROM flows WHERE turns = 1").fetchall()]


class Backlog(NamedTuple):
    """The reconciler's backlog: its flows, and their members that are pending."""

    flows: int
    members: int


def backlog(db: sqlite3.Connection) -> Backlog:
    """The backlog, counted flow by flow."""
    found = db.execute("SELECT count(*), coalesce(sum(pending), 0) FROM flows WHERE due_at IS NOT NULL").fetchone()
    return Backlog(*found)


# --- parents ---


def with_children(db: sqlite3.Connection, seqs: Sequence[int]) -> list[Flow]:
    """The flows of the children of rows with these seqs."""
    sql = "SELECT record FROM flows WHERE parent IN (SELECT value FROM json_each(?))"
    return [flow_of(record) for (record,) in db.execute(sql, (json_list(list(seqs)),)).fetchall()]


def parents_came(db: sqlite3.Connection, ids: Iterable[str]) -> None:
    """Link flows of children to rows just inserted. While all parents are known, this costs one look."""
    if db.execute(_ANY_ORPHAN).fetchone() is not None:
        db.execute(_LINK, (json_list(list(ids)),))


def parents_gone(db: sqlite3.Connection, seqs: str) -> None:
    """Unlink flows of children from rows that are removed; `seqs`: a `json_list`."""
    db.execute("UPDATE flows SET parent = NULL WHERE parent IN (SELECT value FROM json_each(?))", (seqs,))


def _member(columns: Sequence[Any]) -> tuple[int, Member]:
    seq, state, number, labels, restarted_seq, invocation_id = columns
    noted = {} if labels == _NO_LABELS else _decode_labels(labels)
    return seq, Member(_STATES[state], number, noted, invocation_id, restarted_seq)


def _shared(found: Iterable[Sequence[Any]]) -> list[tuple[int, Member]]:
    """The members; equal ones are one object, which makes them cheap to compare."""
    known: dict[Any, Member] = {}
    members: list[tuple[int, Member]] = []
    for columns in found:
        member = known.get(columns[1:])
        if member is None:
            member = known[columns[1:]] = _member(columns)[1]
        members.append((columns[0], member))
    return members
