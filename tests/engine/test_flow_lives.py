"""Random lives of flows and children: at rest, every flow says of its members what their rows say."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import pytest

from streams.engine.flows import counts_as, ends_all, exempt, known_as
from streams.engine.lifecycle import stands_at
from streams.model import (
    STARTED,
    TERMINAL,
    CancelPolicy,
    Flow,
    Member,
    MemberState,
    Row,
    Status,
)
from support.effort import examples
from support.tables.flow_lives import Life

if TYPE_CHECKING:
    from support.tables.memory_cluster import MemoryCluster

Name = tuple[bool, str]
Place = tuple[int, int]


def living_members(world: MemoryCluster) -> dict[Name, dict[Place, Row]]:
    """The rows that have not ended, by flow and by partition and seq."""
    found: defaultdict[Name, dict[Place, Row]] = defaultdict(dict)
    for partition, table in enumerate(world.tables):
        for row in table.rows.values():
            if row.status in TERMINAL:
                continue
            if row.flow_id is not None:
                found[False, row.flow_id][partition, row.seq] = row
            if row.parent_id is not None:
                found[True, row.parent_id][partition, row.seq] = row
    return found


def check(flow: Flow, entries: dict[Place, Member], rows: dict[Place, Row], partitions: int) -> None:
    """The flow, its members' entries and their rows agree."""
    assert set(entries) == set(rows)
    counts = Counter[str]({"live": 0, "pending": 0, "kept": 0, "failed": 0})
    counts.update(counts_as(flow, entry) for entry in entries.values())
    assert counts == {number: getattr(flow, number) for number in counts}
    known = {place: known_as(flow, entry) for place, entry in entries.items()}
    asked = Counter(partition for (partition, _), state in known.items() if state is MemberState.ASKED)
    assert [asked[partition] for partition in range(partitions)] == list(flow.asked or (0,) * partitions)
    assert (flow.due_at is None) == (flow.pending == 0)
    assert flow.restarted == sum(exempt(flow, entry) for entry in entries.values())
    for place, entry in entries.items():
        row = rows[place]
        assert not row.held
        if exempt(flow, entry):
            continue
        if ends_all(flow):
            assert row.status is Status.CANCELLING or known[place] is MemberState.FAILED
        elif flow.policy is CancelPolicy.CANCEL_PENDING:
            assert stands_at(row) in STARTED


@pytest.mark.parametrize("seed", range(examples(240)))
def test_flows_say_what_rows_say(seed: int) -> None:
    """Whatever happens, in whatever order: numbers and rows agree, and nobody whom a cancel reaches lives on."""
    life = Life(seed)
    life.live(40 + seed % 60)
    members = living_members(life.world)
    for table in life.world.tables:
        for (children, flow_id), flow in table.flows.items():
            name = (children, flow_id)
            entries = {key[2:]: entry for key, entry in table.entries.items() if key[:2] == name}
            check(flow, entries, members.pop(name, {}), life.world.partitions)
    assert not members
