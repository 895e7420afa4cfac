"""The oracle of flows, held against a worker that lives with flows: it is blind to the engine, and yet agrees."""

from __future__ import annotations

from functools import cache
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from streams import codec
from streams.config import Topic
from streams.model import Flow, FlowProgress, FlowState, Invocation, JoinFlow, Member, Signal, Status
from support.effort import examples
from support.kafka.reading import Entry
from support.reference.beside.life import Life
from support.reference.beside.world import WorkerWorld
from support.service import oracle, oracle_flows
from support.service.worker_world import PARTITIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.model import Record
    from support.service.worker_world import World

    Records = dict[Topic, list[Entry]]

TOPICS = (Topic.COMMANDS, Topic.CHANGELOG, Topic.SIGNALS, Topic.FLOWS)


@cache
def _lived(seed: int) -> Records:
    """The records of a life with flows that has come to rest, its last states published."""
    cluster = WorkerWorld()
    life = Life(cluster, grouped=True)
    try:
        life.go_on(Random(seed), 60)
        cluster.finish(life.batches)
        cluster.now += 1_000
        cluster.settle()
        return {topic: _entries(cluster.world, topic) for topic in TOPICS}
    finally:
        cluster.close()


def _entries(world: World, topic: Topic) -> list[Entry]:
    return [
        Entry(partition, record.offset, record.timestamp[1], (record.key or b"").decode(), record.value, {})
        for partition in range(PARTITIONS)
        for record in world.cluster.records(world.settings.topic(topic), partition)
    ]


def _check(records: Records) -> None:
    log, changelog, signals, flows = (records[topic] for topic in TOPICS)
    oracle_flows.check_flows(log, changelog, signals, flows)
    oracle.check_signals(signals)


@pytest.mark.parametrize("seed", range(examples(6)))
def test_the_oracle_agrees_with_a_worker(seed: int) -> None:
    """After a life with flows, parents, batches and ticks."""
    _check(_lived(seed))


def _changed(topic: Topic, kind: type[Record], change: Callable[[Any], Record | None]) -> Records:
    """The records of a life, the last one of a kind that says something changed, or left out."""
    records = dict(_lived(0))
    for place, entry in reversed(list(enumerate(records[topic]))):
        record = None if entry.value is None else codec.decode(entry.value)
        if isinstance(record, kind) and (new := change(record)) is not record:
            put = [] if new is None else [entry._replace(value=codec.encode(new))]
            records[topic] = [*records[topic][:place], *put, *records[topic][place + 1 :]]
            return records
    raise AssertionError(f"no {kind.__name__} to change")


def _with_flow(record: Any) -> bool:
    return record.cause is not None and record.cause.flow_id == record.invocation.flow_id is not None


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: _changed(Topic.CHANGELOG, Flow, lambda flow: flow if flow.children else replace(flow, ended=9)),
        lambda: _changed(Topic.CHANGELOG, Flow, lambda flow: replace(flow, live=flow.live + 1)),
        lambda: _changed(Topic.CHANGELOG, Flow, lambda flow: replace(flow, due_at=1)),
        lambda: _changed(Topic.CHANGELOG, Member, lambda _: None),
        lambda: _changed(Topic.FLOWS, FlowProgress, lambda flow: replace(flow, ended=flow.ended + 1)),
        lambda: _changed(Topic.FLOWS, FlowProgress, lambda _: None),
        lambda: _changed(Topic.FLOWS, FlowProgress, lambda flow: replace(flow, state=FlowState.CANCELLING)),
        lambda: _changed(
            Topic.SIGNALS,
            Signal,
            lambda sent: replace(sent, cause=replace(sent.cause, reason="?")) if _with_flow(sent) else sent,
        ),
        lambda: _changed(
            Topic.COMMANDS, JoinFlow, lambda join: join if join.children else replace(join, seqs=(*join.seqs, 9_999))
        ),
    ],
)
def test_the_oracle_sees_what_is_wrong(wrong: Callable[[], Records]) -> None:
    """One record of the run is another, or missing."""
    with pytest.raises(AssertionError, match=r".+"):
        _check(wrong())


def test_the_oracle_reads_rows_once_however_many_flows_there_are() -> None:
    """A tree of a hundred thousand has as many flows as parents."""

    class Counted(dict[Any, Any]):
        reads = 0

        def items(self) -> Any:
            self.reads += 1
            return super().items()

    rows = Counted()
    for number in range(50):
        of = Invocation(f"c{number}", "mail", "send", parent_id=f"p{number}")
        rows[0, number] = oracle.Folded(of, Status.READY, 1, *(None,) * 6)
    flows = {(True, f"p{number}"): Flow(f"p{number}", True, 1, 1, 1, live=1) for number in range(50)}
    found = oracle_flows.Flows(rows, flows=flows)
    for number in range(50):
        found.entries[True, f"p{number}"][0, number] = Member()
    oracle_flows.check_members(found)
    oracle_flows.check_reach(found)
    assert rows.reads == 1
