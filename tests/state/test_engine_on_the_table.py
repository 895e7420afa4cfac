"""The engine on the SQLite table does what it does on the plain one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from streams.codec import encode_invocation
from streams.engine import apply
from streams.engine.answers import At, PageSizes
from streams.model import (
    Act,
    Action,
    Command,
    ControlBatch,
    ControlOperation,
    Filter,
    Invoke,
    OnTimeout,
    ReportTransition,
    StartBatch,
    Status,
)
from streams.protocol.validation import CommandRefusedError
from streams.state.store import Store
from streams.state.table import Table
from support.effort import examples
from support.tables.flow_lives import Life
from support.tables.histories import invoke_any
from support.tables.memory_cluster import MemoryCluster

if TYPE_CHECKING:
    from support.tables.memory_table import MemoryTable

SIZES = PageSizes(7, 3)
ACTIONS = (*Action, Action.PAUSE, Action.RESUME, Action.RESTART)
REPORTED = (Status.RUNNING, Status.RUNNING, Status.SUSPENDED, Status.BACKING_OFF, Status.COMPLETED, Status.CANCELLED)
NAMES = (*(f"i-{n}" for n in range(15)), *(f"mail/{n % 4}~{n}" for n in range(15)))
FILTERS = (
    Filter(match_all=True),
    Filter(statuses=(Status.RUNNING, Status.SUSPENDED, Status.CANCELLING)),
    Filter(invocation_ids=NAMES[::2]),
    Filter(labels={"team": "a"}, modified_until=1_500_000),
)


def lived(seed: int, steps: int) -> MemoryCluster:
    """Two partitions on which invocations, batches and time went on for a while."""
    random, cluster = Random(seed), MemoryCluster(2, SIZES)
    batches: list[str] = []
    for step in range(steps):
        name = random.choice(NAMES)
        match random.randrange(11):
            case 0 | 1 | 2:
                fields = {"lease_ms": random.choice((None, 40_000)), "labels": random.choice(({}, {"team": "a"}))}
                scheduled_at = random.choice((None, None, cluster.now + 50_000))
                cluster.run(invoke_any(name, scheduled_at=scheduled_at, adopt=random.random() < 0.2, **fields))
            case 3 | 4 | 5:
                attempt = random.randint(1, 2)
                retry_at = cluster.now + random.randrange(90_000)
                cluster.run(ReportTransition(name, attempt, to=random.choice(REPORTED), retry_at=retry_at))
            case 6:
                cluster.run(Act(name, random.choice(ACTIONS), 60_000))
            case 7:
                action, filter_ = random.choice(ACTIONS), random.choice(FILTERS)
                on_timeout = random.choice(list(OnTimeout))
                dry_run = random.random() < 0.3
                limit, max_rate = random.choice((None, None, 2, 9)), random.choice((None, None, 0.01, 3.0))
                expires_at = random.choice((None, cluster.now + 40_000))
                start = StartBatch(f"b-{step}", action, filter_, dry_run, limit, max_rate, 60_000, on_timeout)
                batches.append(start.batch_id)
                until = random.choice((None, None, cluster.now + 40_000, cluster.now + 90_000))
                cluster.run(replace(start, expires_at=expires_at, standing_until=until))
            case 8 | 9 if batches:
                operation = random.choice(list(ControlOperation))
                max_rate = 5.0 if operation is ControlOperation.SET_RATE else None
                cluster.run(ControlBatch(random.choice(batches), operation, max_rate=max_rate))
            case _:
                cluster.tick(random.choice((1, 30_000, 30_000, 30_000, 86_400_000)), random.choice((3, 1_000)))
    return cluster


def replayed(log: list[tuple[int, Command]], partition: int, random: Random, plain: MemoryTable) -> Table:
    """A table to which the partition's log was applied, in turns of any length, some of them twice."""
    store = Store.open(Path(":memory:"), partition)
    table = Table(store, partition, plain.partitions, plain.page_sizes)
    commands = [(now, encoded(command)) for now, command in log]
    offset = 0
    while offset < len(commands):
        turn = commands[offset : offset + random.randint(1, 9)]
        for aborted in (True, False) if random.random() < 0.3 else (False,):
            table.begin()
            table.load([getattr(command, "invocation_id", "") for _, command in turn])
            for place, (now, command) in enumerate(turn, offset):
                at = At(partition, place, now)
                try:
                    table.absorb(apply(command, at, table), at)
                except CommandRefusedError:
                    continue
            table.set_position(offset + len(turn), turn[-1][0])
            table.flush()
            if aborted:
                table.rollback()
            else:
                table.commit(offset, 0)
        offset += len(turn)
    return table


def encoded(command: Command) -> Command:
    """An `Invoke` with the bytes that the codec would give it."""
    return replace(command, encoded=encode_invocation(command.invocation)) if isinstance(command, Invoke) else command


def facts(table: MemoryTable | Table, plain: MemoryTable) -> dict[str, object]:
    """All that a table remembers of what the plain one knows."""
    rows = {name: table.row(name) for name in sorted(plain.rows)}
    meta = table.meta
    return {
        "rows": {name: row and replace(row, encoded=b"") for name, row in rows.items()},
        "payloads": {name: row and table.payload(row) for name, row in rows.items()},
        "batches": {name: table.batch(name) for name in plain.batches},
        "slices": {name: table.slice(name) for name in plain.slices},
        "flows": {name: table.flow(name[1], children=name[0]) for name in plain.flows},
        "members": {name: table.all_members(flow) for name, flow in plain.flows.items()},
        "dispatching": list(table.dispatching()),
        "reconciled": (meta.reconciled_at, meta.reconcile_labels),
        "total": table.row_total(),
        "marks": (meta.page, meta.page_outstanding, meta.tick_no),
        "release": (meta.release_no, meta.release_outstanding, meta.release_again),
    }


@settings(max_examples=examples(60), deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 120))
def test_a_log_always_gives_what_it_gives_in_plain_dicts(seed: int, steps: int) -> None:
    """Rows, payloads, batches, slices and marks are the same, however the log is cut into turns."""
    cluster = lived(seed, steps)
    for partition, plain in enumerate(cluster.tables):
        table = replayed(cluster.logs[partition], partition, Random(seed), plain)
        assert facts(table, plain) == facts(plain, plain)
        table._store.close()


@settings(max_examples=examples(60), deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 120))
def test_lives_of_flows_are_the_same_on_both(seed: int, moves: int) -> None:
    """Flows, their members and the rows, and no flow or member besides."""
    life = Life(seed)
    life.live(moves)
    for partition, plain in enumerate(life.world.tables):
        table = replayed(life.world.logs[partition], partition, Random(seed), plain)
        assert facts(table, plain) == facts(plain, plain)
        there = Counter(key[0] for key, _ in table._store.dump() if key[0] in "fg")
        assert (there["f"], there["g"]) == (len(plain.flows), len(plain.entries))
        table._store.close()
