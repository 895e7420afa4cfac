"""Field rules: each refusal names the field, the rule and the way out, and changes nothing."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from streams.engine import apply
from streams.model import (
    ENGINE_VERSION,
    Act,
    Action,
    ActMembers,
    CancelFlow,
    CancelPolicy,
    Cause,
    Command,
    ContinueFlow,
    ContinueSlice,
    ControlBatch,
    ControlOperation,
    ControlSlice,
    Filter,
    FlowAction,
    JoinFlow,
    MemberAck,
    MemberAnswer,
    MemberEnded,
    OnTimeout,
    ReleaseHeld,
    ReportTransition,
    SliceOperation,
    SlicePhase,
    SliceReport,
    StartBatch,
    StartSlice,
    Status,
    Tick,
)
from streams.protocol.validation import CommandRefusedError
from support.tables.engine_rows import AT, row_at, table_with
from support.tables.memory_cluster import invoke

LONG_ID = "x" * 257
LONG_TEXT = "x" * 1_001
START_SLICE = StartSlice(
    ENGINE_VERSION, 0, "b", 0, Action.KILL, Filter(match_all=True), False, 0, OnTimeout.KILL, Cause()
)
INTERNAL: list[Command] = [
    START_SLICE,
    ContinueSlice(ENGINE_VERSION, 0, "b", 1, 10, 10),
    ControlSlice(ENGINE_VERSION, 0, "b", SliceOperation.FORGET),
    SliceReport(ENGINE_VERSION, 0, "b", 0, SlicePhase.STARTED, 5, 0),
    ReleaseHeld(ENGINE_VERSION, 0, 1, -1, 10),
    Tick(ENGINE_VERSION, 0, 1, 5, 5, 5, 5, 10),
    JoinFlow(ENGINE_VERSION, 0, "f", False, 0, (1,)),
    MemberEnded(ENGINE_VERSION, 0, "f", False, 0, (1,)),
    MemberAck(ENGINE_VERSION, 0, "f", False, 0, MemberAnswer.KEPT, (1,)),
    ActMembers(
        *(ENGINE_VERSION, 0, "f", False, FlowAction.KILL, CancelPolicy.CANCEL_ALL, 0, OnTimeout.KILL),
        *(Cause(), (1,), 10),
    ),
    ContinueFlow(ENGINE_VERSION, 0, "f", False, 1, 10, 10),
]


@pytest.mark.parametrize(
    ("code", "command"),
    [
        ("invalid_invocation_id", invoke("")),
        ("invalid_invocation_id", invoke(LONG_ID)),
        ("invalid_invocation_id", invoke("a\n")),
        ("invalid_invocation_id", invoke("a\x9f")),
        ("invalid_service", invoke(service="")),
        ("invalid_service", invoke(service="\0")),
        ("invalid_handler", invoke(handler=LONG_ID)),
        ("invalid_deployment_id", invoke(deployment_id="")),
        ("invalid_lease_ms", invoke(lease_ms=0)),
        ("invalid_lease_ms", invoke(lease_ms=-1)),
        ("invalid_lease_ms", invoke(lease_ms=2**62)),
        ("invalid_labels", invoke(labels={LONG_TEXT: "v"})),
        ("invalid_labels", invoke(labels={"k": LONG_TEXT})),
        ("invalid_payload", replace(invoke(), payload=b"x" * (256 * 1024 + 1))),
        ("invalid_scheduled_at", invoke(scheduled_at=5, adopt=True)),
        ("invalid_invocation_id", invoke(object_key="k")),
        ("invalid_flow_id", invoke(flow_id=LONG_ID)),
        ("invalid_parent_id", invoke(parent_id="")),
        ("invalid_invocation_id", ReportTransition("", attempt=1)),
        ("invalid_deployment_id", ReportTransition("a", attempt=1, deployment_id="\t")),
        ("invalid_error", ReportTransition("a", attempt=1, error=LONG_TEXT)),
        ("invalid_retry_at", ReportTransition("a", attempt=1, to=Status.BACKING_OFF)),
        ("invalid_invocation_id", Act(LONG_ID, Action.KILL)),
        ("invalid_grace_ms", Act("a", Action.CANCEL, grace_ms=-1)),
        ("invalid_grace_ms", Act("a", Action.CANCEL, grace_ms=86_400_001)),
        ("invalid_batch_id", Act("a", Action.KILL, cause=Cause(batch_id=""))),
        ("invalid_flow_id", Act("a", Action.KILL, cause=Cause(flow_id=LONG_ID))),
        ("invalid_actor", Act("a", Action.KILL, cause=Cause(actor=LONG_TEXT))),
        ("invalid_reason", Act("a", Action.KILL, cause=Cause(reason=LONG_TEXT))),
        ("invalid_batch_id", StartBatch(LONG_ID, Action.KILL, Filter(match_all=True))),
        ("invalid_batch_id", ControlBatch("", ControlOperation.ABORT)),
        ("invalid_actor", ControlBatch("b", ControlOperation.ABORT, actor=LONG_TEXT)),
        ("invalid_max_rate", ControlBatch("b", ControlOperation.SET_RATE)),
        ("invalid_max_rate", ControlBatch("b", ControlOperation.SET_RATE, max_rate=0.0)),
        ("invalid_max_rate", ControlBatch("b", ControlOperation.SET_RATE, max_rate=float("nan"))),
        ("invalid_max_rate", ControlBatch("b", ControlOperation.SET_RATE, max_rate=float("inf"))),
        ("invalid_max_rate", ControlBatch("b", ControlOperation.PAUSE, max_rate=5.0)),
        ("invalid_flow_id", CancelFlow("\n", FlowAction.KILL, CancelPolicy.CANCEL_ALL)),
        ("invalid_grace_ms", CancelFlow("f", FlowAction.KILL, CancelPolicy.CANCEL_ALL, 86_400_001)),
        ("invalid_max_scanned", ContinueSlice(ENGINE_VERSION, 0, "b", 1, 0, 10)),
        ("invalid_max_matched", ContinueSlice(ENGINE_VERSION, 0, "b", 1, 10, 0)),
        ("invalid_max_rows", Tick(ENGINE_VERSION, 0, 1, 5, 5, 5, 5, 0)),
        ("invalid_max_scanned", ContinueSlice(ENGINE_VERSION, 0, "b", 1, 100_001, 10)),
        ("invalid_max_matched", ContinueSlice(ENGINE_VERSION, 0, "b", 1, 10, 2**63 - 1)),
        ("invalid_max_rows", Tick(ENGINE_VERSION, 0, 1, 5, 5, 5, 5, 100_001)),
        ("invalid_reconcile_labels", Tick(ENGINE_VERSION, 0, 1, 5, 5, 5, 5, 10, {"k": LONG_TEXT})),
        ("invalid_max_rows", ReleaseHeld(ENGINE_VERSION, 0, 1, -1, 0)),
        ("invalid_max_rows", ReleaseHeld(ENGINE_VERSION, 0, 1, -1, 100_001)),
        ("invalid_acted", SliceReport(ENGINE_VERSION, 0, "b", 0, SlicePhase.STARTED, 5, -1)),
        ("invalid_budget", ControlSlice(ENGINE_VERSION, 0, "b", SliceOperation.GRANT, budget=-1)),
        ("invalid_max_rate", ControlSlice(ENGINE_VERSION, 0, "b", SliceOperation.SET_RATE, max_rate=float("nan"))),
        ("invalid_max_rate", ControlSlice(ENGINE_VERSION, 0, "b", SliceOperation.SET_RATE, max_rate=1e-300)),
        ("invalid_max_rate", ControlSlice(ENGINE_VERSION, 0, "b", SliceOperation.SET_RATE, max_rate=1e300)),
        ("invalid_batch_id", replace(START_SLICE, batch_id="")),
        ("invalid_lead", replace(START_SLICE, lead=-1)),
        ("invalid_lead", replace(START_SLICE, lead=1)),
        ("invalid_grace_ms", replace(START_SLICE, grace_ms=-(2**63))),
        ("invalid_grace_ms", replace(START_SLICE, grace_ms=2**63 - 1)),
        ("invalid_reason", replace(START_SLICE, cause=Cause(reason=LONG_TEXT))),
        ("invalid_budget", replace(START_SLICE, budget=-1)),
        ("invalid_max_rate", replace(START_SLICE, max_rate=float("inf"))),
        ("invalid_max_rate", replace(START_SLICE, max_rate=0.0)),
        ("invalid_standing_until", replace(START_SLICE, action=Action.PURGE, standing_until=5)),
        ("invalid_standing_until", replace(START_SLICE, budget=5, standing_until=5)),
    ],
)
def test_a_broken_rule_is_refused_with_the_fields_name(code: str, command: Command) -> None:
    """The dead letter's code and text both name the field."""
    with pytest.raises(CommandRefusedError) as refused:
        apply(command, AT, table_with(row_at(Status.RUNNING)))
    assert refused.value.code == code
    assert refused.value.message.startswith(code.removeprefix("invalid_") + " ")
    assert ": " in refused.value.message


