"""A page stays within its bytes, whatever rows it finds, and where it leads does not depend on them."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.codec import encode_invocation, encode_signal
from streams.engine import apply
from streams.engine.answers import MAX_BYTES, At, PageSizes
from streams.engine.effects import Append, Send, SendAll
from streams.engine.weights import of_start
from streams.model import (
    ENGINE_VERSION,
    Act,
    Action,
    Cause,
    ContinueSlice,
    ControlSlice,
    Filter,
    Invocation,
    Invoke,
    OnTimeout,
    ReleaseHeld,
    ReportTransition,
    SliceOperation,
    StartSlice,
    Status,
    Tick,
)
from streams.protocol.routing import routing_key
from streams.state.store import Store
from streams.state.table import Table
from support.effort import examples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.model import Command, Row

pytestmark = pytest.mark.long

NOW = 1_000_000
LATER = NOW + 1_000
OVERHEAD = 1_000
"""Bytes that a page has once, whatever its rows: the delta's own fields."""


class Wanted(NamedTuple):
    """An invocation: of which object, how large, and how far it has come."""

    key: str | None
    payload: int | None
    label: int
    status: Status


wanted = st.builds(
    Wanted,
    st.sampled_from([None, None, "k", "l"]),
    st.sampled_from([None, 0, 40, 3_000]),
    st.sampled_from([0, 500]),
    st.sampled_from([Status.SCHEDULED, Status.READY, Status.RUNNING, Status.BACKING_OFF, Status.COMPLETED]),
)


class Partition:
    """One table on SQLite and its log, and how many bytes each page wrote."""

    def __init__(self, max_bytes: int, file: Path | str = ":memory:") -> None:
        self.store = Store.open(Path(file), 0)
        self.table = Table(self.store, 0, 1, PageSizes(100_000, 20_000, 100_000, max_bytes))
        self.log: list[Command] = []
        self.applied = 0
        self.now = NOW
        self.signals: Counter[tuple[str, str, int]] = Counter()
        self.pages: list[int] = []

    def run(self, *commands: Command) -> None:
        """Apply these, and all that follows from them; each a turn of its own."""
        self.log += commands
        while self.applied < len(self.log):
            self._turn(self.log[self.applied])
            self.applied += 1

    def _turn(self, command: Command) -> None:
        at = At(0, self.applied, self.now)
        self.table.begin()
        effects = apply(command, at, self.table)
        self.table.absorb(effects, at)
        written = sum(len(key) + len(value or b"") for key, value in self.table.flush() if key[0] in "ipd")
        self.table.commit(0, 0)
        for effect in effects:
            if isinstance(effect, Append):
                self.log.append(effect.command)
            elif isinstance(effect, (Send, SendAll)):
                written += sum(map(self._sent, effect.each() if isinstance(effect, SendAll) else (effect,)))
        if isinstance(command, (ContinueSlice, ReleaseHeld, Tick)):
            self.pages.append(written)

    def _sent(self, send: Send) -> int:
        self.signals[send.invocation_id, str(send.kind), send.attempt] += 1
        fields = send.kind, send.encoded, send.seq, send.attempt, send.repeat, send.at, send.payload, send.cause
        return len(routing_key(send.invocation_id)) + len(encode_signal(*fields))

    def slice(self, batch_id: str, action: Action, filter_: Filter, reason: str = "") -> None:
        """A batch's part from its start to its last page."""
        cause = Cause(batch_id, reason=reason)
        self.run(StartSlice(ENGINE_VERSION, 0, batch_id, 0, action, filter_, False, 10_000, OnTimeout.KILL, cause))

    def tick(self, at: int) -> None:
        """Time acts until nothing is due."""
        self.now = at
        number = self.table.meta.tick_no + 1
        most = self.table.page_sizes.max_bytes
        self.run(Tick(ENGINE_VERSION, 0, number, at, 0, 0, 1, 100_000, max_bytes=most))

    def rows(self, count: int) -> dict[str, Row]:
        """All rows by their ids."""
        found = [self.table.row(name) for name in map(_id, range(count))]
        found += [self.table.row(f"s/{key}~{number}") for key in "kl" for number in range(count)]
        return {row.invocation_id: row for row in found if row is not None}


