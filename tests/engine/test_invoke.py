"""`Invoke`: arrival, schedule, adoption, repetition."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from streams.engine.counters import REPEATED_INVOKE
from streams.engine.effects import InsertRow, Send
from streams.model import SignalKind, Status
from streams.protocol.validation import CommandRefusedError
from support.tables.engine_rows import AT, NOW, applied, of
from support.tables.memory_cluster import invoke
from support.tables.memory_table import MemoryTable


def test_an_arrival_is_started_at_once() -> None:
    """A new invocation is READY at attempt 1, and its executor is told, payload included."""
    effects = applied(invoke("a"), table := MemoryTable())
    row = table.rows["a"]
    assert (row.status, row.attempt, row.seq, row.started_seq) == (Status.READY, 1, AT.offset, AT.offset)
    assert (row.created_at, row.modified_at, row.due_at, row.last_report_no) == (NOW, NOW, None, -1)
    assert effects[1:] == [
        Send(SignalKind.START, "a", b"encoded a", AT.offset, 1, 0, NOW, b"payload of a"),
    ]
    assert of(InsertRow, effects)[0].payload == b"payload of a"


def test_an_arrival_with_a_lease_is_due_when_it_ends() -> None:
    """READY counts as a sign of life for as long as the lease."""
    applied(invoke("a", lease_ms=5_000), table := MemoryTable())
    assert table.rows["a"].due_at == NOW + 5_000
    assert table.rows["a"].lease_ms == 5_000


def test_a_start_time_in_the_future_is_waited_for() -> None:
    """A scheduled invocation has not been started: no signal, no attempt."""
    effects = applied(invoke("a", scheduled_at=NOW + 1, lease_ms=5), table := MemoryTable())
    row = table.rows["a"]
    assert (row.status, row.attempt, row.started_seq) == (Status.SCHEDULED, 0, None)
    assert (row.scheduled_at, row.due_at) == (NOW + 1, NOW + 1)
    assert not of(Send, effects)


@pytest.mark.parametrize("scheduled_at", [NOW, NOW - 1, -5])
def test_a_start_time_that_has_come_is_no_schedule(scheduled_at: int) -> None:
    """A start time not after the partition clock starts at once."""
    effects = applied(invoke("a", scheduled_at=scheduled_at), table := MemoryTable())
    assert table.rows["a"].status is Status.READY
    assert len(of(Send, effects)) == 1


def test_an_adopted_invocation_runs_without_a_signal() -> None:
    """It runs elsewhere already: RUNNING at attempt 1, its lease as of a report, no START."""
    effects = applied(invoke("a", adopt=True, lease_ms=9), table := MemoryTable())
    row = table.rows["a"]
    assert (row.status, row.attempt, row.started_seq, row.due_at) == (Status.RUNNING, 1, AT.offset, NOW + 9)
    assert not of(Send, effects)
    assert table.payloads["a"] == b"payload of a"


def test_the_same_invocation_again_is_a_no_op() -> None:
    """Content decides, not how its bytes looked on the wire."""
    applied(invoke("a", labels={"x": "1", "y": "2"}), table := MemoryTable())
    before = table.snapshot() | {"rows": dict(table.rows)}
    again = replace(invoke("a", labels={"y": "2", "x": "1"}), encoded=b"other bytes")
    assert applied(again, table) == [REPEATED_INVOKE]
    assert table.snapshot() == before


@pytest.mark.parametrize("status", list(Status))
def test_other_content_under_a_taken_id_conflicts_in_every_status(status: Status) -> None:
    """The table keeps the first, the second is refused and says why."""
    applied(invoke("a"), table := MemoryTable())
    table.rows["a"] = replace(table.rows["a"], status=status)
    with pytest.raises(CommandRefusedError, match="invocation_id a is taken") as refused:
        applied(invoke("a", handler="other"), table)
    assert refused.value.code == "conflicting_invoke"


@pytest.mark.parametrize("status", list(Status))
def test_the_same_content_is_a_no_op_in_every_status(status: Status) -> None:
    """A producer that sends again after a lost acknowledgement does no harm."""
    applied(invoke("a"), table := MemoryTable())
    table.rows["a"] = replace(table.rows["a"], status=status)
    assert applied(invoke("a"), table) == [REPEATED_INVOKE]
