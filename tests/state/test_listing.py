"""Lists, counts and single rows from a second connection say what the table says."""

from __future__ import annotations

import tempfile
import threading
from collections import Counter
from contextlib import closing
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from state.test_filters_in_sql import filters

from streams.codec import decode, encode_invocation
from streams.engine.answers import At, PageSizes
from streams.engine.effects import InsertRow, PutDelta, PutFlow, PutMembers, PutSlice, RemoveRow, UpdateRow
from streams.engine.filters import Facts, saying
from streams.listing.views import view_of
from streams.model import (
    Action,
    CancelPolicy,
    Cause,
    Change,
    Ending,
    Filter,
    Flow,
    FlowAction,
    Invocation,
    InvocationRow,
    Member,
    MemberState,
    OnTimeout,
    PageDelta,
    Payload,
    Row,
    Slice,
    SliceState,
    Status,
)
from streams.state import candidates as by_index
from streams.state.listing import Listing, ListingClosedError
from streams.state.store import Store
from streams.state.table import Table
from support.effort import examples
from support.tables.state_twin import BATCH_IDS, Twin
from support.tables.twin_histories import History, histories

if TYPE_CHECKING:
    from collections.abc import Iterator

ALL = Filter(match_all=True)


def walked(listing: Listing, filter_: Filter, limit: int) -> list[Row]:
    """All rows of a list, page by page."""
    rows: list[Row] = []
    below, done = None, False
    while not done:
        page = listing.page(filter_, below, limit, 0.0)
        assert len(page.rows) <= limit
        assert all(row.seq >= page.reached for row in page.rows)
        rows += page.rows
        below, done = page.reached, page.done
    return rows


@settings(max_examples=examples(40), deadline=None)
@given(histories, st.integers(1, 4))
def test_a_view_is_always_the_row_of_the_changelogs_table(history: History, limit: int) -> None:
    """Pages' changes, payloads and endings included, after any history of turns committed and rolled back."""
    with tempfile.TemporaryDirectory() as folder, closing(Store.open(Path(":memory:"), 0)) as restored:
        twin = Twin(Path(folder) / "p.sqlite3")
        listing = Listing(twin.store.path)
        twin.run(history)
        restored.begin()
        restored.apply_changelog([(key, value, at) for at, (key, value) in enumerate(twin.changelog)])
        table = dict(restored.dump())
        wanted = {key[2:]: decode(value) for key, value in table.items() if key.startswith("i/")}
        found = walked(listing, ALL, limit)
        assert [row.seq for row in found] == sorted((row.seq for row in found), reverse=True)
        assert {row.invocation_id for row in found} == wanted.keys()
        for row in found:
            (one,) = listing.one(row.invocation_id, payload=True)
            assert one.row == row
            view = view_of(3, one.row, one.invocation, payload=one.payload)
            record, payload = wanted[row.invocation_id], table.get(f"p/{row.invocation_id}")
            assert isinstance(record, InvocationRow)
            assert (payload is None and view.payload is None) or decode(payload) == Payload(view.payload or b"")
            requested, pinned = record.invocation.deployment_id, record.deployment_id
            for name in record.invocation.__struct_fields__:
                assert name == "deployment_id" or getattr(view, name) == getattr(record.invocation, name)
            for name in set(record.__struct_fields__) - {"invocation", "deployment_id"}:
                assert getattr(view, name) == getattr(record, name)
            assert (view.deployment_id, view.requested_deployment_id) == (pinned or requested, requested)
        for name in BATCH_IDS:
            of_batch = [row for row in found if row.ending and row.ending.cause.batch_id == name]
            assert walked(listing, Filter(batch_ids=(name,)), limit) == of_batch
        numbers = listing.counts(ALL, None, 9) or {}
        assert numbers.get(None, {}) == Counter(row.status for row in found)
        listing.close()
        twin.store.close()


