"""A filter as SQL and the same filter in Python agree on every row."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from streams.codec import encode_invocation
from streams.engine.answers import At, PageQuery, PageSizes
from streams.engine.effects import InsertRow
from streams.engine.filters import Facts, matches
from streams.model import Action, Cause, Ending, Exclusion, Filter, Invocation, Row, Status
from streams.state.conditions import condition_of
from streams.state.lists import know
from streams.state.store import Store
from streams.state.table import Table
from support.effort import examples

if TYPE_CHECKING:
    import sqlite3

    from streams.state.conditions import Condition

PADDING = tuple(f"padding {n}" for n in range(40))
"""Makes a list too long for one parameter a value."""

texts = st.sampled_from(
    ("", "a", "A", "b", "ab", "ü", "a\0", "a\0b", "\x1b", "\x1b@", "\x1f", "k\x1ev", "a%", "_", "'", '"', "\\", "1")
)
names = texts.filter(bool)
"""No command has an empty one."""
times = st.integers(0, 5)
labels = st.dictionaries(texts, texts, max_size=3)
lists = st.builds(
    lambda few, long: tuple(few) + (PADDING if long else ()), st.lists(texts, min_size=1, max_size=3), st.booleans()
)
some_lists = st.lists(texts, min_size=1, max_size=9).map(tuple)
ids = st.integers(0, 12).map("i-{}".format)
many_labels = st.builds(
    lambda few, long: few | ({name: name for name in PADDING} if long else {}),
    labels.filter(bool),
    st.sampled_from((False, False, False, True)),
)
fields: dict[str, st.SearchStrategy[object]] = {
    **{name: st.none() | times for name in ("created_from", "created_until", "modified_from", "modified_until")},
    **dict.fromkeys(
        ("services", "handlers", "object_keys", "deployment_ids", "flow_ids", "parent_ids", "batch_ids"),
        st.sampled_from((False, False, False, False, True)).flatmap(lambda some: lists if some else st.none()),
    ),
    "statuses": st.none() | st.lists(st.sampled_from(Status), min_size=1).map(tuple),
    "labels": st.none() | many_labels,
    "labels_in": st.none() | st.dictionaries(texts, lists | some_lists, min_size=1, max_size=3),
}
none_of_them = dict.fromkeys(fields, st.none())


def few(names: list[str]) -> st.SearchStrategy[Exclusion]:
    """Says something in these fields only: whatever is left out by most fields at once tells nothing of one."""
    return st.builds(Exclusion, **none_of_them | {name: fields[name] for name in names})


exclusions = st.lists(st.sampled_from(sorted(fields)), min_size=1, max_size=2).flatmap(few) | st.builds(
    Exclusion, **fields
)
filters = st.builds(
    Filter,
    **fields,
    invocation_ids=st.none() | st.none() | st.lists(ids, min_size=1).map(tuple),
    match_all=st.booleans(),
    exclude=st.none() | exclusions,
) | st.builds(Filter, match_all=st.just(value=True), exclude=exclusions)
rows = st.lists(
    st.tuples(
        st.builds(
            Invocation,
            invocation_id=st.just(""),
            service=names,
            handler=names,
            object_key=st.none() | names,
            deployment_id=st.none() | names,
            flow_id=st.none() | names,
            parent_id=st.none() | names,
            labels=st.one_of(labels, st.just({name: name for name in PADDING} | {"a": "b"})),
        ),
        st.sampled_from(Status),
        st.tuples(times, times, st.none() | st.integers(0, 12)),
        st.none() | names,
        st.sampled_from((None, Status.PENDING, Status.RUNNING)),
        st.none() | st.builds(Ending, st.builds(Cause, batch_id=st.none() | names)),
    ),
    max_size=8,
)


@settings(max_examples=examples(80), deadline=None)
@given(rows, st.lists(filters, min_size=1, max_size=4), st.sampled_from(Action), st.integers(0, 12), st.booleans())
def test_sql_and_python_always_match_the_same_rows(
    drawn: list[tuple[Invocation, Status, tuple[int, int, int | None], str | None, Status | None, Ending | None]],
    wanted: list[Filter],
    action: Action,
    cutoff: int,
    by_ids: bool,  # noqa: FBT001 - drawn
) -> None:
    """One row at a time in Python, or a page of them in SQL: the same rows match."""
    store = Store.open(Path(":memory:"), 0)
    table = Table(store, 0, 1, PageSizes(9, 9))
    facts = []
    for seq, (shape, status, (created_at, modified_at, started_seq), pinned, paused_from, ending) in enumerate(drawn):
        invocation = Invocation(f"i-{seq}", *(getattr(shape, name) for name in shape.__struct_fields__[1:]))
        row = Row(
            invocation.invocation_id,
            encode_invocation(invocation),
            seq,
            0,
            status,
            1,
            -1,
            created_at,
            modified_at,
            started_seq,
            pinned,
            paused_from=paused_from,
            ending=ending,
            object_key=invocation.object_key,
        )
        facts.append(Facts(row, invocation))
    table.begin()
    table.absorb([InsertRow(fact.row, fact.invocation) for fact in facts], At(0, 9, 9))
    chosen = tuple(fact.row.invocation_id for fact in facts) if by_ids else None
    for filter_ in wanted:
        page = table.select(PageQuery(filter_, action, -1, cutoff, 9, 9, 9, chosen))
        assert page.samples == [fact.row.invocation_id for fact in facts if matches(filter_, action, cutoff, fact)], (
            filter_
        )
    table.rollback()
    store.close()


@pytest.mark.parametrize("count", [1, 4, 5, 32, 33])
@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"ab": "v"}, True),
        ({"x": "y", "ab": "v", "z": ""}, True),
        ({}, False),
        ({"ab": "vv"}, False),
        ({"ab": "w", "b": "v"}, False),
        ({"a": "v"}, False),
        ({"x": "ab", "cab": "v", "abc": "v"}, False),
    ],
)
def test_a_label_is_not_taken_for_another(labels: dict[str, str], expected: bool, count: int) -> None:  # noqa: FBT001
    """However many values are listed for it, and so whichever way its value is found."""
    store = Store.open(Path(":memory:"), 0)
    table = Table(store, 0, 1, PageSizes(9, 9))
    table.begin()
    invocation = Invocation("i", "s", "h", labels=labels)
    row = Row("i", encode_invocation(invocation), 0, 0, Status.RUNNING, 1, -1, 0, 0)
    table.absorb([InsertRow(row, invocation)], At(0, 9, 9))
    table.flush()
    lists = {"ab": (*(f"no {number}" for number in range(count - 1)), "v")}
    assert _count(store.db, condition_of(Filter(labels_in=lists), Action.KILL, 9)) == expected
    left_out = Filter(match_all=True, exclude=Exclusion(labels_in=lists))
    assert _count(store.db, condition_of(left_out, Action.KILL, 9)) != expected
    table.rollback()
    store.close()


@pytest.mark.parametrize("said", [Filter, Exclusion])
def test_labels_are_not_parsed_for_every_row(said: type[Filter | Exclusion]) -> None:
    """Each label of a filter is a parameter of its own, however many there are."""
    wanted = said(labels={f"key {n}": "value" for n in range(1_500)})
    filter_ = wanted if isinstance(wanted, Filter) else Filter(match_all=True, exclude=wanted)
    condition = condition_of(filter_, Action.KILL, 9)
    assert "json_each" not in condition.sql
    assert len(condition.params) == 1_500
    store = Store.open(Path(":memory:"), 0)
    assert _count(store.db, condition) == 0
    store.close()


LONG = tuple(f"value {n}" for n in range(3_000))


@pytest.mark.parametrize(
    ("name", "short", "long"),
    [
        ("services", ("x",), LONG),
        ("handlers", ("x",), LONG),
        ("object_keys", ("x",), LONG),
        ("deployment_ids", ("x",), LONG),
        ("flow_ids", ("x",), LONG),
        ("parent_ids", ("x",), LONG),
        ("batch_ids", ("x",), LONG),
        ("labels_in", {"tenant": ("x",)}, {"tenant": LONG}),
    ],
)
@pytest.mark.parametrize("left_out", [False, True])
def test_what_a_row_costs_does_not_grow_with_a_list(name: str, short: object, long: object, left_out: bool) -> None:  # noqa: FBT001
    """SQLite does about as much for 2,000 rows whether a list has one value or 3,000."""
    store = Store.open(Path(":memory:"), 0)
    table = Table(store, 0, 1, PageSizes(9, 9))
    table.begin()
    rows = []
    for seq in range(2_000):
        labels = {"region": "eu", "tenant": f"t{seq}"}
        invocation = Invocation(f"i-{seq}", "s", "h", "k", "d", "f", "p", labels=labels)
        ending = Ending(Cause(batch_id="b"))
        row = Row(invocation.invocation_id, encode_invocation(invocation), seq, 0, Status.RUNNING, 1, -1, 0, 0)
        rows.append(InsertRow(replace(row, object_key="k", ending=ending), invocation))
    table.absorb(rows, At(0, 9, 9))
    table.flush()
    steps = []
    for values in (short, long):
        said: dict[str, Any] = {name: values}
        filter_ = Filter(match_all=True, exclude=Exclusion(**said)) if left_out else Filter(**said)
        steps.append(_steps(store.db, condition_of(filter_, Action.KILL, 5_000)))
    assert steps[1] < steps[0] + len(LONG)
    table.rollback()
    store.close()


def _count(db: sqlite3.Connection, condition: Condition) -> int:
    know(condition.lists)
    sql = f"SELECT count(*) FROM rows r WHERE {condition.sql}"  # noqa: S608 - made by the code under test
    return int(db.execute(sql, condition.params).fetchone()[0])


def _steps(db: sqlite3.Connection, condition: Condition) -> int:
    """Hundreds of instructions that SQLite's virtual machine runs."""
    hundreds = 0

    def count() -> int:
        nonlocal hundreds
        hundreds += 1
        return 0

    know(condition.lists)
    db.set_progress_handler(count, 100)
    _count(db, condition)
    db.set_progress_handler(None, 0)
    return hundreds
