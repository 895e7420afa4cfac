"""What a batch must not do: run twice, run under a taken id, or run at all when it breaks a rule."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import fastavro
import pytest
from msgspec.structs import replace

from streams import codec
from streams.config import Topic
from streams.model import (
    Action,
    BatchState,
    CancelFlow,
    CancelPolicy,
    ControlBatch,
    ControlOperation,
    Exclusion,
    Filter,
    FlowAction,
    Invocation,
    Invoke,
    SignalKind,
    StartBatch,
    StartSlice,
    Status,
)
from support.service import oracle
from support.service.programs import ROOT
from support.service.workload import invocations, invoke, kill

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.service.harness import Service

pytestmark = pytest.mark.broker

SOME = Filter(services=("billing",))

REFUSED: dict[str, tuple[StartBatch, str]] = {
    "empty filter": (StartBatch("r", Action.KILL, Filter()), "match_all"),
    "empty services": (StartBatch("r", Action.KILL, Filter(services=())), "filter.services"),
    "empty statuses": (StartBatch("r", Action.KILL, Filter(statuses=())), "filter.statuses"),
    "empty ids": (StartBatch("r", Action.KILL, Filter(invocation_ids=())), "filter.invocation_ids"),
    "empty labels": (StartBatch("r", Action.KILL, Filter(labels={})), "filter.labels"),
    "empty labels_in": (StartBatch("r", Action.KILL, Filter(labels_in={})), "filter.labels_in"),
    "no value of a label": (StartBatch("r", Action.KILL, Filter(labels_in={"tenant": ()})), "filter.labels_in"),
    "empty exclusion": (StartBatch("r", Action.KILL, Filter(match_all=True, exclude=Exclusion())), "filter.exclude"),
    "nothing but an exclusion": (StartBatch("r", Action.KILL, Filter(exclude=Exclusion(services=("s",)))), "match_all"),
    "inverted exclusion": (
        StartBatch("r", Action.KILL, Filter(match_all=True, exclude=Exclusion(created_from=2, created_until=1))),
        "filter.exclude.created_until",
    ),
    "inverted created": (StartBatch("r", Action.KILL, Filter(created_from=2, created_until=1)), "filter.created_until"),
    "inverted modified": (
        StartBatch("r", Action.KILL, Filter(modified_from=2, modified_until=1)),
        "filter.modified_until",
    ),
    "terminal status": (
        StartBatch("r", Action.KILL, Filter(statuses=(Status.READY, Status.COMPLETED))),
        "filter.statuses",
    ),
    "too many ids": (
        StartBatch("r", Action.KILL, Filter(invocation_ids=tuple(f"{n}" for n in range(10_001)))),
        "filter.invocation_ids",
    ),
    "negative grace": (StartBatch("r", Action.CANCEL, SOME, grace_ms=-1), "grace_ms"),
    "grace over a day": (StartBatch("r", Action.CANCEL, SOME, grace_ms=86_400_001), "grace_ms"),
    "reason too long": (StartBatch("r", Action.KILL, SOME, reason="x" * 1_001), "reason"),
    "limit": (StartBatch("r", Action.KILL, SOME, limit=0), "invalid_limit: limit"),
    "max_rate": (StartBatch("r", Action.KILL, SOME, max_rate=0.0), "invalid_max_rate: max_rate"),
    "standing": (StartBatch("r", Action.KILL, SOME, standing_until=2**40), "invalid_standing_until: standing_until"),
    "standing with a limit": (StartBatch("r", Action.KILL, SOME, limit=5, standing_until=2**41), "together with limit"),
    "expires": (StartBatch("r", Action.KILL, SOME, expires_at=2**40), "invalid_expires_at: expires_at"),
    "terminal status of a resume": (
        StartBatch("r", Action.RESUME, Filter(statuses=(Status.PAUSED, Status.KILLED))),
        "filter.statuses",
    ),
}
"""Each rule of the protocol with what the error must name."""


def test_each_refusal_names_the_field_and_touches_nothing(make_service: Callable[..., Service]) -> None:
    """A batch that breaks a rule is REJECTED by name; what is refused as a command is a dead letter by name."""
    service = make_service()
    service.worker("a")
    service.send_many(invocations(300))
    batches = {name: replace(start, batch_id=f"refused {name}") for name, (start, _) in REFUSED.items()}
    service.send_many(batches.values())
    service.send(
        ControlBatch("no-such-batch", ControlOperation.PAUSE),
        CancelFlow("flow-1", FlowAction.CANCEL, CancelPolicy.CANCEL_ALL, -1),
        Invoke(Invocation("keyed-k-1", "keyed", "run", object_key="k")),
        Invoke(Invocation("member", "billing", "run", flow_id="")),
        Invoke(Invocation("child", "billing", "run", parent_id="")),
    )
    for name, start in batches.items():
        progress = service.await_batch(start.batch_id)
        assert progress.state is BatchState.REJECTED, name
        error = progress.header and progress.header.error
        assert REFUSED[name][1] in (error or ""), f"{name}: {error}"
        assert progress.slices == {}, name
    log = service.settle()
    refused = [letter.headers for letter in service.read(Topic.DEAD_LETTERS)]
    assert sorted(headers["error-code"] for headers in refused) == [
        "invalid_flow_id",
        "invalid_grace_ms",
        "invalid_invocation_id",
        "invalid_parent_id",
        "unknown_batch",
    ]
    for what in ("no-such-batch", "grace_ms", "object_key", "flow_id", "parent_id"):
        assert any(what in headers["error-message"] for headers in refused), what
    assert not any(isinstance(codec.decode(entry.value), StartSlice) for entry in log), "no slice is to be started"
    _, table = service_table(service)
    assert {row.status for row in table.rows.values()} == {
        Status.SCHEDULED,
        Status.READY,
        Status.RUNNING,
        Status.COMPLETED,
    }
    kinds = {kind for _, kind in oracle.check_signals(service.read(Topic.SIGNALS))}
    assert kinds == {SignalKind.START}
    service.verify()


def service_table(service: Service) -> tuple[int, oracle.Table]:
    """The table, complete: each of the invocations that were not refused stands in it."""
    table = oracle.fold(service.read(Topic.CHANGELOG))
    assert len(table.rows) == 300
    oracle.check_counts(table)
    return len(table.rows), table


def test_an_unknown_status_is_a_dead_letter_that_names_the_field(make_service: Callable[..., Service]) -> None:
    """UNKNOWN, the default symbol of every enum, is never taken for a value; the partition goes on."""
    service = make_service(partitions=1)
    service.worker("a")
    service.send(invoke("one"))
    service.send_raw(_start_batch_with_statuses("UNKNOWN"), "unknown-status")
    service.send(invoke("two"))
    service.settle()
    [letter] = service.read(Topic.DEAD_LETTERS)
    assert letter.headers["error-code"] == "malformed"
    assert "statuses" in letter.headers["error-message"]
    table = oracle.fold(service.read(Topic.CHANGELOG))
    assert {row.invocation.invocation_id for row in table.rows.values()} == {"one", "two"}
    service.verify()


def _start_batch_with_statuses(*statuses: str) -> bytes:
    """A `StartBatch` as a client with a looser library would write it."""
    schema = fastavro.schema.load_schema(str(ROOT / "schemas" / "StartBatch.avsc"))
    whole: Any = fastavro.schemaless_reader(
        BytesIO(codec.encode(StartBatch("unknown-status", Action.KILL, Filter(statuses=(Status.READY,))))[10:]), schema
    )
    whole["filter"]["statuses"] = list(statuses)
    body = BytesIO()
    fastavro.schemaless_writer(body, schema, whole)
    return codec.encode(kill("any"))[:10] + body.getvalue()


def test_zero_matches_complete(make_service: Callable[..., Service]) -> None:
    """A batch that matches nothing completes on every partition, with a table and without one."""
    service = make_service()
    service.worker("a")
    empty = service.await_batch(service.start_batch(kill("before")))
    service.send_many(invocations(300))
    none = service.await_batch(service.start_batch(kill("after", Filter(services=("nobody",)))))
    for progress in (empty, none):
        assert progress.state is BatchState.COMPLETED
        assert progress.counters == (0, 0, 0, 0, 0)
        assert sorted(progress.slices) == [0, 1, 2, 3]
    service.check()


def test_a_batch_sent_twice_runs_once_and_its_id_is_taken(make_service: Callable[..., Service]) -> None:
    """The same StartBatch again is a no-op, even after it has ended; other content under its id is a dead letter."""
    service = make_service()
    service.worker("a")
    service.send_many(invocations(300))
    service.send(kill("twice"), kill("twice"))
    progress = service.await_batch("twice")
    service.send_many(invocations(300, "later"))
    service.send(kill("twice"), kill("twice", Filter(match_all=True)))
    expected, table = service.check()
    assert progress.counters[:2] == (len(expected.ended_by("twice")),) * 2
    assert table.ended_by("twice") == expected.ended_by("twice")
    starts = [
        entry.partition
        for entry in service.read(Topic.COMMANDS)
        if isinstance(record := codec.decode(entry.value), StartSlice) and record.batch_id == "twice"
    ]
    assert sorted(starts) == [0, 1, 2, 3]
    [letter] = service.read(Topic.DEAD_LETTERS)
    assert letter.headers["error-code"] == "batch_id_conflict"
    assert letter.value == codec.encode(kill("twice", Filter(match_all=True)))


def test_a_dry_run_counts_and_touches_nothing(make_service: Callable[..., Service]) -> None:
    """A dry run counts what the oracle counts, with up to 20 samples, and changes no row and sends no signal."""
    service = make_service()
    service.worker("a")
    service.send_many(invocations(3_000))
    progress = service.await_batch(service.start_batch(replace(kill("dry"), dry_run=True)))
    expected, table = service.check()
    matched = expected.matched["dry"].total()
    assert matched > 900
    assert progress.counters == (matched, matched, 0, 0, 0)
    assert not table.ended_by("dry")
    ids = {row.invocation.invocation_id for row in expected.rows.values() if row.invocation.service == "billing"}
    samples = [sample for each in progress.slices.values() for sample in each.samples]
    assert len(samples) == 4 * 20
    assert set(samples) <= ids