@settings(max_examples=examples(40), deadline=None)
@given(st.integers(0, 2**32), st.lists(filters, min_size=1, max_size=4), st.integers(1, 4), st.booleans())
def test_lists_and_counts_always_match_what_the_filter_says(
    seed: int,
    wanted: list[Filter],
    limit: int,
    scan: bool,  # noqa: FBT001 - drawn
) -> None:
    """Rows of any status, whichever way they are found; a deployment is the pinned one, else the requested one."""
    facts = drawn(seed)
    with tempfile.TemporaryDirectory() as folder, closing(Store.open(Path(folder) / "p", 0)) as store:
        table = Table(store, 0, 1, PageSizes(9, 9))
        table.begin()
        table.absorb([InsertRow(fact.row, fact.invocation) for fact in facts], At(0, 9, 9))
        table.flush()
        table.commit(1, 1)
        with pytest.MonkeyPatch.context() as patch, closing(Listing(store.path)) as listing:
            if scan:
                patch.setattr(by_index, "_MOST_DELTA_BYTES", -1)
            for filter_ in [*wanted, ALL]:
                says = saying(filter_)
                expected = [fact for fact in reversed(facts) if says(fact)]
                assert [row.seq for row in walked(listing, filter_, limit)] == [fact.row.seq for fact in expected]
                for group, value_of in (
                    (None, lambda _: None),
                    ("service", lambda fact: fact.invocation.service),
                    ("handler", lambda fact: fact.invocation.handler),
                    ("deployment_id", lambda fact: fact.deployment_id),
                ):
                    counts = listing.counts(filter_, group, 9)
                    assert counts is not None
                    found = Counter({(v, s): n for v, of_it in counts.items() for s, n in of_it.items()})
                    assert found == Counter((value_of(fact), fact.row.status) for fact in expected)


def drawn(seed: int) -> list[Facts]:
    """Rows of a partition, in order of seq, and so of created_at."""
    random = Random(seed)
    texts = ("a", "A", "b", "ü", "k\x1ev", "1")
    created_at, seq, facts = 0, 0, []
    for _ in range(random.randrange(12)):
        created_at, seq = created_at + random.randrange(3), seq + random.choice((1, 2, 5_000))
        labels = {random.choice(texts): random.choice(texts) for _ in range(random.randrange(3))}
        key, deployment_id, flow_id, parent_id = random.choices((None, *texts), k=4)
        name, service, handler = f"i-{seq % 13}-{seq}", random.choice(texts), random.choice(texts)
        invocation = Invocation(name, service, handler, key, deployment_id, flow_id, parent_id, labels=labels)
        pinned, batch_id = random.choices((None, *texts), k=2)
        ending = random.choice((None, Ending(Cause(batch_id=batch_id))))
        row = Row(
            invocation.invocation_id, encode_invocation(invocation), seq, 0, random.choice(list(Status)), 1, -1,
            created_at, created_at + random.randrange(3), deployment_id=pinned, ending=ending,
            object_key=invocation.object_key, flow_id=invocation.flow_id, parent_id=invocation.parent_id,
        )  # fmt: skip
        facts.append(Facts(row, invocation))
    return facts


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Table]:
    """A table in a file, with a thousand rows: RUNNING, ten to a millisecond of created_at."""
    with closing(Store.open(tmp_path / "p.sqlite3", 0)) as store:
        made = Table(store, 0, 1, PageSizes(9, 9))
        turn(made, *(insert(seq) for seq in range(1_000)))
        yield made


