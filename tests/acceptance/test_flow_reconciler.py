"""The cancel reconciler on a real broker: members that nobody answers for, and those that refuse to end."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
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
    MemberEnded,
    OnTimeout,
    SignalKind,
    Status,
)
from support.service import oracle
from support.service.flow_watch import (
    METRICS,
    FlowWatch,
    Gauges,
    check_reasons,
    ids_on,
    kept,
    quiet,
    shared,
    signals_of,
)
from support.service.programs import Program
from support.service.workload import DAY_MS, now_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from streams.model import FlowProgress
    from support.kafka.reading import Entry, TopicReader
    from support.service.harness import Service

pytestmark = [pytest.mark.broker, pytest.mark.timeout(600)]

SUPPORT = Path(__file__).parents[1] / "support" / "service"
INTERVAL_MS = 3_000
STUCK = 60
EACH = 4
"""Members of a flow."""
NEVER_MS = DAY_MS


def _deaf_worker(service: Service) -> Program:
    """Worker `a`, but orders of flows are dead letters to it."""
    worker = service.worker("a", start=False)
    worker._args = [sys.executable, str(SUPPORT / "deaf_worker.py"), "worker"]
    worker.start()
    return worker


def _healed(service: Service, interval_ms: int) -> Program:
    """Worker `a` once more, as it should be."""
    assert service.programs["a"].terminate() == 0
    return service.worker("a", STREAMS_RECONCILE_INTERVAL_MS=str(interval_ms))


def _members(flow_ids: Collection[str], on: Collection[int], of: int) -> Iterator[Invoke]:
    """Of each flow as many, on these partitions; every second one started at once, the others tomorrow."""
    tomorrow = now_ms() + DAY_MS
    for flow_id in flow_ids:
        ids = ids_on(on, of, f"m-{flow_id}")
        for number in range(EACH):
            yield Invoke(Invocation(next(ids), "billing", "run", flow_id=flow_id), tomorrow if number % 2 else None)


def _kill(flow_id: str) -> CancelFlow:
    return CancelFlow(flow_id, FlowAction.KILL, CancelPolicy.CANCEL_ALL, reason=f"the end of {flow_id}")


def _took_ms(log: list[Entry], flow_id: str) -> int:
    """From the cancel of a flow to the end of its last member, by the broker's clock."""
    of_flow = [
        (entry.timestamp, record)
        for entry in log
        if isinstance(record := codec.decode(entry.value or b""), CancelFlow | MemberEnded)
        and record.flow_id == flow_id
    ]
    (began,) = (at for at, record in of_flow if isinstance(record, CancelFlow))
    return max(at for at, record in of_flow if isinstance(record, MemberEnded)) - began


def _done(flow: FlowProgress) -> bool:
    return flow.state is FlowState.CANCELLED and flow.ended == flow.members


