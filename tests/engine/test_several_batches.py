"""Several batches at once on the same rows: each row is ended by one of them, and each gets its turn."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.engine.answers import PageSizes
from streams.model import (
    Action,
    BatchState,
    ContinueSlice,
    Filter,
    OnTimeout,
    ReportTransition,
    SignalKind,
    StartBatch,
    Status,
)
from support.effort import examples
from support.tables.memory_cluster import MemoryCluster, invoke

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.engine.effects import Effect

ALL = Filter(match_all=True)
ROWS = 24
IDS = tuple(f"i{number}" for number in range(ROWS))
KILL, CANCEL = Action.KILL, Action.CANCEL
ENDED_BY_A_BATCH = {Status.KILLED, Status.CANCELLED}


class Turns(MemoryCluster):
    """A cluster that notes whose page came when on each partition, and who had pages to do then."""

    def __init__(self, partitions: int = 1, page_sizes: PageSizes = PageSizes(5, 5)) -> None:  # noqa: B008 - a tuple
        super().__init__(partitions, page_sizes)
        self.pages: list[list[str]] = [[] for _ in range(partitions)]
        self.running: list[list[Sequence[str]]] = [[] for _ in range(partitions)]

    def step(self, partition: int) -> list[Effect]:
        """Apply the partition's next command."""
        _, command = self.logs[partition][self.applied[partition]]
        if isinstance(command, ContinueSlice):
            self.pages[partition].append(command.batch_id)
            self.running[partition].append(self.tables[partition].running_slices())
        return super().step(partition)


batches = st.lists(
    st.builds(
        StartBatch,
        st.just("b"),
        st.sampled_from([KILL, KILL, CANCEL]),
        st.sampled_from(
            [ALL, Filter(services=("mail",)), Filter(statuses=(Status.READY,)), Filter(invocation_ids=IDS[::3])]
        ),
        limit=st.none() | st.integers(1, 9),
        max_rate=st.sampled_from([None, None, 20.0]),
        grace_ms=st.sampled_from([0, 5_000, 20_000]),
        on_timeout=st.sampled_from(OnTimeout),
        reason=st.none(),
    ),
    min_size=2,
    max_size=20,
)
answers = st.lists(st.tuples(st.sampled_from(IDS), st.sampled_from([Status.CANCELLED, Status.COMPLETED])), max_size=9)


@settings(max_examples=examples(80), deadline=None)
@given(batches, answers, st.integers(1, 3), st.lists(st.integers(0, 2), max_size=40))
def test_each_invocation_is_ended_by_exactly_one_batch(
    starts: list[StartBatch], ends: list[tuple[str, Status]], partitions: int, steps: list[int]
) -> None:
    """What a batch says it has done is what the table says that it ended, whatever the others were at meanwhile."""
    cluster = MemoryCluster(partitions, PageSizes(3, 2))
    cluster.run(*(invoke(name, service=("mail", "bill")[n % 2]) for n, name in enumerate(IDS)))
    numbered = [_named(start, number) for number, start in enumerate(starts)]
    cluster.send(*numbered, *(ReportTransition(name, 1, to=to) for name, to in ends))
    for step in steps:
        if waiting := cluster.waiting():
            cluster.step(waiting[step % len(waiting)])
    for _ in range(12):
        cluster.tick(after_ms=5_000)
    ended = Counter(
        row.ending.cause.batch_id
        for table in cluster.tables
        for row in table.rows.values()
        if row.status in ENDED_BY_A_BATCH and row.ending is not None and row.ending.cause.batch_id is not None
    )
    for start in numbered:
        total = cluster.total(start.batch_id)
        assert cluster.batch(start.batch_id).state is BatchState.COMPLETED
        assert total["matched"] == total["done"] + total["skipped"] + total["failed"]
        assert total["done"] == ended[start.batch_id]


def _named(start: StartBatch, number: int) -> StartBatch:
    fields = {name: getattr(start, name) for name in start.__struct_fields__}
    return StartBatch(**(fields | {"batch_id": f"b{number}"}))


def test_twenty_kills_of_the_same_rows_share_them() -> None:
    """Every row is killed once and counted once, by whichever came first; nobody skips what it never saw alive."""
    cluster = MemoryCluster(4, PageSizes(7, 3))
    cluster.run(*(invoke(f"i{number}") for number in range(400)))
    cluster.run(*(StartBatch(f"b{number}", KILL, ALL) for number in range(20)))
    totals = [cluster.total(f"b{number}") for number in range(20)]
    assert sum(total["done"] for total in totals) == 400
    assert all(total["matched"] == total["done"] for total in totals)
    assert sum(total["done"] > 0 for total in totals) > 1, "none has the table to itself"
    assert Counter(send.kind for _, send in cluster.signals)[SignalKind.KILL] == 400


def test_a_small_batch_does_not_wait_for_a_large_one() -> None:
    """It is over after as many pages of the others as it has itself, however much these have to do."""
    cluster = Turns()
    cluster.run(*(invoke(f"i{number}", service="bill") for number in range(1_000)))
    cluster.run(*(invoke(f"small{number}") for number in range(20)))
    ids = tuple(f"small{number}" for number in range(20))
    cluster.send(StartBatch("large", CANCEL, Filter(services=("bill",))))
    while len(cluster.pages[0]) < 10:
        cluster.step(0)
    cluster.send(StartBatch("small", KILL, Filter(invocation_ids=ids)))
    while not (slices := cluster.slices("small")) or slices[0].state != "COMPLETED":
        cluster.step(0)
    assert cluster.pages[0].count("small") == 4
    assert cluster.pages[0].count("large") <= 10 + 3 + 4, "one for each of its own, and those before it began"
    assert cluster.slices("large")[0].state == "RUNNING"


@given(st.lists(st.integers(1, 12), min_size=2, max_size=20))
def test_pages_go_round(sizes: list[int]) -> None:
    """Between two pages of a batch, every other one that has pages to do all the while has exactly one."""
    cluster = Turns(page_sizes=PageSizes(1_000, 1))
    for number, size in enumerate(sizes):
        cluster.run(*(invoke(f"{number}-{row}", service=f"s{number}") for row in range(size)))
    cluster.run(*(StartBatch(f"b{number}", KILL, Filter(services=(f"s{number}",))) for number in range(len(sizes))))
    pages = cluster.pages[0]
    assert len(pages) >= sum(sizes)
    turns: dict[str, int] = {}
    for at, name in enumerate(pages):
        if name in turns:
            between = range(turns[name] + 1, at)
            others = set[str].intersection(*(set(cluster.running[0][each]) for each in (turns[name], *between, at)))
            had = Counter(pages[each] for each in between)
            assert all(had[other] == 1 for other in others - {name})
        turns[name] = at