def _id(number: int) -> str:
    return f"i{number}"


def _arrive(partition: Partition, rows: Sequence[Wanted]) -> int:
    """Bring the rows where they are wanted; returns what the heaviest of them weighs."""
    for number, row in enumerate(rows):
        name = _id(number) if row.key is None else f"s/{row.key}~{number}"
        labels = {"label": "x" * row.label} if row.label else {}
        invocation = Invocation(name, "s", "h", row.key, labels=labels)
        scheduled_at = LATER if row.status is Status.SCHEDULED else None
        payload = None if row.payload is None else b"p" * row.payload
        partition.run(Invoke(invocation, scheduled_at, payload=payload, encoded=encode_invocation(invocation)))
        if row.status in {Status.RUNNING, Status.COMPLETED}:
            partition.run(ReportTransition(name, 1, to=row.status))
        elif row.status is Status.BACKING_OFF:
            partition.run(ReportTransition(name, 1, to=row.status, retry_at=LATER))
    found = partition.rows(len(rows)).values()
    return max((of_start(row, len(partition.table.payload(row) or b"")) for row in found), default=0)


def _ends(partition: Partition, count: int) -> tuple[dict[str, Any], Counter[Any], dict[str, int]]:
    """Where everything stands: what a page's size must not change."""
    rows = {name: (row.status, row.attempt, row.held, row.due_at) for name, row in partition.rows(count).items()}
    counters = ("matched", "done", "skipped")
    counts = {f"{s.batch_id} {name}": getattr(s, name) for s in partition.table.slices() for name in counters}
    return rows, partition.signals, counts


def _live(partition: Partition, rows: Sequence[Wanted], action: Action, *, by_ids: bool) -> int:
    """Everything that makes pages: pause, resume, the action, time, and a batch that lets go of what it has held."""
    heaviest = _arrive(partition, rows)
    names = tuple(sorted(partition.rows(len(rows))))
    ids = names if by_ids else None
    every = Filter(match_all=True) if ids is None else Filter(invocation_ids=ids)
    if action in {Action.RESUME, Action.RESTART}:
        partition.slice("before", Action.PAUSE if action is Action.RESUME else Action.KILL, every)
    partition.slice("b", action, every, "why " * 50)
    partition.run(
        StartSlice(ENGINE_VERSION, 0, "slow", 0, Action.KILL, every, False, 0, OnTimeout.KILL, Cause(), max_rate=0.001)
    )
    partition.tick(LATER + 1)
    partition.run(ControlSlice(ENGINE_VERSION, 0, "slow", SliceOperation.ABORT))
    for name in names:
        partition.run(Act(name, Action.PAUSE), Act(name, Action.RESUME))
    partition.tick(LATER + 30_000)
    return heaviest + 2 * 250


@settings(max_examples=examples(60), deadline=None)
@given(
    st.lists(wanted, max_size=14),
    st.sampled_from(Action),
    st.sampled_from([1, 200, 700, 2_500, 8_000]),
    st.booleans(),
)
def test_a_page_stays_within_its_bytes_and_ends_where_a_large_one_does(
    rows: list[Wanted],
    action: Action,
    max_bytes: int,
    by_ids: bool,  # noqa: FBT001 - drawn
) -> None:
    """Of batches, of what they held, and of time; a page of one row, and what it starts, is always done."""
    small, large = Partition(max_bytes), Partition(0)
    with closing(small.store.db), closing(large.store.db):
        heaviest = _live(small, rows, action, by_ids=by_ids)
        _live(large, rows, action, by_ids=by_ids)
        assert _ends(small, len(rows)) == _ends(large, len(rows))
        assert max(small.pages, default=0) <= max_bytes + 2 * heaviest + OVERHEAD
        assert len(small.pages) >= len(large.pages)


