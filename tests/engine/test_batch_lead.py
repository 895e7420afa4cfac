"""A batch at its lead partition."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from streams.engine import header_of
from streams.engine.answers import At
from streams.engine.counters import REPEATED_BATCH, STALE_SLICE_REPORT
from streams.engine.effects import Append, PutBatch
from streams.model import (
    ENGINE_VERSION,
    Action,
    BatchState,
    Cause,
    Filter,
    OnTimeout,
    SlicePhase,
    SliceReport,
    StartBatch,
    StartSlice,
    Status,
)
from streams.protocol.batch_validation import check_start_batch
from streams.protocol.routing import partition_of
from streams.protocol.validation import CommandRefusedError
from support.tables.engine_rows import AT, NOW, applied, of
from support.tables.memory_table import MemoryTable

KILL_ALL = StartBatch("b", Action.KILL, Filter(match_all=True), reason="why", actor="ann")


def report(phase: SlicePhase, slice_partition: int = 0, cutoff: int = 40) -> SliceReport:
    """What a slice of `b` tells partition 0."""
    return SliceReport(ENGINE_VERSION, 0, "b", slice_partition, phase, cutoff, 0)


def test_a_batch_hands_one_slice_to_every_partition() -> None:
    """It is remembered as STARTING, and each partition is told the action, the filter and the cause."""
    effects = applied(KILL_ALL, table := MemoryTable(3))
    batch = table.batches["b"]
    assert (batch.state, batch.error, batch.ids) == (BatchState.STARTING, None, None)
    assert (batch.phases, batch.cutoffs, batch.revision) == ((None,) * 3, (-1,) * 3, AT.offset)
    cause = Cause(batch_id="b", actor="ann", reason="why")
    assert effects[1:] == [
        Append(
            partition,
            "b",
            StartSlice(
                ENGINE_VERSION, partition, "b", 0, Action.KILL, KILL_ALL.filter, False, 0, OnTimeout.KILL, cause
            ),
        )
        for partition in range(3)
    ]


def test_ids_go_where_they_live_each_once_and_sorted() -> None:
    """A partition with none of them is told so; the lead keeps the count only."""
    ids = ("b~1", "a~2", "c", "a~2", "a~1", "d")
    command = replace(KILL_ALL, filter=Filter(invocation_ids=ids, services=("mail",)))
    effects = applied(command, table := MemoryTable(8))
    starts = [(each.partition, each.command) for each in of(Append, effects)]
    handed = {partition: start.filter for partition, start in starts if isinstance(start, StartSlice)}
    assert len(handed) == 8
    for partition, filter_ in handed.items():
        here = {id_ for id_ in ids if partition_of(id_.rpartition("~")[0] or id_, 8) == partition}
        assert filter_ == Filter(invocation_ids=tuple(sorted(here)), services=("mail",))
    batch = table.batches["b"]
    assert (batch.ids, batch.start.filter) == (5, Filter(services=("mail",)))


@pytest.mark.parametrize(("given", "spelt"), [(None, 30_000), (0, 0), (7, 7)])
def test_the_default_grace_of_a_cancel_is_spelt_out(given: int | None, spelt: int) -> None:
    """Every number that alters the table stands in a record."""
    command = StartBatch("b", Action.CANCEL, Filter(match_all=True), grace_ms=given, on_timeout=OnTimeout.LEAVE)
    effects = applied(command, table := MemoryTable())
    assert table.batches["b"].start.grace_ms == spelt
    (append,) = of(Append, effects)
    assert isinstance(append.command, StartSlice)
    assert (append.command.grace_ms, append.command.on_timeout) == (spelt, OnTimeout.LEAVE)


def test_a_batch_sent_twice_runs_once() -> None:
    """The same id and content again is a no-op, however far the first has come."""
    applied(KILL_ALL, table := MemoryTable(2))
    assert applied(KILL_ALL, table) == [REPEATED_BATCH]


def test_the_same_id_with_other_content_conflicts() -> None:
    """The first stays as it is."""
    applied(KILL_ALL, table := MemoryTable(2))
    with pytest.raises(CommandRefusedError, match="batch_id b is taken") as refused:
        applied(replace(KILL_ALL, reason="another"), table)
    assert refused.value.code == "batch_id_conflict"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"filter": Filter()}, "invalid_filter: filter.match_all "),
        ({"filter": Filter(statuses=(Status.FAILED,))}, "invalid_filter: filter.statuses "),
        ({"grace_ms": -1}, "invalid_grace_ms: grace_ms "),
        ({"reason": "x" * 1_001}, "invalid_reason: reason "),
        ({"actor": "x" * 1_001}, "invalid_actor: actor "),
        ({"limit": 0}, "invalid_limit: limit is 0"),
        ({"limit": -1}, "invalid_limit: limit "),
        ({"max_rate": 0.0}, "invalid_max_rate: max_rate is 0.0"),
        ({"max_rate": -1.5}, "invalid_max_rate: max_rate "),
        ({"max_rate": float("nan")}, "invalid_max_rate: max_rate is nan"),
        ({"max_rate": float("inf")}, "invalid_max_rate: max_rate is inf"),
        ({"standing_until": NOW}, "invalid_standing_until: standing_until 1000000 has passed"),
        ({"expires_at": NOW}, "invalid_expires_at: expires_at 1000000 has passed"),
    ],
)
def test_a_batch_that_breaks_a_rule_is_remembered_as_rejected(change: dict[str, object], error: str) -> None:
    """Whoever waits for it learns why; nothing else happens, now or when it is sent again."""
    command = replace(KILL_ALL, **change)
    effects = applied(command, table := MemoryTable(2))
    assert [type(effect) for effect in effects] == [PutBatch]
    header = header_of(table.batches["b"])
    assert header.state is BatchState.REJECTED
    assert header.error is not None
    assert header.error.startswith(error)
    assert applied(command, table) == [REPEATED_BATCH]
    assert applied(report(SlicePhase.DRAINED), table) == [STALE_SLICE_REPORT]
    with pytest.raises(CommandRefusedError) as refused:
        check_start_batch(command, NOW)
    assert header.error == f"{refused.value.code}: {refused.value.message}"


def test_of_several_broken_rules_the_error_names_the_first() -> None:
    """Always the same one, or a replay would remember the batch otherwise; a sender without a clock skips the times."""
    late = replace(KILL_ALL, filter=Filter(), standing_until=NOW, expires_at=NOW)
    for command, code in (
        (replace(late, grace_ms=-1), "invalid_grace_ms"),
        (late, "invalid_expires_at"),
        (replace(late, expires_at=None), "invalid_standing_until"),
        (replace(late, expires_at=None, standing_until=NOW + 1), "invalid_filter"),
    ):
        applied(command, table := MemoryTable(2))
        error = header_of(table.batches["b"]).error
        assert error is not None
        assert error.startswith(f"{code}: ")
    with pytest.raises(CommandRefusedError) as refused:
        check_start_batch(late)
    assert refused.value.code == "invalid_filter"


STARTED, PAGES_DONE, DRAINED = SlicePhase.STARTED, SlicePhase.PAGES_DONE, SlicePhase.DRAINED


@pytest.mark.parametrize(
    ("phases", "state"),
    [
        ((STARTED, None), BatchState.STARTING),
        ((DRAINED, None), BatchState.STARTING),
        ((STARTED, STARTED), BatchState.RUNNING),
        ((DRAINED, STARTED), BatchState.RUNNING),
        ((PAGES_DONE, PAGES_DONE), BatchState.DRAINING),
        ((DRAINED, PAGES_DONE), BatchState.DRAINING),
        ((DRAINED, DRAINED), BatchState.COMPLETED),
    ],
)
def test_a_batch_is_as_far_as_its_slowest_slice(phases: tuple[SlicePhase | None, ...], state: BatchState) -> None:
    """In whichever order the reports come; a later phase implies those before it."""
    for order in ((0, 1), (1, 0)):
        applied(KILL_ALL, table := MemoryTable(2))
        for index in order:
            if (phase := phases[index]) is not None:
                applied(report(phase, index, cutoff=30 + index), table, At(0, 600 + index, NOW + 9))
        batch = table.batches["b"]
        assert (batch.state, batch.phases) == (state, phases)
        assert batch.cutoffs == tuple(-1 if phase is None else 30 + index for index, phase in enumerate(phases))
        assert (batch.updated_at, batch.created_at) == (NOW + 9, NOW)


@pytest.mark.parametrize("phase", [STARTED, PAGES_DONE, DRAINED])
def test_a_report_that_tells_nothing_new_is_ignored(phase: SlicePhase) -> None:
    """Reports repeat after a crash, and never move a batch back."""
    applied(KILL_ALL, table := MemoryTable(2))
    applied(report(DRAINED, 1), table)
    assert applied(report(phase, 1), table) == [STALE_SLICE_REPORT]


def test_a_report_of_an_unknown_batch_is_ignored() -> None:
    """The batch has been forgotten."""
    assert applied(report(STARTED), MemoryTable()) == [STALE_SLICE_REPORT]


@pytest.mark.parametrize("slice_partition", [-1, 2])
def test_a_report_of_a_partition_that_does_not_exist_is_refused(slice_partition: int) -> None:
    """It names the field."""
    applied(KILL_ALL, table := MemoryTable(2))
    with pytest.raises(CommandRefusedError) as refused:
        applied(report(STARTED, slice_partition), table)
    assert refused.value.code == "invalid_slice_partition"


def test_the_header_says_all_that_was_asked_for() -> None:
    """It is what people read: ids are replaced by their count."""
    command = StartBatch(
        "b",
        Action.CANCEL,
        Filter(invocation_ids=("a", "b"), labels={"k": "v"}),
        dry_run=True,
        grace_ms=5,
        on_timeout=OnTimeout.LEAVE,
        reason="why",
        actor="ann",
    )
    applied(command, table := MemoryTable(4))
    header = header_of(table.batches["b"])
    assert (header.batch_id, header.action, header.filter) == ("b", Action.CANCEL, Filter(labels={"k": "v"}))
    assert (header.dry_run, header.grace_ms, header.on_timeout) == (True, 5, OnTimeout.LEAVE)
    assert (header.reason, header.actor, header.invocation_ids_count) == ("why", "ann", 2)
    assert (header.state, header.partitions_total, header.revision) == (BatchState.STARTING, 4, AT.offset)
    assert (header.created_at, header.updated_at) == (NOW, NOW)
