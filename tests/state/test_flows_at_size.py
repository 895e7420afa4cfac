"""Flows at the sizes that the protocol names; smaller in the usual run, in full with STREAMS_TEST_SCALE=1."""

from __future__ import annotations

import os
from contextlib import closing

import pytest

from streams.engine.answers import PageSizes
from streams.model import (
    Act,
    Action,
    CancelFlow,
    CancelPolicy,
    FlowAction,
    ReportTransition,
    SignalKind,
    Status,
)
from support.tables.memory_cluster import RETENTION_MS, invoke
from support.tables.table_cluster import TableCluster

SCALE = float(os.environ.get("STREAMS_TEST_SCALE", "0.01"))
PARTITIONS = 4
SIZES = PageSizes(1_000, 1_000)
AT_ONCE = 1_000

pytestmark = pytest.mark.timeout(1_800)


def test_a_chain_of_live_links_ends_with_its_root() -> None:
    """200,000 links: each is one small order, no command has more effects than a few, and nothing is left of flows."""
    links = int(200_000 * min(SCALE, 1))
    with closing(TableCluster(PARTITIONS, SIZES)) as world:
        for first in range(0, links, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, links))
            world.run(*(invoke(f"l{n}", parent_id=f"l{n - 1}" if n else None) for n in numbers))
        assert (world.count("flows"), world.count("members")) == (links - 1, links - 1)
        world.kinds.clear()
        world.most_effects = 0
        world.run(Act("l0", Action.KILL))
        assert world.statuses() == {Status.KILLED: links}
        assert world.signals[SignalKind.KILL] == links
        assert (world.count("flows"), world.count("members"), world.entries) == (0, 0, set())
        assert dict(world.kinds) == {"Act": 1, "ActMembers": links - 1, "MemberEnded": links - 1}
        assert world.most_effects <= 8


def test_a_flow_that_lives_through_a_million_invocations_keeps_numbers_alone() -> None:
    """No entry of those that have ended, in the table as in what compaction keeps; rows go with retention."""
    members = int(1_000_000 * min(SCALE, 1))
    with closing(TableCluster(PARTITIONS, SIZES)) as world:
        for first in range(0, members, AT_ONCE):
            names = [f"i{n}" for n in range(first, min(first + AT_ONCE, members))]
            world.run(*(invoke(name, flow_id="f") for name in names))
            assert world.count("members") == len(world.entries) == len(names)
            world.run(*(ReportTransition(name, 1, to=Status.COMPLETED) for name in names))
            assert world.count("members") == len(world.entries) == 0
            world.tick(RETENTION_MS // 4)
            assert world.count("rows") <= 5 * AT_ONCE
        (flow,) = [found for table in world.tables if (found := table.flow("f", children=False))]
        assert (flow.live, flow.ended) == (0, members)
        world.run(CancelFlow("f", FlowAction.KILL, CancelPolicy.CANCEL_ALL), invoke("late", flow_id="f"))
        assert (world.count("members"), world.entries) == (0, set())
        world.tick(8 * RETENTION_MS)
        assert (world.count("flows"), world.count("rows")) == (0, 0)


def test_ten_cancels_at_once_of_a_large_flow_are_one_dispatch() -> None:
    """50,000 members are asked by as many pages and orders as after one cancel, and once."""
    members = int(50_000 * min(SCALE, 1))
    kinds = []
    for cancels in (1, 10):
        with closing(TableCluster(PARTITIONS, SIZES)) as world:
            world.run(*(invoke(f"i{n}", flow_id="f") for n in range(members)))
            world.kinds.clear()
            world.run(
                *(CancelFlow("f", FlowAction.KILL, CancelPolicy.CANCEL_ALL, reason=f"{n}") for n in range(cancels))
            )
            assert world.signals[SignalKind.KILL] == members
            assert world.kinds.pop("CancelFlow") == cancels
            kinds.append(world.kinds)
    assert kinds[0] == kinds[1]
