"""Which filters are refused, and what the others match."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from streams.engine.filters import Facts, matches
from streams.model import ON_ENDED, TERMINAL, Action, Cause, Ending, Exclusion, Filter, Invocation, Status
from streams.protocol.batch_validation import filter_fault
from support.tables.engine_rows import row_at

CUTOFF = 50


def without(**fields: Any) -> Filter:
    """Everything but what these fields name."""
    return Filter(match_all=True, exclude=Exclusion(**fields))


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
        ("labels_in", Filter(labels_in={})),
        ("labels_in", Filter(labels_in={"a": ("1",), "b": ()})),
        ("labels_in", Filter(labels_in={"k": ("v", "v" * 1_001)})),
        ("labels_in", Filter(labels_in={"k" * 1_001: ("v",)})),
        ("labels_in", Filter(labels={f"a{n}": "" for n in range(40)}, labels_in={f"b{n}": ("",) for n in range(25)})),
        ("match_all", Filter(exclude=Exclusion(services=("a",)))),
        ("match_all", Filter(exclude=Exclusion())),
        ("exclude", without()),
        ("exclude.services", without(services=())),
        ("exclude.labels", without(labels={})),
        ("exclude.labels_in", without(labels_in={})),
        ("exclude.labels_in", without(labels_in={"a": ("1",), "b": ()})),
        ("exclude.labels", without(labels={"k": "v" * 1_001})),
        ("exclude.labels", without(labels={f"a{n}": "" for n in range(65)})),
        ("exclude.labels_in", without(labels_in={"k": ("v" * 1_001,)})),
        (
            "exclude.labels_in",
            without(labels={f"a{n}": "" for n in range(40)}, labels_in={f"b{n}": ("",) for n in range(25)}),
        ),
        ("exclude.created_until", without(created_from=10, created_until=9)),
        ("exclude.modified_until", without(modified_from=0, modified_until=-1)),
        ("exclude.handlers", without(handlers=("ok", ""))),
        ("exclude.object_keys", without(object_keys=("\0",))),
        ("exclude.deployment_ids", without(deployment_ids=("x" * 257,))),
        ("exclude.flow_ids", without(flow_ids=("",))),
        ("exclude.parent_ids", without(parent_ids=("",))),
        ("exclude.batch_ids", without(batch_ids=("",))),
        ("exclude.statuses", without(statuses=(Status.COMPLETED,))),
        ("exclude.statuses", without(statuses=tuple(set(Status) - TERMINAL))),
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
        Filter(labels_in={"k": ("",)}),
        Filter(services=("a",), exclude=Exclusion(services=("a",))),
        without(created_from=9, created_until=9),
        without(labels={"k": "v"}, labels_in={"k": ("w", "x")}),
        without(statuses=(Status.PENDING,)),
    ],
)
def test_a_good_filter_passes(filter_: Filter) -> None:
    """An empty range and a filter beside match_all are fine."""
    assert filter_fault(filter_, Action.KILL) is None


LIVE = set(Status) - TERMINAL
IDLE = {
    Action.KILL: set(),
    Action.CANCEL: {Status.CANCELLING},
    Action.PAUSE: {Status.PAUSED, Status.CANCELLING},
    Action.RESUME: LIVE - {Status.PAUSED},
    **dict.fromkeys(ON_ENDED, frozenset()),
}
"""Live statuses in which an action does nothing."""


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("status", list(Status))
def test_a_status_that_an_action_does_nothing_about_is_refused(action: Action, status: Status) -> None:
    """A terminal one is for PURGE and RESTART alone, RESUME is for PAUSED; what is cancelled or paused stays so."""
    useless = (status in TERMINAL) != (action in ON_ENDED) or status in IDLE[action]
    fault = filter_fault(Filter(statuses=(status,)), action)
    assert (fault is not None) is useless
    if fault is not None:
        assert fault.startswith("filter.statuses ")
        assert status in fault
        assert action in fault


@pytest.mark.parametrize("action", [Action.PAUSE, Action.CANCEL])
def test_a_useless_status_beside_another_is_not_refused(action: Action) -> None:
    """What is skipped may be named together with what is not."""
    assert filter_fault(Filter(statuses=(Status.PAUSED, Status.CANCELLING, Status.READY)), action) is None


@pytest.mark.parametrize(
    ("action", "filter_", "field"),
    [
        (Action.RESUME, Filter(statuses=(Status.PAUSED, Status.READY)), "statuses"),
        (Action.RESUME, without(statuses=(Status.PAUSED,)), "exclude.statuses"),
        (Action.RESUME, without(statuses=(Status.READY,)), "exclude.statuses"),
        (Action.PAUSE, without(statuses=tuple(LIVE - {Status.PAUSED})), "exclude.statuses"),
        (Action.CANCEL, without(statuses=tuple(LIVE - {Status.CANCELLING})), "exclude.statuses"),
        (Action.PURGE, without(statuses=(Status.READY,)), "exclude.statuses"),
        (Action.PURGE, without(statuses=tuple(TERMINAL)), "exclude.statuses"),
        (
            Action.KILL,
            Filter(statuses=(Status.READY,), exclude=Exclusion(statuses=(Status.READY,))),
            "exclude.statuses",
        ),
        (Action.KILL, without(statuses=tuple(LIVE - {Status.PAUSED})), None),
        (Action.CANCEL, without(statuses=(Status.CANCELLING,)), None),
        (Action.PURGE, without(statuses=(Status.FAILED,)), None),
    ],
)
def test_statuses_are_left_out_as_they_are_asked_for(action: Action, filter_: Filter, field: str | None) -> None:
    """Those that are never found are refused, and so is what leaves none in which there is anything to do."""
    fault = filter_fault(filter_, action)
    if field is None:
        assert fault is None
    else:
        assert fault is not None
        assert fault.startswith(f"filter.{field} ")
        assert action in fault


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
        (Filter(labels_in={"a": ("0", "1")}), Filter(labels_in={"a": ("0", "2")})),
        (Filter(labels_in={"a": ("1",), "b": ("1", "2")}), Filter(labels_in={"a": ("1",), "b": ("1",)})),
        (without(services=("x",)), without(services=("x", "svc"))),
        (without(handlers=("x",)), without(handlers=("hnd",))),
        (without(object_keys=("x",)), without(object_keys=("obj",))),
        (without(deployment_ids=("x",)), without(deployment_ids=("dep",))),
        (without(statuses=(Status.RUNNING,)), without(statuses=(Status.CANCELLING,))),
        (without(flow_ids=("x",)), without(flow_ids=("flow",))),
        (without(parent_ids=("x",)), without(parent_ids=("par",))),
        (without(batch_ids=("x",)), without(batch_ids=("b",))),
        (without(labels={"a": "2", "c": "1"}), without(labels={"a": "2", "b": "2"})),
        (without(labels_in={"a": ("2", "3"), "c": ("1",)}), without(labels_in={"a": ("2", "3"), "b": ("1", "2")})),
        (without(services=("x",), labels={"a": "2"}), without(services=("x",), labels={"a": "1"})),
        (without(created_from=101), without(created_from=100)),
        (without(created_until=100), without(created_until=101)),
        (without(created_from=101, created_until=110), without(created_from=100, created_until=101)),
        (without(created_from=90, created_until=100), without(created_from=90, created_until=110)),
        (without(modified_from=201, modified_until=210), without(modified_from=200, modified_until=201)),
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
        Filter(labels_in={"x": ("", "y")}),
    ],
)
def test_what_a_row_does_not_have_matches_nothing(filter_: Filter) -> None:
    """An absent value is not a value, least of all an empty one; and a row without it is not left out by it."""
    bare = Facts(row_at(Status.RUNNING), Invocation("a", "svc", "hnd"))
    assert not matches(filter_, Action.KILL, CUTOFF, bare)
    said = {name: value for name in Exclusion.__struct_fields__ if (value := getattr(filter_, name)) is not None}
    assert matches(without(**said), Action.KILL, CUTOFF, bare)


def test_the_pinned_deployment_replaces_the_one_asked_for() -> None:
    """A row that runs on another deployment is found there only."""
    pinned = replace(BASE, row=replace(BASE.row, deployment_id="pin"))
    assert matches(Filter(deployment_ids=("pin",)), Action.KILL, CUTOFF, pinned)
    assert not matches(Filter(deployment_ids=("dep",)), Action.KILL, CUTOFF, pinned)


@pytest.mark.parametrize("status", list(Status))
def test_purge_and_restart_are_for_what_has_ended_and_all_else_for_what_has_not(status: Status) -> None:
    """No filter says otherwise."""
    facts = replace(BASE, row=replace(BASE.row, status=status))
    everything = Filter(match_all=True)
    for action in Action:
        assert matches(everything, action, CUTOFF, facts) is ((status in TERMINAL) == (action in ON_ENDED))


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
        (without(created_from=999), True),
        (without(statuses=(Status.RUNNING,)), False),
        (without(modified_from=999), False),
        (without(modified_until=0), False),
    ],
)
def test_what_started_behind_the_cut_off_is_new_to_a_filter_on_what_moves(filter_: Filter, expected: bool) -> None:  # noqa: FBT001
    """A filter on statuses or modified time leaves out what was started only since."""
    late = replace(BASE, row=replace(BASE.row, started_seq=CUTOFF + 1))
    assert matches(filter_, Action.KILL, CUTOFF, late) is expected
    assert matches(filter_, Action.KILL, CUTOFF, BASE)
    assert matches(filter_, Action.KILL, CUTOFF, replace(BASE, row=replace(BASE.row, started_seq=None)))
