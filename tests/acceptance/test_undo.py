"""Undoing on a real broker: what was killed or cancelled by mistake runs again, with its payload."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from streams import codec
from streams.config import Topic
from streams.model import (
    Act,
    Action,
    CancelFlow,
    CancelPolicy,
    Filter,
    FlowAction,
    FlowProgress,
    Invocation,
    Invoke,
    Signal,
    SignalKind,
    StartBatch,
    Status,
)
from support.service import oracle
from support.service.flow_watch import quiet
from support.service.workload import DAY_MS, now_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.service.harness import Service

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]


def _workload(count: int) -> Iterator[Invoke]:
    """Started ones, inboxes of four, some for tomorrow, some adopted; each with a payload of its own."""
    tomorrow = now_ms() + DAY_MS
    for number in range(count):
        payload = f"payload {number}".encode()
        match number % 4:
            case 0:
                yield Invoke(Invocation(f"i-{number}", "mail", "send"), payload=payload)
            case 1:
                key = f"k{number // 16}"
                yield Invoke(Invocation(f"cart/{key}~{number}", "cart", "add", object_key=key), payload=payload)
            case 2:
                yield Invoke(Invocation(f"i-{number}", "mail", "send"), scheduled_at=tomorrow, payload=payload)
            case _ if number % 16 == 3:
                yield Invoke(Invocation(f"i-{number}", "mail", "send"), adopt=True, payload=payload)
            case _:
                yield Invoke(Invocation(f"i-{number}", "other", "send"), payload=payload)


def _statuses(service: Service) -> dict[str, Status]:
    quiet(service)
    table = oracle.fold(service.read(Topic.CHANGELOG))
    return {row.invocation.invocation_id: row.status for row in table.rows.values()}


def _undo(service: Service, batch_id: str) -> tuple[int, int, int, int, int]:
    done = service.command("restart", "--batch", batch_id, "--yes", "--no-wait", "--batch-id", f"undo {batch_id}")
    assert done.returncode == 0, done.stderr
    return service.await_batch(f"undo {batch_id}").counters


def test_a_kill_by_filter_is_undone_though_a_worker_dies(make_service: Callable[..., Service], scale: float) -> None:
    """All that it ended and that can start here lives again in its place, and gets its payload once more."""
    count = int(20_000 * scale)
    service = make_service()
    a, b = service.worker("a"), service.worker("b")
    service.await_partitions(a, b)
    service.send_many(_workload(count))
    service.start_batch(StartBatch("mistake", Action.KILL, Filter(services=("mail", "cart"))))
    killed = service.await_batch("mistake").total("done")
    quiet(service)
    b.kill9()
    b.start()
    adopted = len([number for number in range(count) if number % 16 == 3])
    assert _undo(service, "mistake") == (killed, killed - adopted, 0, adopted, 0)
    quiet(service)
    expected, table = service.check()
    statuses = Counter(row.status for row in table.rows.values())
    assert statuses[Status.KILLED] == adopted
    assert statuses[Status.SCHEDULED] == count // 4
    started = [row for row in expected.rows.values() if row.status is Status.READY and row.invocation.service == "mail"]
    assert {row.attempt for row in started} == {2}
    payloads = {
        signal.invocation.invocation_id: signal.payload
        for entry in service.read(Topic.SIGNALS)
        if isinstance(signal := codec.decode(entry.value), Signal)
        and signal.kind is SignalKind.START
        and signal.attempt > 1
    }
    assert payloads
    for name, payload in payloads.items():
        assert payload == f"payload {name.rpartition('~')[2].removeprefix('i-')}".encode()


def test_a_cancelled_flow_is_restarted_and_runs_until_it_is_cancelled_again(
    make_service: Callable[..., Service],
) -> None:
    """Its cancel stays, and does not reach those who joined again; the next one does."""
    service = make_service()
    service.await_partitions(service.worker("a"), service.worker("b"))
    names = [f"m-{number}" for number in range(300)]
    kill = CancelFlow("order", FlowAction.KILL, CancelPolicy.CANCEL_ALL, reason="by mistake")
    service.send_many(Invoke(Invocation(name, "mail", "send", flow_id="order"), payload=b"x") for name in names)
    quiet(service)
    service.send(kill)
    assert set(_statuses(service).values()) == {Status.KILLED}
    service.start_batch(StartBatch("undo", Action.RESTART, Filter(flow_ids=("order",))))
    assert service.await_batch("undo").counters == (300, 300, 0, 0, 0)
    assert set(_statuses(service).values()) == {Status.READY}
    late = Invoke(Invocation("late", "mail", "send", flow_id="order"))
    service.send(late)
    assert Counter(_statuses(service).values()) == {Status.READY: 300, Status.KILLED: 1}
    service.send(kill)
    assert set(_statuses(service).values()) == {Status.KILLED}
    newest = codec.decode(service.read(Topic.FLOWS)[-1].value)
    assert isinstance(newest, FlowProgress)
    assert (newest.pending, newest.kept, newest.failed) == (0, 0, 0)
    service.verify()


def test_a_killed_parent_is_restarted_with_its_tree_and_new_children_and_killed_again(
    make_service: Callable[..., Service],
) -> None:
    """One batch kills the root, and with it the tree; one undoes that. Who joins then lives, until the next kill."""
    service = make_service()
    service.await_partitions(service.worker("a"), service.worker("b"))
    tree = ["root", *(f"c-{number}" for number in range(20)), *(f"g-{number}" for number in range(60))]
    above = {"c": "root", "g": "c-{}"}
    service.send_many(
        Invoke(Invocation(name, "mail", "send", parent_id=above.get(name[0], "").format(int(name[2:]) % 20) or None))
        if name != "root"
        else Invoke(Invocation(name, "mail", "send"))
        for name in tree
    )
    quiet(service)
    service.start_batch(StartBatch("mistake", Action.KILL, Filter(invocation_ids=("root",))))
    assert service.await_batch("mistake").counters == (1, 1, 0, 0, 0)
    assert set(_statuses(service).values()) == {Status.KILLED}
    assert _undo(service, "mistake") == (81, 81, 0, 0, 0)
    assert set(_statuses(service).values()) == {Status.READY}
    new = [Invocation(f"n-{number}", "mail", "send", parent_id=tree[number]) for number in range(40)]
    service.send_many(map(Invoke, new))
    found = _statuses(service)
    assert len(found) == 121
    assert set(found.values()) == {Status.READY}
    service.send(Act("root", Action.KILL))
    assert set(_statuses(service).values()) == {Status.KILLED}
    service.verify()
