"""The oracle of the tests that need a broker, held against the engine: neither knows the other."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from streams import codec
from streams.engine.view import PageSizes
from streams.model import Action, Filter, ReportTransition, StartBatch, Status
from streams.rules import TERMINAL
from support import oracle
from support.memory_cluster import MemoryCluster, invoke
from support.reading import Entry

if TYPE_CHECKING:
    from streams.model import Command

IDS = tuple(f"i{number}" for number in range(6))
FAR = 1_000_000_000

invokes = st.builds(
    invoke,
    st.sampled_from(IDS),
    service=st.sampled_from(("mail", "pay")),
    scheduled_at=st.sampled_from((None, FAR)),
)
adopted = st.builds(invoke, st.sampled_from(IDS), adopt=st.just(value=True))
reports = st.builds(
    ReportTransition,
    st.sampled_from(IDS),
    attempt=st.integers(1, 3),
    to=st.sampled_from((Status.RUNNING, Status.COMPLETED)),
)
filters = st.sampled_from((Filter(match_all=True), Filter(services=("mail",)), Filter(invocation_ids=IDS[:3])))
batches = st.builds(
    StartBatch,
    st.integers(0, 10**9).map(str),
    st.sampled_from(Action),
    filters,
    dry_run=st.sampled_from((False, False, True)),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(invokes | adopted | reports | batches, max_size=40), st.integers(1, 3))
def test_the_oracle_and_the_engine_always_say_the_same(history: list[Command], partitions: int) -> None:
    """Rows, signals and what each batch matched, for every action, over the log that the engine has written."""
    cluster = MemoryCluster(partitions, PageSizes(3, 2))
    for command in history:
        if not isinstance(command, ReportTransition) or any(command.invocation_id in t.rows for t in cluster.tables):
            cluster.run(command)
    said = oracle.predict(
        Entry(partition, offset, now, "", codec.encode(command), {})
        for partition, log in enumerate(cluster.logs)
        for offset, (now, command) in enumerate(log)
    )
    rows = {(p, row.seq): row for p, table in enumerate(cluster.tables) for row in table.rows.values()}
    assert {place: (row.status, row.paused_from, row.attempt) for place, row in rows.items()} == {
        place: (row.status, row.paused_from, row.attempt) for place, row in said.rows.items()
    }
    ended = {place: row.ending and row.ending.cause.batch_id for place, row in rows.items() if row.status in TERMINAL}
    assert ended == {place: row.ended_by for place, row in said.rows.items() if row.status in TERMINAL}
    sent = Counter(((partition, send.seq), send.kind) for partition, send in cluster.signals)
    known = said.rows | said.purged
    assert sent == Counter((place, kind) for place, row in known.items() for kind in row.signals)
    for batch_id, matched in said.matched.items():
        found = {p: table.slices[batch_id].matched for p, table in enumerate(cluster.tables)}
        assert found == {p: matched[p] for p in range(partitions)}
