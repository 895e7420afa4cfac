"""The oracle of the tests that need a broker, held against the engine: neither knows the other."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from streams import codec
from streams.engine.answers import PageSizes
from streams.model import TERMINAL, Action, Exclusion, Filter, ReportTransition, StartBatch, Status
from support.effort import examples
from support.kafka.reading import Entry
from support.service import oracle
from support.tables.histories import invoke_any
from support.tables.memory_cluster import MemoryCluster

if TYPE_CHECKING:
    from streams.model import Command

IDS = (*(f"mail/k~{number}" for number in range(4)), *(f"i{number}" for number in range(4)))
FAR = 1_000_000_000

FILTERS = (
    *(Filter(match_all=True), Filter(handlers=("send",)), Filter(invocation_ids=IDS[1:6])),
    *(Filter(labels_in={"tenant": ("gold", "lead")}), Filter(labels={"tenant": "lead"})),
    Filter(match_all=True, exclude=Exclusion(handlers=("send",), labels={"tenant": "gold"})),
    Filter(services=("mail",), exclude=Exclusion(labels_in={"tenant": ("gold", "silver")})),
)
LABELS: tuple[dict[str, str], ...] = ({}, {"tenant": "gold"}, {"tenant": "silver"}, {"tenant": "lead", "of": "gold"})
REPORTED = (Status.RUNNING, Status.SUSPENDED, Status.COMPLETED)
ACTIONS = (*Action, Action.PAUSE, Action.RESUME)


def _history(seed: int, commands: int) -> list[Command]:
    random = Random(seed)
    return [_command(random, str(number)) for number in range(commands)]


def _command(random: Random, name: str) -> Command:
    invocation_id = random.choice(IDS)
    match random.randrange(6):
        case 0 | 1:
            handler, scheduled_at = random.choice(("send", "receive")), random.choice((None, FAR))
            labels = random.choice(LABELS)
            return invoke_any(invocation_id, scheduled_at=scheduled_at, adopt=False, handler=handler, labels=labels)
        case 2:
            return invoke_any(invocation_id, scheduled_at=None, adopt=True)
        case 3:
            return ReportTransition(invocation_id, random.randint(1, 3), to=random.choice(REPORTED))
        case _:
            return StartBatch(name, random.choice(ACTIONS), random.choice(FILTERS), random.random() < 0.2)


histories = st.builds(_history, st.integers(0, 2**32), st.sampled_from((10, 60)))


@settings(max_examples=examples(100), deadline=None)
@given(histories, st.integers(1, 3))
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
