"""What always holds, whatever the commands and however the partitions are interleaved."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from copy import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.engine import apply, header_of, progress_of
from streams.engine.answers import At, PageSizes
from streams.engine.effects import Count, Send, SendAll
from streams.gateway import progress
from streams.model import (
    TERMINAL,
    Act,
    Action,
    BatchState,
    Command,
    ControlBatch,
    ControlOperation,
    Filter,
    OnTimeout,
    ReportTransition,
    SliceState,
    StartBatch,
    Status,
)
from streams.protocol.validation import CommandRefusedError
from support.effort import examples
from support.tables.histories import START, long_histories
from support.tables.memory_cluster import MemoryCluster, invoke
from support.tables.memory_table import MemoryTable
from support.tables.watched_cluster import Watched

IDS = [f"i{number}" for number in range(8)]

ids = st.sampled_from([*IDS, "unknown"])
graces = st.sampled_from([None, 0, 4_000, 20_000, -1])
timeouts = st.sampled_from(OnTimeout)
acts = st.sampled_from([*Action, Action.CANCEL])
invokes = st.builds(
    invoke,
    ids,
    scheduled_at=st.none() | st.integers(START - 5, START + 30_000),
    adopt=st.booleans(),
    service=st.sampled_from(["mail", "bill"]),
    lease_ms=st.none() | st.sampled_from([1, 3_000, 0]),
)
reports = st.builds(
    ReportTransition,
    ids,
    attempt=st.integers(0, 3),
    report_no=st.none() | st.integers(0, 5),
    to=st.sampled_from(
        [Status.RUNNING, Status.SUSPENDED, Status.BACKING_OFF, Status.COMPLETED, Status.CANCELLED, Status.READY],
    ),
    retry_at=st.none() | st.integers(START, START + 10_000),
    error=st.none() | st.just("boom"),
)
filters = st.sampled_from(
    [
        Filter(match_all=True),
        Filter(),
        Filter(services=("mail",)),
        Filter(statuses=(Status.READY, Status.RUNNING, Status.CANCELLING)),
        Filter(invocation_ids=("i1", "i3", "i5", "nobody")),
        Filter(batch_ids=("b0", "b1")),
        Filter(modified_until=START + 5_000),
    ],
)
batch_ids = st.sampled_from([f"b{number}" for number in range(5)])
batches = st.builds(
    StartBatch,
    batch_ids,
    acts,
    filters,
    dry_run=st.sampled_from([False, False, True]),
    limit=st.none() | st.integers(0, 5),
    max_rate=st.none() | st.sampled_from([0.5, 7.0, 1_000.0]),
    grace_ms=graces,
    on_timeout=timeouts,
    expires_at=st.none() | st.integers(START, START + 20_000),
)
rules = st.builds(
    StartBatch,
    batch_ids,
    st.sampled_from([Action.KILL, Action.CANCEL]),
    st.sampled_from([Filter(match_all=True), Filter(services=("mail",))]),
    grace_ms=graces,
    on_timeout=timeouts,
    standing_until=st.integers(START, START + 30_000),
    expires_at=st.none() | st.integers(START, START + 30_000),
)
control_nos = st.none() | st.integers(0, 9)
operations = st.sampled_from([ControlOperation.PAUSE, ControlOperation.RESUME, ControlOperation.ABORT])
controls = st.builds(ControlBatch, batch_ids, operations, control_nos) | st.builds(
    ControlBatch, batch_ids, st.just(ControlOperation.SET_RATE), control_nos, st.sampled_from([0.0, 0.5, 30.0, 1e9])
)
single_acts = st.builds(Act, ids, acts, graces, timeouts, st.booleans())
pauses = st.integers(0, 12_000)
"""Milliseconds that go by before every partition gets a tick."""
turns = st.lists(st.integers(0, 2), min_size=1, max_size=8)
"""Which partitions apply a command next."""
moves = invokes | reports | single_acts | batches | rules | controls | pauses | turns
histories = st.lists(moves, max_size=60) | long_histories
max_bytes = st.sampled_from([0, 0, 1, 300, 1_000])
sizes = st.builds(PageSizes, st.integers(1, 4), st.integers(1, 4), st.just(0), max_bytes)


def shown(cluster: MemoryCluster, batch_id: str) -> BatchState:
    """The batch's state as the gateway makes it out of header and slices."""
    slices = {
        partition: progress_of(table.slices[batch_id], partition)
        for partition, table in enumerate(cluster.tables)
        if batch_id in table.slices
    }
    merged = progress.batch_progress(progress.BatchRecords(header_of(cluster.batch(batch_id)), slices))
    assert merged is not None
    return merged.state