@pytest.mark.parametrize(
    "command",
    [
        invoke("x" * 256),
        invoke("ä" * 256),
        invoke("a b\u00a0c\u200d~d"),
        invoke("~"),
        invoke("mail/k~1", object_key="k"),
        invoke(labels={"x" * 1_000: "y" * 1_000, "": ""}),
        invoke(lease_ms=1),
        replace(invoke(), payload=b"x" * (256 * 1024)),
        ReportTransition("a", attempt=1, error="x" * 1_000),
        Act("a", Action.CANCEL, grace_ms=0),
        Act("a", Action.CANCEL, grace_ms=86_400_000),
        Act("a", Action.CANCEL, cause=Cause(reason="x" * 1_000, actor="")),
        CancelFlow("f" * 256, FlowAction.CANCEL, CancelPolicy.CANCEL_ALL, grace_ms=0),
        CancelFlow("f", FlowAction.CANCEL, CancelPolicy.CANCEL_ALL, grace_ms=86_400_000),
        replace(START_SLICE, filter=Filter(invocation_ids=())),
        replace(START_SLICE, budget=0, max_rate=1e-6),
        replace(START_SLICE, budget=2**63 - 1, max_rate=1e9),
        ContinueSlice(ENGINE_VERSION, 0, "b", 1, 100_000, 100_000),
    ],
)
def test_the_limits_themselves_are_allowed(command: Command) -> None:
    """A rule holds up to its bound, and counts characters."""
    assert apply(command, AT, table_with())


