"""Flows and members made from the changelog, in whatever order compaction leaves their records."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from streams.codec import encode, encode_invocation
from streams.engine.answers import At, PageSizes
from streams.engine.effects import InsertRow, PutFlow, PutMembers, RemoveFlow, RemoveMembers, RemoveRow, UpdateRow
from streams.model import Flow, Invocation, Member, MemberState, Meta, Row, Status
from streams.state.keys import flow_key, flow_named, member_named, member_prefix
from streams.state.store import Store
from streams.state.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

FLOWS = (Flow("a", False, 1, 1, 1, live=1), Flow("a/b", False, 1, 1, 1, live=1), Flow("a", True, 1, 1, 1, live=1))


@pytest.fixture
def store() -> Iterator[Store]:
    """An empty table, open for changes."""
    store = Store.open(Path(":memory:"), 0)
    store.begin()
    yield store
    store.close()


def records(flow: Flow) -> list[tuple[str, bytes | None]]:
    """A flow and its only member, of a seq of its own."""
    name = (flow.children, flow.flow_id)
    return [(flow_key(*name), encode(flow)), (f"{member_prefix(*name)}3/7", encode(Member(labels={"k": flow.flow_id})))]


@pytest.mark.parametrize("order", tuple(permutations(range(4))))
def test_an_entry_may_come_before_its_flow(order: tuple[int, ...], store: Store) -> None:
    """What is left of a log is in any order: each record says all that it means."""
    log = [*records(FLOWS[0]), *records(FLOWS[2])]
    store.apply_changelog([(*log[place], offset) for offset, place in enumerate(order)])
    assert dict(store.dump()) == dict(log)


def test_names_that_hold_slashes_are_not_mixed_up(store: Store) -> None:
    """Flow `a/b`, flow `a` and the children of `a`: each has its own member; one that is removed leaves the others."""
    log = [record for flow in FLOWS for record in records(flow)]
    store.apply_changelog([(*record, offset) for offset, record in enumerate(log)])
    table = Table(store, 0, 4, PageSizes(9, 9))
    for flow in FLOWS:
        assert table.all_members(flow) == [(3, 7, Member(labels={"k": flow.flow_id}))]
    store.apply_changelog([(key, None, offset) for offset, (key, _) in enumerate(records(FLOWS[1]))])
    assert dict(store.dump()) == dict([*records(FLOWS[0]), *records(FLOWS[2])])


@pytest.mark.parametrize("flow_id", ["x", "x/1/2", "/", "n/x", "ü~1"])
@pytest.mark.parametrize("children", [False, True])
def test_a_key_names_what_it_was_made_of(flow_id: str, children: bool) -> None:  # noqa: FBT001
    """Whatever the id looks like."""
    assert flow_named(flow_key(children, flow_id)[2:]) == (children, flow_id)
    assert member_named(f"{member_prefix(children, flow_id)}5/12"[2:]) == ((children, flow_id), 5, 12)


@pytest.mark.parametrize(
    "key",
    [
        *("g/n/x/3", "g/z/x/3/7", "g/n/x/3/seven", "g/n/x/-3/7", "g/n//3/7", "g/"),
        *("g/n/x/03/7", "g/n/x/3/07", f"g/n/x/3/{2**63}"),
    ],
)
def test_a_malformed_entry_is_left_out_and_counted(key: str, store: Store) -> None:
    """It could never be answered for; those beside it are kept."""
    good = records(FLOWS[0])
    store.apply_changelog([(key, encode(Member()), 0), (*good[0], 1), (*good[1], 2)])
    store.apply_changelog([("g/n/x/3/9", encode(Meta()), 3), ("g/n/x/3/9", b"nonsense", 4)])
    assert dict(store.dump()) == dict(good)
    assert store.malformed == {key, "g/n/x/3/9"}
    store.apply_changelog([("g/n/x/3/9", encode(Member()), 5)])
    assert store.malformed == {key}


def test_a_row_that_came_in_this_turn_is_known_to_be_a_parent(store: Store) -> None:
    """Where a turn ends must not decide whether a cancel or a restart finds the flow of its children."""
    store.apply_changelog([(*record, offset) for offset, record in enumerate(records(FLOWS[2]))])
    table = Table(store, 0, 4, PageSizes(9, 9))
    invocation = Invocation("a", "mail", "send")
    parent = Row("a", encode_invocation(invocation), 5, 0, Status.FAILED, 1, -1, 0, 0)
    table.absorb([InsertRow(parent, invocation)], At(0, 5, 0))
    assert table.with_children([parent]) == [parent]
    table.absorb([RemoveRow(5, "a"), InsertRow(replace(parent, seq=6), invocation)], At(0, 6, 0))
    assert table.with_children([replace(parent, seq=6)]) == [replace(parent, seq=6)]


def test_a_look_for_children_writes_nothing_unless_the_row_is_new(store: Store) -> None:
    """A turn of many restarts writes their rows together."""
    table = Table(store, 0, 4, PageSizes(9, 9))
    invocation = Invocation("a", "mail", "send")
    row = Row("a", encode_invocation(invocation), 5, 0, Status.FAILED, 1, -1, 0, 0)
    table.absorb([InsertRow(row, invocation)], At(0, 5, 0))
    table.write()
    table.absorb([UpdateRow(replace(row, attempt=2))], At(0, 6, 0))
    statements: list[str] = []
    store.db.set_trace_callback(statements.append)
    assert table.with_children([row]) == []
    assert len(statements) == 1


def test_strays_are_removed_with_the_first_turn(store: Store) -> None:
    """Malformed entries, and those of flows that have vanished: from the table, and by tombstones; once."""
    good, (_, gone) = records(FLOWS[0]), records(FLOWS[2])
    bad = ("g/n/x/3/seven", encode(Member()))
    store.apply_changelog([(*record, offset) for offset, record in enumerate((*good, gone, bad))])
    store.commit(4, 0)
    table = Table(store, 0, 4, PageSizes(9, 9))

    def turn(number: int) -> list[tuple[str, bytes | None]]:
        table.begin()
        table.set_position(number, 1)
        return [record for record in table.flush() if record[0] != "m/"]

    aborted = turn(1)
    table.rollback()
    assert aborted == turn(1) == [(gone[0], None), (bad[0], None)]
    assert table.strays == len(aborted)
    table.commit(6, 0)
    assert dict(store.dump()).keys() == {key for key, _ in good} | {"m/"}
    assert (turn(2), table.strays, store.malformed) == ([], 0, set())


def test_a_turn_writes_each_flow_and_member_once() -> None:
    """Only what has changed, as it is in the end; what came and went within the turn leaves no trace."""
    store = Store.open(Path(":memory:"), 0)
    table = Table(store, 0, 4, PageSizes(9, 9))
    at, (flow, _, other) = At(0, 1, 1), FLOWS

    def turn(*effects: PutFlow | PutMembers | RemoveMembers | RemoveFlow) -> dict[str, bytes | None]:
        table.begin()
        for effect in effects:
            if isinstance(effect, PutMembers):
                table.members_at(flow, effect.partition, effect.seqs)
            table.absorb([effect], at)
        changelog = [record for record in table.flush() if record[0] != "m/"]
        table.commit(1, 1)
        assert len(dict(changelog)) == len(changelog)
        return dict(changelog)

    asked = Member(MemberState.ASKED, 1)
    joined = PutMembers("a", False, 3, (7, 8, 9), Member())
    gone = RemoveMembers("a", False, 3, (9,))
    written = turn(PutFlow(other), PutFlow(flow), joined, gone, RemoveFlow("a", True))
    assert written == {"f/n/a": encode(flow), "g/n/a/3/7": encode(Member()), "g/n/a/3/8": encode(Member())}
    assert turn(PutMembers("a", False, 3, (8,), asked)) == {"g/n/a/3/8": encode(asked)}
    assert turn(RemoveMembers("a", False, 3, (7,))) == {"g/n/a/3/7": None}
    assert turn() == {}
    again = turn(RemoveFlow("a", False), PutFlow(flow), PutMembers("a", False, 3, (8,), asked), RemoveFlow("a", False))
    assert again == {"f/n/a": None, "g/n/a/3/8": None}
    store.close()