def insert(seq: int, **fields: object) -> InsertRow:
    """A new row."""
    invocation = Invocation(f"i-{seq}", "mail", "send", "k" if fields else None)
    row = Row(invocation.invocation_id, encode_invocation(invocation), seq, 0, Status.RUNNING, 1, -1, seq // 10, 0)
    return InsertRow(replace(row, object_key=invocation.object_key, **fields), invocation, b"payload")


def turn(table: Table, *effects: object) -> None:
    """A turn of these effects, committed."""
    table.begin()
    for offset, effect in enumerate(effects, table.meta.next_offset):
        table.absorb([effect], At(0, offset, 0))  # type: ignore[list-item]
    table.set_position(table.meta.next_offset + len(effects), 0)
    table.flush()
    table.commit(1, 1)


def test_rows_that_stand_throughout_are_listed_once(table: Table) -> None:
    """However many others of the same created_at end, are purged and arrive between two pages."""
    seen: list[int] = []
    with closing(Listing(table._store.path)) as listing:
        below, done, number = None, False, 0
        while not done:
            page = listing.page(Filter(statuses=(Status.RUNNING,)), below, 7, 0.0)
            seen += [row.seq for row in page.rows]
            below, done, number = page.reached, page.done, number + 1
            gone = RemoveRow(number * 3, f"i-{number * 3}")
            ended = UpdateRow(replace(insert(999 - number * 4).row, status=Status.COMPLETED))
            turn(table, insert(2_000 + number), gone, ended)
    assert seen == sorted(set(seen), reverse=True)
    stood = {seq for seq in range(1_000) if seq % 3 and (999 - seq) % 4}
    assert stood <= set(seen)


def test_nothing_is_read_of_a_turn_that_is_not_committed(table: Table) -> None:
    """A turn that may still be rolled back is seen by nobody."""
    with closing(Listing(table._store.path)) as listing:
        table.begin()
        table.absorb([insert(5_000)], At(0, 5_000, 0))
        table.flush()
        assert [row.seq for row in listing.page(ALL, None, 1, 1.0).rows] == [999]
        assert listing.one("i-5000", payload=False) == ()
        table.commit(1, 1)
        assert [row.seq for row in listing.page(ALL, None, 1, 1.0).rows] == [5_000]
        assert listing.one("i-5000", payload=True)[0].payload == b"payload"


def test_a_list_by_ids_flows_or_batches_looks_at_few_rows(table: Table) -> None:
    """Ended by a page or row by row: the rows of a batch are found by indexes, not among all of them."""
    delta = PageDelta(1, Ending(Cause("b")), (Change(Status.KILLED, seqs=(3, 5, 9)),))
    row = replace(insert(500).row, status=Status.CANCELLED, ending=Ending(Cause("b")))
    turn(table, PutDelta(delta, {Status.RUNNING: 3}), UpdateRow(row))
    turn(table, UpdateRow(replace(insert(8).row, status=Status.FAILED, ending=Ending(Cause("other")))))
    with closing(Listing(table._store.path)) as listing, listing.reading() as db:
        found = by_index.candidates(db, Filter(batch_ids=("b",)), 2_000)
        assert list(found or ()) == [500, 17, 8, 3]
        found = by_index.candidates(db, Filter(invocation_ids=("i-7", "i-9", "i-x")), 9)
        assert list(found or ()) == [7]
        assert by_index.candidates(db, Filter(services=("mail",)), 9) is None
    with closing(Listing(table._store.path)) as listing:
        assert [row.seq for row in walked(listing, Filter(batch_ids=("b",)), 2)] == [500, 17, 3]


def test_a_page_ends_in_time_with_what_it_has(table: Table) -> None:
    """A page without time looks at one stretch, at none for statuses that no row has; the next goes on from there."""
    with closing(Listing(table._store.path)) as listing:
        turn(table, insert(50_000))
        page = listing.page(Filter(invocation_ids=("i-4",)), None, 5, 0.0)
        assert [row.seq for row in page.rows] == [4]
        page = listing.page(Filter(labels={"a": "b"}), None, 5, 0.0)
        assert (page.rows, page.done, page.next_at) == ([], False, 99)
        assert listing.counts(Filter(labels={"a": "b"}), None, 0.0) is None
        assert listing.page(nobodys := Filter(statuses=(Status.FAILED,)), None, 5, 0.0).done
        assert listing.counts(nobodys, "service", 0.0) == {}
        assert walked(listing, Filter(labels={"a": "b"}), 5) == []


def test_a_query_rests_after_each_stretch_as_long_as_it_is_told(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the worker's loop has its share of the processors; the last stretch is followed by nothing."""
    rests: list[float] = []
    monkeypatch.setattr("streams.state.listing.time.sleep", rests.append)
    monkeypatch.setattr("streams.state.listing._FIRST_WIDTH", 10)
    monkeypatch.setattr("streams.state.listing._MOST_WIDTH", 100)
    with closing(Listing(table._store.path, lambda: 2.0)) as listing:
        assert listing.counts(Filter(services=("mail",)), None, 9) == {None: {Status.RUNNING: 1_000}}
        busy, rests[:] = len(rests), []
        listing.rest = lambda: 0.0
        listing.counts(Filter(services=("mail",)), None, 9)
    assert busy >= 9
    assert not rests


def test_times_of_creation_are_found_by_halving(table: Table) -> None:
    """A list of an hour long ago does not begin with all that came since."""
    with closing(Listing(table._store.path)) as listing:
        page = listing.page(Filter(created_from=3, created_until=5), None, 500, 0.0)
        assert [row.seq for row in page.rows] == list(range(49, 29, -1))
        assert page.done
        assert walked(listing, Filter(created_from=100), 5) == []


def test_what_holds_a_row_is_named(table: Table) -> None:
    """The started one of its object; the batch that is about to end it; nothing, once that is over."""
    pending = insert(2_000, status=Status.PENDING)
    turn(table, insert(1_999, status=Status.RUNNING), pending, insert(2_001, status=Status.SCHEDULED, held=True))
    with closing(Listing(table._store.path)) as listing:
        assert listing.one("i-2000", payload=False)[0].held_by == ("invocation_id", "i-1999")
        assert listing.one("i-1999", payload=False)[0].held_by is None
        assert listing.one("i-2001", payload=False)[0].held_by is None
        table.begin()
        table._batches.absorb(put_slice())
        table.flush()
        table.commit(1, 1)
        assert listing.one("i-2001", payload=False)[0].held_by == ("batch_id", "b")


def test_a_cancelled_flow_that_holds_a_row_is_named(table: Table) -> None:
    """A named one, or that of its parent's children; not one that the row joined again after its cancel."""
    groups = [("f", None), (None, "i-7"), ("g", None)]
    rows = [insert(3_000 + number, status=Status.SCHEDULED, held=True) for number in range(3)]
    made = []
    for effect, (flow_id, parent_id) in zip(rows, groups, strict=True):
        invocation = replace(effect.invocation, flow_id=flow_id, parent_id=parent_id)
        encoded = encode_invocation(invocation)
        row = replace(effect.row, encoded=encoded, flow_id=flow_id, parent_id=parent_id)
        made.append(InsertRow(row, invocation))
    cancel: dict[str, Any] = {"action": FlowAction.KILL, "policy": CancelPolicy.CANCEL_ALL, "round": 1}
    flows = [Flow(name, children, 1, 1, 1, **cancel) for name, children in (("f", False), ("i-7", True))]
    again = Flow("g", False, 1, 1, 1, kept=1, restarted=1, **cancel)
    joined = PutMembers("g", False, 0, (3_002,), Member(MemberState.RESTARTED, 1))
    turn(table, *made, *map(PutFlow, [*flows, again]), joined)
    with closing(Listing(table._store.path)) as listing:
        held_by = [listing.one(f"i-{3_000 + number}", payload=False)[0].held_by for number in range(3)]
        assert held_by == [("flow_id", "f"), ("parent_id", "i-7"), None]
        children = listing.one("i-7", payload=False)[0].children
        assert children is not None
        assert (children.flow_id, children.policy) == ("i-7", CancelPolicy.CANCEL_ALL)


def put_slice() -> PutSlice:
    """A running KILL of everything, which has not begun."""
    zeros = (0,) * 7
    slice_ = Slice(
        "b", 0, Action.KILL, ALL, False, 0, OnTimeout.KILL, Cause(), SliceState.RUNNING, 9_000, -1, *zeros, (), (),
        1, 1, 1,
    )  # fmt: skip
    return PutSlice(slice_)


def test_a_closed_listing_answers_nothing_and_holds_up_nobody(table: Table) -> None:
    """Closing ends a query under way; the write-ahead file starts over once no query reads."""
    listing = Listing(table._store.path)
    reads, goes_on = threading.Event(), threading.Event()
    outcome: list[type[Exception] | None] = []

    def ask() -> None:
        try:
            with listing.reading() as db:
                reads.set()
                goes_on.wait(10)
                db.execute("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n")
        except ListingClosedError as error:
            outcome.append(type(error))

    asker = threading.Thread(target=ask)
    asker.start()
    reads.wait(10)
    goes_on.set()
    listing.close()
    asker.join(10)
    assert outcome == [ListingClosedError]
    with pytest.raises(ListingClosedError):
        listing.page(ALL, None, 1, 1.0)
    table._store.wal_checkpoint(truncate=True)
    assert Path(f"{table._store.path}-wal").stat().st_size == 0