@settings(max_examples=examples(150), deadline=None)
@given(histories, sizes, st.integers(1, 3))
def test_a_history_keeps_every_promise(
    history: list[Command | int | list[int]], page_sizes: PageSizes, partitions: int
) -> None:
    """Counters add up at every step, each row ends once, batches come to an end, no signal is sent twice."""
    cluster = Watched(partitions, page_sizes)
    cluster.play(history)
    for table in cluster.tables:
        for batch_id, batch in table.batches.items():
            assert batch.state in {BatchState.COMPLETED, BatchState.ABORTED, BatchState.REJECTED}
            assert (batch.state is BatchState.COMPLETED) <= (batch.error is None)
            assert (batch.state is BatchState.ABORTED) <= batch.aborting
            assert shown(cluster, batch_id) is batch.state
        assert all(slice_.state in {SliceState.COMPLETED, SliceState.ABORTED} for slice_ in table.slices.values())
    keys = Counter((partition, send.seq, send.kind, send.attempt, send.repeat) for partition, send in cluster.signals)
    assert not [key for key, times in keys.items() if times > 1]


@settings(max_examples=examples(60), deadline=None)
@given(histories, sizes, st.integers(1, 3))
def test_a_replay_of_the_log_gives_the_same(
    history: list[Command | int | list[int]], page_sizes: PageSizes, partitions: int
) -> None:
    """The log alone decides: another worker with other page sizes comes to the same tables, signals and records."""
    cluster = MemoryCluster(partitions, page_sizes)
    Watched.play(cluster, history)
    sent: list[tuple[int, Send]] = []
    for partition, log in enumerate(cluster.logs):
        table = MemoryTable(partitions, page_sizes)
        clock = 0
        for offset, (now, command) in enumerate(log):
            clock = max(clock, now)
            at = At(partition, offset, clock)
            try:
                effects = apply(command, at, table)
            except CommandRefusedError:
                continue
            table.absorb(effects, at)
            for effect in effects:
                if isinstance(effect, Send):
                    sent.append((partition, effect))
                elif isinstance(effect, SendAll):
                    sent += [(partition, send) for send in effect.each()]
        assert table.snapshot() == cluster.tables[partition].snapshot()
    assert Counter(map(repr, sent)) == Counter(map(repr, cluster.signals))


@settings(max_examples=examples(60), deadline=None)
@given(histories, invokes | reports | single_acts | batches)
def test_a_command_changes_nothing_by_itself(history: list[Command | int | list[int]], command: Command) -> None:
    """Applying reads the table only: refused or not, it is the effects that change it."""
    cluster = MemoryCluster(1)
    Watched.play(cluster, history)
    table = cluster.tables[0]
    before = {name: copy(value) for name, value in table.snapshot().items()}
    with suppress(CommandRefusedError):
        apply(command, At(0, 10_000, cluster.now), table)
    assert table.snapshot() == before


@settings(max_examples=examples(60), deadline=None)
@given(histories, st.sampled_from([*(Act("x", action) for action in Action), ReportTransition("x", 1)]))
def test_an_unknown_id_is_harmless(history: list[Command | int | list[int]], command: Command) -> None:
    """It is counted, and nothing else."""
    cluster = MemoryCluster(1)
    Watched.play(cluster, history)
    effects = apply(command, At(0, 10_000, cluster.now), cluster.tables[0])
    assert [type(effect) for effect in effects] == [Count]


@settings(max_examples=examples(60), deadline=None)
@given(
    histories,
    sizes,
    st.sampled_from(Action),
    filters.filter(lambda filter_: filter_ != Filter()),
)
def test_a_dry_run_foretells_the_run(
    history: list[Command | int | list[int]], page_sizes: PageSizes, action: Action, filter_: Filter
) -> None:
    """On a table at rest it matches what the batch then matches, and its done is what the batch acts on."""
    cluster = MemoryCluster(2, page_sizes)
    Watched.play(cluster, history)
    cluster.run(StartBatch("dry", action, filter_, dry_run=True))
    cluster.run(StartBatch("wet", action, filter_))
    dry, wet = cluster.total("dry"), cluster.total("wet")
    assert (dry["matched"], dry["skipped"]) == (wet["matched"], wet["skipped"])
    assert dry["done"] == wet["done"] + wet["pending"]


@pytest.mark.parametrize("partitions", [1, 4])
@settings(max_examples=examples(40), deadline=None)
@given(st.lists(invokes | reports, max_size=40), filters.filter(lambda filter_: filter_ != Filter()), sizes)
def test_a_kill_ends_what_an_onlooker_would_name(
    partitions: int, history: list[Command], filter_: Filter, page_sizes: PageSizes
) -> None:
    """Exactly the live rows that the filter's words describe are KILLED, none missing and none extra."""
    cluster = MemoryCluster(partitions, page_sizes)
    cluster.run(*history)
    expected = {
        row.invocation_id
        for table in cluster.tables
        for row in table.rows.values()
        if row.status not in TERMINAL
        and (filter_.services is None or table.invocations[row.invocation_id].service in filter_.services)
        and (filter_.statuses is None or row.status in filter_.statuses)
        and (filter_.invocation_ids is None or row.invocation_id in filter_.invocation_ids)
        and filter_.batch_ids is None
    }
    cluster.run(StartBatch("k", Action.KILL, filter_))
    killed = {row.invocation_id for table in cluster.tables for row in table.rows.values() if row.status == "KILLED"}
    assert killed == expected
    assert cluster.total("k")["done"] == len(expected)
