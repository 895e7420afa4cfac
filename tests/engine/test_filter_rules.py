"""Which filters are refused, and what the others match."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from streams.batch_rules import filter_fault
from streams.engine.filters import Facts, matches
from streams.model import Action, Cause, Ending, Filter, Invocation, Status
from streams.rules import TERMINAL
from support.engine_rows import row_at

CUTOFF = 50


@pytest.mark.parametrize(
    ("field", "filter_"),
    [
        ("match_all", Filter()),
        ("services", Filter(services=())),
        ("invocation_ids", Filter(invocation_ids=(), match_all=True)),
        ("statuses", Filter(statuses=())),
        ("labels", Filter(labels={})),
        ("created_until", Filter(created_from=10, created_until=9)),
        ("modified_until", Filter(modified_from=0, modified_until=-1)),
        ("statuses", Filter(statuses=(Status.RUNNING, Status.COMPLETED))),
        ("statuses", Filter(statuses=(Status.KILLED,))),
        ("handlers", Filter(handlers=("ok", ""))),
        ("object_keys", Filter(object_keys=("\0",))),
        ("deployment_ids", Filter(deployment_ids=("x" * 257,))),
        ("flow_ids", Filter(flow_ids=("",))),
        ("parent_ids", Filter(parent_ids=("",))),
        ("batch_ids", Filter(batch_ids=("",))),
        ("labels", Filter(labels={"k": "v" * 1_001})),
        ("invocation_ids", Filter(invocation_ids=tuple(map(str, range(10_001))))),
    ],
)
@pytest.mark.parametrize("action", [Action.KILL, Action.CANCEL])
def test_a_bad_filter_is_refused_with_the_fields_name(field: str, filter_: Filter, action: Action) -> None:
    """The text begins with the field and ends with a way out."""
    fault = filter_fault(filter_, action)
    assert fault is not None
    assert fault.startswith(f"filter.{field} ")
    assert ": " in fault


def test_a_huge_filter_is_refused() -> None:
    """What is copied to every partition stays below 256 KiB."""
    fault = filter_fault(Filter(services=tuple(f"{number:0256}" for number in range(1_100))), Action.KILL)
    assert fault is not None
    assert "at most 262144" in fault


@pytest.mark.parametrize(
    "filter_",
    [
        Filter(match_all=True),
        Filter(match_all=True, services=("a",)),
        Filter(created_from=9, created_until=9),
        Filter(modified_until=-5),
        Filter(invocation_ids=tuple(map(str, range(10_000)))),
        Filter(statuses=tuple(set(Status) - TERMINAL)),
        Filter(labels={"k": ""}),
    ],
)
def test_a_good_filter_passes(filter_: Filter) -> None:
    """An empty range and a filter beside match_all are fine."""
    assert filter_fault(filter_, Action.KILL) is None


def test_purge_may_name_terminal_statuses() -> None:
    """They are what it is about."""
    assert filter_fault(Filter(statuses=(Status.KILLED,)), Action.PURGE) is None


BASE = Facts(
    row_at(
        Status.CANCELLING,
        "i",
        seq=20,
        created_at=100,
        modified_at=200,
        started_seq=30,
        ending=Ending(Cause(batch_id="b")),
    ),
    Invocation("i", "svc", "hnd", "obj", "dep", "flow", "par", labels={"a": "1", "b": "2"}),
)


@pytest.mark.parametrize(
    ("yes", "no"),
    [
        (Filter(match_all=True), Filter(services=("x",), match_all=True)),
        (Filter(created_from=100), Filter(created_from=101)),
        (Filter(created_until=101), Filter(created_until=100)),
        (Filter(modified_from=200), Filter(modified_from=201)),
        (Filter(modified_until=201), Filter(modified_until=200)),
        (Filter(services=("x", "svc")), Filter(services=("x",))),
        (Filter(handlers=("hnd",)), Filter(handlers=("x",))),
        (Filter(object_keys=("obj",)), Filter(object_keys=("x",))),
        (Filter(deployment_ids=("dep",)), Filter(deployment_ids=("x",))),
        (Filter(statuses=(Status.CANCELLING,)), Filter(statuses=(Status.RUNNING,))),
        (Filter(flow_ids=("flow",)), Filter(flow_ids=("x",))),
        (Filter(parent_ids=("par",)), Filter(parent_ids=("x",))),
        (Filter(invocation_ids=("i",)), Filter(invocation_ids=("x",))),
        (Filter(batch_ids=("b",)), Filter(batch_ids=("x",))),
        (Filter(labels={"a": "1"}), Filter(labels={"a": "2"})),
        (Filter(labels={"a": "1", "b": "2"}), Filter(labels={"a": "1", "c": "2"})),
        (Filter(services=("svc",), handlers=("hnd",)), Filter(services=("svc",), handlers=("x",))),
    ],
)
def test_each_field_matches_its_value_and_no_other(yes: Filter, no: Filter) -> None:
    """Lists are ORed, fields ANDed, from is inclusive, until exclusive."""
    assert matches(yes, Action.KILL, CUTOFF, BASE)
    assert not matches(no, Action.KILL, CUTOFF, BASE)


@pytest.mark.parametrize(
    "filter_",
    [
        Filter(object_keys=("x",)),
        Filter(deployment_ids=("x",)),
        Filter(flow_ids=("x",)),
        Filter(parent_ids=("x",)),
        Filter(batch_ids=("x",)),
        Filter(labels={"x": ""}),
    ],
)
def test_what_a_row_does_not_have_matches_nothing(filter_: Filter) -> None:
    """An absent value is no value, least of all an empty one."""
    bare = Facts(row_at(Status.RUNNING), Invocation("a", "svc", "hnd"))
    assert not matches(filter_, Action.KILL, CUTOFF, bare)


def test_the_pinned_deployment_replaces_the_one_asked_for() -> None:
    """A row that runs on another deployment is found there only."""
    pinned = replace(BASE, row=replace(BASE.row, deployment_id="pin"))
    assert matches(Filter(deployment_ids=("pin",)), Action.KILL, CUTOFF, pinned)
    assert not matches(Filter(deployment_ids=("dep",)), Action.KILL, CUTOFF, pinned)


@pytest.mark.parametrize("status", list(Status))
def test_purge_is_for_what_has_ended_and_all_else_for_what_has_not(status: Status) -> None:
    """No filter says otherwise."""
    facts = replace(BASE, row=replace(BASE.row, status=status))
    everything = Filter(match_all=True)
    assert matches(everything, Action.PURGE, CUTOFF, facts) is (status in TERMINAL)
    for action in set(Action) - {Action.PURGE}:
        assert matches(everything, action, CUTOFF, facts) is (status not in TERMINAL)


@pytest.mark.parametrize(("seq", "expected"), [(49, True), (50, False), (51, False)])
def test_only_what_was_logged_before_the_cut_off_matches(seq: int, expected: bool) -> None:  # noqa: FBT001
    """The cut-off is the offset of the slice's start: nothing else stands there."""
    facts = replace(BASE, row=replace(BASE.row, seq=seq))
    assert matches(Filter(match_all=True), Action.KILL, CUTOFF, facts) is expected


@pytest.mark.parametrize(
    ("filter_", "expected"),
    [
        (Filter(match_all=True), True),
        (Filter(created_from=0), True),
        (Filter(statuses=(Status.CANCELLING,)), False),
        (Filter(modified_from=0), False),
        (Filter(modified_until=999), False),
    ],
)
def test_what_started_behind_the_cut_off_is_new_to_a_filter_on_what_moves(filter_: Filter, expected: bool) -> None:  # noqa: FBT001
    """A filter on statuses or modified time leaves out what was started only since."""
    late = replace(BASE, row=replace(BASE.row, started_seq=CUTOFF + 1))
    assert matches(filter_, Action.KILL, CUTOFF, late) is expected
    assert matches(filter_, Action.KILL, CUTOFF, BASE)
    assert matches(filter_, Action.KILL, CUTOFF, replace(BASE, row=replace(BASE.row, started_seq=None)))
