"""Flows cancelled while workers are killed and while members join: all members end, and nothing is left of them."""

from __future__ import annotations

import random
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
    FlowState,
    Invocation,
    Invoke,
    Signal,
    SignalKind,
    Status,
)
from support.service import oracle
from support.service.background import Background
from support.service.background_executor import Executor, obliging
from support.service.flow_watch import METRICS, FlowWatch, Gauges, check_reasons, ids_on, kept, quiet, signals_of
from support.service.workload import DAY_MS, now_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streams.model import Record
    from support.service.harness import Service

pytestmark = [pytest.mark.broker, pytest.mark.chaos, pytest.mark.timeout(900)]

FLOWS = [f"flow-{number}" for number in range(50)]
GROUP = 10
"""So many flows are cancelled, then a worker is killed."""
KILLED, OBLIGING, DEAF = "killed", "obliging", "deaf"
MANNERS = (KILLED, OBLIGING, DEAF)
"""Flows that are killed, and that are cancelled: with executors that answer, and with others, until the grace ends."""


def _manner(flow_id: str) -> str:
    return MANNERS[int(flow_id.rpartition("-")[2]) % len(MANNERS)]


def _reason(invocation: Invocation) -> str:
    return f"the end of {invocation.flow_id}"


def _members(each: int) -> Iterator[Invoke]:
    """Of every flow as many, every second one started at once, the others tomorrow."""
    tomorrow = now_ms() + DAY_MS
    for number in range(each):
        for flow_id in FLOWS:
            invocation = Invocation(f"{flow_id}-{number}", _manner(flow_id), "run", flow_id=flow_id)
            yield Invoke(invocation, tomorrow if number % 2 else None)


def _cancel(flow_id: str) -> CancelFlow:
    manner = _manner(flow_id)
    action = FlowAction.KILL if manner == KILLED else FlowAction.CANCEL
    grace_ms = {KILLED: None, OBLIGING: 120_000, DEAF: 2_000}[manner]
    return CancelFlow(flow_id, action, CancelPolicy.CANCEL_ALL, grace_ms, reason=f"the end of {flow_id}")


def _answer(signal: Signal) -> list[Record]:
    return obliging(signal) if signal.invocation.service == OBLIGING else []


def test_workers_killed_at_random_while_fifty_flows_are_cancelled(
    make_service: Callable[..., Service], scale: float
) -> None:
    """Every member ends once, for its flow's reason; the backlog comes and goes, and retention takes the rest."""
    service = make_service(STREAMS_PAGE_BUDGET_MS="0.1", STREAMS_RECONCILE_INTERVAL_MS="1000", **METRICS)
    workers = [service.worker(name) for name in "abc"]
    each, group, chance = int(1_000 * scale**2), GROUP if scale < 1 else 2, random.Random(4711)
    service.send_many(_members(each))
    for worker in workers:
        worker.await_event("partition running")
    with FlowWatch(service) as watch, Gauges(*workers) as gauges, Executor(service, _answer):
        watch.until_each(FLOWS, lambda flow: flow.members == each)
        for first in range(0, len(FLOWS), group):
            service.send_many(map(_cancel, FLOWS[first : first + group]))
            least = each * (first + chance.uniform(0, group * 2 / 3))
            watch.until(lambda flows, least=least: sum(flow.ended for flow in flows.values()) >= least)  # type: ignore[misc]
            victim = chance.choice(workers)
            victim.kill9()
            victim.start()
        ended = watch.until_each(FLOWS, lambda flow: flow.state is FlowState.CANCELLED)
        assert {(flow.members, flow.ended, flow.backlog) for flow in ended} == {(each, each, False)}
        assert {flow.flow_id: flow.reason for flow in ended} == {name: f"the end of {name}" for name in FLOWS}
        gauges.require_risen_and_fallen()
        quiet(service)
    _check_members(service, each)
    service.check_flows()
    service.verify()
    for worker in workers:
        assert worker.terminate() == 0
        worker.start(STREAMS_RETENTION_MS="1", STREAMS_BATCH_RETENTION_MS="60000")
    _await_nothing(service, "i" if scale < 1 else "ifgpbs")
    service.verify()


