"""Random lives of flows and children: at rest, every flow says of its members what their rows say."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import pytest

from streams.engine.effects import PutFlow
from streams.engine.flows import counts_as, ends_all, exempt, known_as, state_of
from streams.engine.lifecycle import stands_at
from streams.model import (
    STARTED,
    TERMINAL,
    CancelPolicy,
    Flow,
    FlowState,
    JoinFlow,
    Member,
    MemberEnded,
    MemberState,
    Row,
    Status,
)
from support.effort import examples
from support.tables.flow_lives import Life
from support.tables.memory_cluster import MemoryCluster

if TYPE_CHECKING:
    from streams.engine.answers import PageSizes
    from streams.engine.effects import Effect
    from support.tables.memory_table import MemoryTable

NUMBERS = ("live", "pending", "kept", "failed")
Name = tuple[bool, str]
Place = tuple[int, int]


class Watched(MemoryCluster):
    """A cluster that holds each state of a flow against its members, as far as it has heard of them."""

    def __init__(self, partitions: int, page_sizes: PageSizes) -> None:
        super().__init__(partitions, page_sizes)
        self.joined: defaultdict[Name, set[Place]] = defaultdict(set)

    def step(self, partition: int) -> list[Effect]:
        """Apply the next command; then look at its flow."""
        _, command = self.logs[partition][self.applied[partition]]
        effects = super().step(partition)
        if isinstance(command, JoinFlow | MemberEnded):
            places = {(command.member_partition, seq) for seq in command.seqs}
            known = self.joined[command.children, command.flow_id]
            known.update(places) if isinstance(command, JoinFlow) else known.difference_update(places)
        for name in {(each.flow.children, each.flow.flow_id) for each in effects if isinstance(each, PutFlow)}:
            self._look_at(name, self.tables[partition])
        return effects

    def _look_at(self, name: Name, table: MemoryTable) -> None:
        flow = table.flows.get(name)
        if flow is None:
            return
        entries = {key[2:]: entry for key, entry in table.entries.items() if key[:2] == name}
        counts = Counter[str](counts_as(flow, each) for each in entries.values())
        assert {number: counts[number] for number in NUMBERS} == {number: getattr(flow, number) for number in NUMBERS}
        if not ends_all(flow) or state_of(flow) is not FlowState.CANCELLED:
            return
        for place in self.joined[name]:
            if place not in entries or not exempt(flow, entries[place]):
                row = next((each for each in self.tables[place[0]].rows.values() if each.seq == place[1]), None)
                assert row is None or row.status in TERMINAL, f"{name} is CANCELLED, and {row.invocation_id} lives"


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
    counts = Counter[str](counts_as(flow, entry) for entry in entries.values())
    assert {number: counts[number] for number in NUMBERS} == {number: getattr(flow, number) for number in NUMBERS}
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
    """Whatever happens, in whatever order: numbers and rows agree, and nobody whom a cancel reaches lives on.

    At each step numbers are those of the entries, and no flow is CANCELLED before all whom it knows have ended.
    """
    life = Life(seed, Watched)
    life.live(40 + seed % 60)
    members = living_members(life.world)
    for table in life.world.tables:
        for (children, flow_id), flow in table.flows.items():
            name = (children, flow_id)
            entries = {key[2:]: entry for key, entry in table.entries.items() if key[:2] == name}
            check(flow, entries, members.pop(name, {}), life.world.partitions)
    assert not members