def _check_all_killed(service: Service, members: int) -> None:
    """Each member was killed for its flow's reason, with one signal where it had started; no flow knows it longer."""
    quiet(service)
    changelog = service.read(Topic.CHANGELOG)
    table = oracle.fold(changelog)
    assert Counter(row.status for row in table.rows.values()) == {Status.KILLED: members}
    check_reasons(table, lambda invocation: f"the end of {invocation.flow_id}")
    signals = oracle.check_signals(service.read(Topic.SIGNALS))
    assert Counter(kind for _, kind in signals) == dict.fromkeys((SignalKind.START, SignalKind.KILL), members // 2)
    assert set(signals.values()) == {1}
    assert kept(changelog, "g") == set()
    service.check_flows()
    service.verify()


def test_flows_whose_orders_are_lost_do_not_hold_up_another(make_service: Callable[..., Service]) -> None:
    """Sixty flows of one partition get no answer; a sixty-first, whose first order is lost, is done all the same.

    Once a worker takes the orders, the others end, too.
    """
    service = make_service(STREAMS_RECONCILE_INTERVAL_MS=str(INTERVAL_MS), **METRICS)
    of = service.partitions
    stuck = [next(ids_on({0}, of, f"stuck-{number}")) for number in range(STUCK)]
    late = next(ids_on({0}, of, "late"))
    service.send_many(_members(stuck, range(of), of))
    service.send_many(_members([late], {1}, of))
    worker = _deaf_worker(service)
    with FlowWatch(service) as watch:
        watch.until_each([*stuck, late], lambda flow: flow.members == EACH)
        with Gauges(worker) as gauges:
            service.send_many(map(_kill, stuck))
            service.send(_kill(late))
            watch.until_each([late], _done)
            assert all(flow.backlog and flow.pending == EACH for flow in map(watch.newest.__getitem__, stuck))
            assert gauges.most["members"] >= STUCK * EACH
        # It is due after one interval, waits for a turn of the reconciler behind fifty, and gets the next.
        took_ms = _took_ms(service.settle(), late)
        assert INTERVAL_MS <= took_ms < 3 * INTERVAL_MS
        refused = Counter(entry.headers["error-code"] for entry in service.read(Topic.DEAD_LETTERS))
        assert refused.keys() == {"refused"}
        assert refused["refused"] > STUCK
        worker = _healed(service, INTERVAL_MS)
        gauges = Gauges(worker)
        with gauges:
            watch.until_each(stuck, _done)
            gauges.require_risen_and_fallen()
    _check_all_killed(service, (STUCK + 1) * EACH)


def test_without_the_reconciler_members_stay(make_service: Callable[..., Service]) -> None:
    """An order that is lost is sent by nobody else, and by the reconciler as soon as there is one."""
    service = make_service(STREAMS_RECONCILE_INTERVAL_MS=str(NEVER_MS))
    flow_id = next(ids_on({0}, service.partitions, "stuck"))
    service.send_many(_members([flow_id], {2}, service.partitions))
    _deaf_worker(service)
    with FlowWatch(service) as watch:
        watch.until_each([flow_id], lambda flow: flow.members == EACH)
        service.send(_kill(flow_id))
        watch.until_each([flow_id], lambda flow: flow.pending == EACH)
        quiet(service)
        worker = _healed(service, NEVER_MS)
        service.await_partitions(worker)
        service.send(_kill(flow_id))  # once more is no other cancel
        quiet(service)
        assert watch.look()[flow_id].pending == EACH
        _healed(service, 100)
        watch.until_each([flow_id], _done)
    _check_all_killed(service, EACH)


@pytest.mark.chaos
def test_flows_with_members_on_a_partition_that_nobody_serves(make_service: Callable[..., Service]) -> None:
    """Sixty flows wait for it; a good one ends at once, and of one flow the half that is served. Then all end."""
    service = make_service(STREAMS_RECONCILE_INTERVAL_MS=str(INTERVAL_MS), **METRICS)
    # For so long the partitions of a worker that is killed are nobody's.
    a, b = service.worker("a"), service.worker("b", STREAMS_SESSION_TIMEOUT_MS="30000")
    owned, of = shared(service, a, b), service.partitions
    served, silent = owned["a"], owned["b"]
    stuck = [next(ids_on(served, of, f"stuck-{number}")) for number in range(STUCK)]
    half, good = (next(ids_on(served, of, name)) for name in ("half", "good"))
    service.send_many([*_members(stuck, silent, of), *_members([good], served, of)])
    service.send_many([*_members([half], served, of), *_members([half], silent, of)])
    with FlowWatch(service) as watch, Gauges(a) as gauges:
        watch.until_each([*stuck, good], lambda flow: flow.members == EACH)
        watch.until_each([half], lambda flow: flow.members == 2 * EACH)
        service.settle()
        b.kill9()
        service.send_many(map(_kill, [*stuck, half, good]))
        watch.until_each([good], _done)
        watch.until_each([half], lambda flow: flow.pending == EACH)
        # Each is asked again, for nothing.
        watch.until_each(stuck, lambda flow: flow.pending == EACH and (flow.next_due_at or 0) > flow.created_at)
        with service.reader(Topic.COMMANDS) as log:
            assert _took_ms(log.to_end(), good) < 2 * INTERVAL_MS
        b.start()
        watch.until_each([*stuck, half], _done)
        gauges.require_risen_and_fallen()
    _check_all_killed(service, (STUCK + 3) * EACH)


# --- those that refuse -------------------------------------------------------------------------------------------

OBEYING, REFUSING, DEAF, LATER = 6, 6, 2, 4
MEMBERS = OBEYING + REFUSING + DEAF + LATER


def _refusing_members(flow_id: str) -> Iterator[Invoke]:
    """Members whose handlers stop, whose work is away and refuses to stop, that never hear, and that start tomorrow."""
    kinds = {"slow": OBEYING, "away": REFUSING, "deaf": DEAF, "sync": LATER}
    for handler, count in kinds.items():
        scheduled_at = now_ms() + DAY_MS if handler == "sync" else None
        for number in range(count):
            yield Invoke(Invocation(f"{handler}-{number}", "billing", handler, flow_id=flow_id), scheduled_at)


def _executor(service: Service) -> Path:
    """Start an executor; returns its file of notes."""
    notes = service.folder / "notes"
    executor = Program("executor", [], service.folder, service.environment)
    executor._args = [sys.executable, str(SUPPORT / "executor_program.py"), str(notes)]
    service.programs["executor"] = executor
    executor.start()
    return notes


def _statuses(rows: TopicReader) -> Counter[tuple[str, Status]]:
    """Rows by handler and status."""
    rows.more()
    return Counter((row.invocation.handler, row.status) for row in oracle.fold(rows.entries).rows.values())


def _cancels(service: Service) -> Counter[str]:
    """CANCEL signals by handler and `repeat`."""
    signals = signals_of(service.read(Topic.SIGNALS), SignalKind.CANCEL)
    return Counter(f"{each.invocation.handler} {each.repeat}" for each in signals)


def test_members_left_by_their_grace_are_listed_and_asked_again(make_service: Callable[..., Service]) -> None:
    """LEAVE: failures are named; the same cancel asks those again, and the executor tries once more to stop them."""
    service = make_service()
    service.worker("a")
    notes = _executor(service)
    service.send_many(_refusing_members("left"))
    cancel = CancelFlow("left", FlowAction.CANCEL, CancelPolicy.CANCEL_ALL, 3_000, OnTimeout.LEAVE, "the end of left")
    with FlowWatch(service) as watch, service.reader(Topic.CHANGELOG) as rows:
        begun = {
            ("slow", Status.RUNNING): OBEYING,
            ("away", Status.SUSPENDED): REFUSING,
            ("deaf", Status.RUNNING): DEAF,
        }
        watch.until(lambda _: begun.items() <= _statuses(rows).items())
        service.send(cancel)
        (left,) = watch.until_each(["left"], lambda flow: flow.state is FlowState.PARTIALLY_CANCELLED)
        assert (left.ended, left.failed, left.members, left.backlog) == (
            OBEYING + LATER,
            REFUSING + DEAF,
            MEMBERS,
            False,
        )
        names = {f"away-{number}" for number in range(REFUSING)}, {f"deaf-{number}" for number in range(DEAF)}
        assert sorted(left.failures) == sorted(names[0] | names[1])
        assert _cancels(service) == {"slow 0": OBEYING, "away 0": REFUSING, "deaf 0": DEAF}
        notes.with_suffix(".yield").touch()
        service.send(cancel)
        (left,) = watch.until_each(
            ["left"], lambda flow: flow.state is FlowState.PARTIALLY_CANCELLED and flow.failed == DEAF
        )
        assert set(left.failures) == names[1]
        assert (left.ended, left.reason) == (MEMBERS - DEAF, "the end of left")
        asked_again = {"away 1": REFUSING, "deaf 1": DEAF}
        assert _cancels(service) == {"slow 0": OBEYING, "away 0": REFUSING, "deaf 0": DEAF, **asked_again}

        service.send(_kill("left"))
        (left,) = watch.until_each(["left"], _done)
        assert (left.reason, left.escalated_by, left.failures) == ("the end of left", "the end of left", ())
        quiet(service)
        found = _statuses(rows)
    ended = {
        ("slow", Status.CANCELLED),
        ("away", Status.CANCELLED),
        ("deaf", Status.KILLED),
        ("sync", Status.CANCELLED),
    }
    assert set(found) == ended
    oracle.check_signals(service.read(Topic.SIGNALS))
    service.check_flows()
    service.verify()