@pytest.mark.parametrize("command", INTERNAL, ids=lambda command: type(command).__name__)
def test_a_newer_engines_record_is_refused(command: Command) -> None:
    """It is never misread, and says the way out."""
    newer = replace(command, engine_version=ENGINE_VERSION + 1)
    with pytest.raises(CommandRefusedError, match="upgrade the workers, then send it again") as refused:
        apply(newer, AT, table_with())
    assert refused.value.code == "newer_engine"


@pytest.mark.parametrize("command", INTERNAL, ids=lambda command: type(command).__name__)
def test_an_internal_record_of_another_partition_is_refused(command: Command) -> None:
    """A forged or misplaced one must not act here."""
    with pytest.raises(CommandRefusedError) as refused:
        apply(replace(command, partition=1), AT, table_with())
    assert refused.value.code == "invalid_partition"


@pytest.mark.parametrize("command", INTERNAL, ids=lambda command: type(command).__name__)
def test_an_internal_record_of_an_older_engine_is_read(command: Command) -> None:
    """A log outlives the worker that wrote it."""
    assert apply(replace(command, engine_version=0), AT, table_with())


def test_a_slices_filter_obeys_the_rules_of_a_batchs() -> None:
    """A forged one must not cost more than any client may ask for."""
    for filter_ in (Filter(), Filter(services=()), Filter(object_keys=("x" * 200,) * 2_000), Filter(flow_ids=("",))):
        with pytest.raises(CommandRefusedError) as refused:
            apply(replace(START_SLICE, filter=filter_), AT, table_with())
        assert refused.value.code == "invalid_filter"