@pytest.mark.parametrize(("before", "action"), [(Action.PAUSE, Action.RESUME), (Action.KILL, Action.RESTART)])
@pytest.mark.parametrize("max_bytes", [1, 0])
def test_what_starts_by_ids_keeps_the_order_of_its_object(before: Action, action: Action, max_bytes: int) -> None:
    """Whatever the order of the ids, and however they fall into pages; ids of nothing come last."""
    partition = Partition(max_bytes)
    names = ("s/k~9", "s/k~10")
    with closing(partition.store.db):
        for name in ("s/k~8", *names):
            invocation = Invocation(name, "s", "h", "k")
            partition.run(Invoke(invocation, encoded=encode_invocation(invocation)))
        partition.slice("before", before, Filter(invocation_ids=tuple(sorted(names))))
        partition.run(ReportTransition("s/k~8", 1, to=Status.COMPLETED))
        partition.slice("b", action, Filter(invocation_ids=tuple(sorted(("s/k~0", *names)))))
        found = {name: partition.table.row(name) for name in names}
        assert {name: row and row.status for name, row in found.items()} == {
            "s/k~9": Status.READY,
            "s/k~10": Status.PENDING,
        }


def test_however_many_ids_a_slice_starts_they_are_looked_up_together() -> None:
    """A client may name thousands: row by row, they would take longer than the pages of several turns."""
    statements: list[int] = []
    for count in (2, 1_000):
        partition, seen = Partition(0), list[str]()
        with closing(partition.store.db):
            partition.store.db.set_trace_callback(seen.append)
            partition.slice("b", Action.RESUME, Filter(invocation_ids=tuple(f"s/k~{n}" for n in range(count))))
        statements.append(len(seen))
    assert statements[0] == statements[1]


@pytest.mark.parametrize("what", ["filter", "ids", "grace"])
def test_the_starts_that_a_page_causes_count(what: str) -> None:
    """The rows that a page ends are small, those that were waiting for them are not."""
    partition = Partition(8_000)
    with closing(partition.store.db):
        for number in range(40):
            for name, payload in ((f"s/{number}~0", None), (f"s/{number}~1", b"p" * 3_000)):
                invocation = Invocation(name, "s", "first" if payload is None else "second", str(number))
                partition.run(Invoke(invocation, payload=payload, encoded=encode_invocation(invocation)))
        first = tuple(sorted(f"s/{number}~0" for number in range(40)))
        if what == "grace":
            partition.run(*(Act(name, Action.CANCEL, 10) for name in first))
            partition.tick(NOW + 10)
        else:
            partition.slice(
                "b", Action.KILL, Filter(invocation_ids=first) if what == "ids" else Filter(handlers=("first",))
            )
        assert sum(kind == "START" for _, kind, _ in partition.signals) == 80
        assert max(partition.pages) < 8_000 + 4_000


@pytest.mark.parametrize(("before", "action"), [(Action.PAUSE, Action.RESUME), (Action.KILL, Action.RESTART)])
def test_a_resume_of_large_payloads_takes_no_more_memory_than_a_page(
    before: Action, action: Action, tmp_path: Path
) -> None:
    """And so does a restart: 2,000 rows of 64 KiB are 125 MiB of signals; a page reads and writes 4 MiB of them."""
    partition = Partition(0, tmp_path / "rows.sqlite3")
    with closing(partition.store.db):
        for number in range(2_000):
            invocation = Invocation(_id(number), "s", "h")
            arrival = Invoke(invocation, LATER, encoded=encode_invocation(invocation))
            partition.run(arrival)
        partition.store.db.execute("INSERT INTO payloads SELECT seq, zeroblob(65536) FROM rows")
        partition.slice("before", before, Filter(match_all=True))
        partition.now = LATER
        partition.pages.clear()
        tracemalloc.start()
        try:
            partition.slice("action", action, Filter(match_all=True))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert sum(partition.signals.values()) == 2_000
        assert 30 <= len(partition.pages) <= 40
        assert max(partition.pages) < MAX_BYTES + 2 * 65_536
        assert peak < 4 * MAX_BYTES