def _check_members(service: Service, each: int) -> None:
    """All have ended as they must, and every signal was sent as often as it must be."""
    changelog = service.read(Topic.CHANGELOG)
    table = oracle.fold(changelog)
    oracle.check_counts(table)
    assert len(table.rows) == len(FLOWS) * each
    check_reasons(table, _reason)
    statuses = Counter((row.invocation.service, row.attempt, row.status) for row in table.rows.values())
    in_all = {manner: sum(_manner(each) == manner for each in FLOWS) for manner in MANNERS}
    started, waiting = each - each // 2, each // 2
    assert statuses == {
        (KILLED, 0, Status.KILLED): waiting * in_all[KILLED],
        (KILLED, 1, Status.KILLED): started * in_all[KILLED],
        (OBLIGING, 0, Status.CANCELLED): waiting * in_all[OBLIGING],
        (OBLIGING, 1, Status.CANCELLED): started * in_all[OBLIGING],
        (DEAF, 0, Status.CANCELLED): waiting * in_all[DEAF],
        (DEAF, 1, Status.KILLED): started * in_all[DEAF],
    }
    entries = service.read(Topic.SIGNALS)
    oracle.check_signals(entries)
    sent = {kind: signals_of(entries, kind) for kind in SignalKind}
    # An executor's answer may take longer than a worker's restart, and the signal is repeated meanwhile.
    once = Counter(signal.invocation.service for signal in sent[SignalKind.CANCEL] if not signal.repeat)
    assert once == {manner: started * in_all[manner] for manner in (OBLIGING, DEAF)}
    once = Counter(signal.invocation.service for signal in sent[SignalKind.KILL])
    assert once == {manner: started * in_all[manner] for manner in (KILLED, DEAF)}
    stops = sent[SignalKind.CANCEL] + sent[SignalKind.KILL]
    assert all(each.cause is not None and each.cause.reason == _reason(each.invocation) for each in stops)
    assert kept(changelog, "g") == set()
    assert service.read(Topic.DEAD_LETTERS) == []


def _await_nothing(service: Service, kinds: str) -> None:
    """Wait until the table holds nothing of these kinds."""
    deadline = time.monotonic() + 150
    with service.reader(Topic.CHANGELOG) as reader:
        while left := kept(reader.entries, kinds) or not reader.entries:
            assert time.monotonic() < deadline, f"these are left: {left}"
            service.require_programs(f"these are left: {left}")
            reader.more(0.5)


# --- who joins meanwhile -----------------------------------------------------------------------------------------


class _Joining(Background):
    """Members that join a flow, fifty at a time; after a quarter of them the flow is cancelled."""

    def __init__(self, service: Service, count: int, cancel: CancelFlow) -> None:
        super().__init__()
        self.over = False
        self._service = service
        self._count = count
        self._cancel = cancel

    def work(self) -> None:
        """Let all join; every third is to start tomorrow."""
        tomorrow = now_ms() + DAY_MS
        for first in range(0, self._count, 50):
            chunk = range(first, min(first + 50, self._count))
            made = [Invocation(f"m-{each}", OBLIGING, "run", flow_id=self._cancel.flow_id) for each in chunk]
            self._service.send_many(Invoke(each, None if n % 3 else tomorrow) for n, each in enumerate(made))
            if self._count // 4 in chunk:
                self._service.send(self._cancel)
        self.over = True


@pytest.mark.parametrize("action", [FlowAction.KILL, FlowAction.CANCEL])
def test_members_that_join_while_the_flow_is_cancelled(
    action: FlowAction, make_service: Callable[..., Service], scale: float
) -> None:
    """None is left, and on the flow's own partition none that came after the cancel was ever started."""
    service = make_service(STREAMS_PAGE_BUDGET_MS="0.1")
    a, b = service.worker("a"), service.worker("b")
    b.await_event("partition running")
    service.await_partitions(a, b)
    flow_id = next(ids_on({0}, service.partitions, "flow"))
    count = max(1_000, int(10_000 * scale**1.5))
    cancel = CancelFlow(flow_id, action, CancelPolicy.CANCEL_ALL, 60_000, reason=f"the end of {flow_id}")
    with FlowWatch(service) as watch, Executor(service, _answer), _Joining(service, count, cancel) as joining:
        watch.until(lambda flows: flow_id in flows and flows[flow_id].action is action)
        b.kill9()
        b.start()
        watch.until(lambda _: joining.over)
        (flow,) = watch.until_each(
            [flow_id], lambda flow: flow.state is FlowState.CANCELLED and flow.members == count, 300
        )
        assert (flow.ended, flow.backlog) == (count, False)
        log = quiet(service)
    changelog = service.read(Topic.CHANGELOG)
    table = oracle.fold(changelog)
    assert len(table.rows) == count
    check_reasons(table, _reason)
    signals = oracle.check_signals(service.read(Topic.SIGNALS))
    (cancelled_at,) = (
        entry.offset
        for entry in log
        if entry.partition == 0 and isinstance(codec.decode(entry.value or b""), CancelFlow)
    )
    late = {place for place in table.rows if place[0] == 0 and place[1] > cancelled_at}
    assert late, "some are to join the flow on its own partition after the cancel"
    assert not {place for place, _ in signals} & late
    assert kept(changelog, "g") == set()
    service.check_flows()
    service.verify()
