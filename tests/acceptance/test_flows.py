"""Flows of thousands of members on a real broker: all of them end, and `flows` says how many, exactly."""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from streams import codec
from streams.config import Topic
from streams.model import (
    CancelFlow,
    CancelPolicy,
    FlowAction,
    FlowProgress,
    FlowState,
    Invocation,
    Invoke,
    SignalKind,
    Status,
)
from streams.worker.flow_outlet import EVERY_MS
from support.service import oracle
from support.service.workload import DAY_MS, now_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from support.kafka.reading import Entry, TopicReader
    from support.service.harness import Service

FLOW = "checkout-4711"
MEMBERS = int(200_000 * float(os.environ.get("STREAMS_TEST_SCALE", "0.2")) ** 2)
"""8,000 in the usual run."""
LEAST_RATE = 200
"""Members a second, however many tests share the machine. It bounds the wait for many of them; for few it is 300 s."""

pytestmark = [pytest.mark.broker, pytest.mark.timeout(max(600, 3 * MEMBERS / LEAST_RATE))]


def _members(count: int) -> Iterator[Invoke]:
    """Every second one starts at once, the others tomorrow; as many strangers among them."""
    tomorrow = now_ms() + DAY_MS
    for number in range(count):
        scheduled_at = tomorrow if number % 2 else None
        yield Invoke(Invocation(f"m-{number}", "billing", "run", flow_id=FLOW), scheduled_at)
        yield Invoke(Invocation(f"x-{number}", "billing", "run"), scheduled_at)


def _await_flow(service: Service, reader: TopicReader, state: FlowState, members: int) -> FlowProgress:
    """Wait until the flow is in this state with so many members; the numbers of each record add up."""
    deadline = time.monotonic() + max(300, members / LEAST_RATE)
    newest: FlowProgress | None = None
    while newest is None or newest.state is not state or newest.members != members:
        service.require_programs(f"the flow is {newest}")
        assert time.monotonic() < deadline, newest
        for entry in reader.more(0.1):
            found = codec.decode(entry.value or b"")
            assert isinstance(found, FlowProgress)
            newest = found
            assert entry.key == newest.flow_id == FLOW
            assert newest.members == newest.live + newest.pending + newest.ended + newest.kept + newest.failed
    return newest


def _require_pace(entries: Sequence[Entry]) -> None:
    """Up to five records per second, of the worker's clock or of the partition's.

    While a partition that was behind catches up, its clock goes faster than the worker's.
    """
    first = codec.decode(entries[0].value or b"")
    assert isinstance(first, FlowProgress)
    until = entries[-1].timestamp
    passed_ms = (until - entries[0].timestamp) + (until - first.updated_at)
    assert len(entries) <= passed_ms / EVERY_MS + 2


@pytest.mark.parametrize("policy", [CancelPolicy.CANCEL_ALL, CancelPolicy.CANCEL_PENDING])
def test_a_flow_over_all_partitions_ends(
    policy: CancelPolicy, make_service: Callable[..., Service], scale: float
) -> None:
    """Scheduled and started members; strangers stay, each member gets one signal, and the log can be replayed."""
    count, partitions = MEMBERS, 4 if scale < 1 else 8
    service = make_service(partitions)
    service.await_partitions(service.worker("a"), service.worker("b"))
    with service.reader(Topic.FLOWS) as reader:
        service.send_many(_members(count), max(120, count / LEAST_RATE))
        _await_flow(service, reader, FlowState.OPEN, count)
        began = time.monotonic()
        service.send(CancelFlow(FLOW, FlowAction.KILL, policy, reason="customer left", actor="tests"))
        cancelled = _await_flow(service, reader, FlowState.CANCELLED, count)
        took_s = time.monotonic() - began
        kept = 0 if policy is CancelPolicy.CANCEL_ALL else count // 2
        assert (cancelled.ended, cancelled.kept, cancelled.live, cancelled.failed) == (count - kept, kept, 0, 0)
        assert (cancelled.reason, cancelled.actor, cancelled.backlog) == ("customer left", "tests", False)
        _require_pace(reader.entries)
    service.settle()
    table = oracle.fold(service.read(Topic.CHANGELOG))
    statuses = {
        name: Counter(row.status for row in table.rows.values() if row.invocation.invocation_id[0] == name)
        for name in "mx"
    }
    assert statuses["x"] == {Status.READY: count // 2, Status.SCHEDULED: count // 2}
    assert statuses["m"] == ({Status.KILLED: count - kept} | ({Status.READY: kept} if kept else {}))
    signals = oracle.check_signals(service.read(Topic.SIGNALS))
    killed = [number for (_, kind), number in signals.items() if kind is SignalKind.KILL]
    assert killed == [1] * (count // 2 - kept)
    print(f"{count} members over {partitions} partitions: {count / took_s:,.0f} a second")  # noqa: T201
    service.check_flows()
    service.verify()
