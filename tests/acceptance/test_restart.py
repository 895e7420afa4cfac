"""Restarts: with the state folder only the changelog's tail is read, without it all, and others go on meanwhile."""

from __future__ import annotations

import shutil
import time
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from streams.config import Topic
from support.service import oracle
from support.service.pings import Pinger, summary
from support.service.workload import invocations

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from support.service.harness import Service
    from support.service.programs import Program

pytestmark = [pytest.mark.broker, pytest.mark.timeout(1_800)]


@pytest.fixture
def rows(scale: float) -> int:
    """How many invocations: a million at full scale, else a quarter of the share."""
    return int(1_000_000 * scale) if scale >= 1 else int(250_000 * scale)


def _load(service: Service, rows: int) -> None:
    service.send_many(invocations(rows))
    service.settle(timeout=300)


def _restored(worker: Program) -> dict[int, int]:
    """Records replayed, by partition, in this life."""
    return {line["partition"]: line["records"] for line in worker.events("restored")}


def _seconds_to_run(worker: Program) -> float:
    """From the first assignment to the last partition that runs."""

    def at(line: dict[str, Any]) -> datetime:
        return datetime.fromisoformat(line["timestamp"])

    assigned, running = worker.events("partition assigned"), worker.events("partition running")
    return (max(map(at, running)) - min(map(at, assigned))).total_seconds()


@contextmanager
def _pinged(service: Service, partitions: Collection[int], worst_s: float) -> Iterator[None]:
    """Invocations of these partitions start about as fast as before, the slowest at most `worst_s` later."""
    with Pinger(service, partitions) as pinger:
        idle = summary(pinger.await_pings(50))
        begin = time.monotonic()
        yield
        busy = summary(pinger.since(begin) or pinger.await_pings(1))
    assert busy[0] < 4 * idle[0] + 0.05, f"median/worst idle {idle}, during the restore {busy}"
    assert busy[1] < 4 * idle[1] + worst_s, f"median/worst idle {idle}, during the restore {busy}"


@pytest.mark.chaos
def test_a_restart_on_an_intact_state_folder_reads_only_the_tail(
    make_service: Callable[..., Service], rows: int
) -> None:
    """After SIGTERM nothing is replayed, after `kill -9` at most the last turn; either way it runs within seconds."""
    service = make_service()
    worker = service.worker("a")
    service.await_partitions(worker)
    _load(service, rows)
    assert worker.terminate() == 0
    worker.start()
    service.await_partitions(worker)
    assert _restored(worker) == {}
    assert sum(line["rows"] for line in worker.events("partition running")) == rows
    assert _seconds_to_run(worker) < 5
    worker.kill9()
    service.send_many(invocations(100, "meanwhile"))
    worker.start()
    service.await_partitions(worker)
    assert sum(_restored(worker).values()) < rows / 10
    assert _seconds_to_run(worker) < 5
    service.check()


@pytest.mark.chaos
def test_a_deleted_state_folder_is_restored_while_other_partitions_go_on(
    make_service: Callable[..., Service], rows: int
) -> None:
    """All is read again, the log says how far it is, and the other worker's invocations start as fast as before."""
    service = make_service()
    a, b = service.worker("a"), service.worker("b")
    service.await_partitions(a, b)
    _load(service, rows)
    owners = service.owners(a, b)
    mine = {partition for partition, name in owners.items() if name == "a"}
    before = oracle.fold(service.read(Topic.CHANGELOG))
    with _pinged(service, owners.keys() - mine, worst_s=1.0):
        a.kill9()
        shutil.rmtree(service.state("a"))
        a.start()
        a.await_event("partition running", len(mine), timeout=300)
    restored = _restored(a)
    assert restored.keys() == mine
    held = {partition: sum(place[0] == partition for place in before.rows) for partition in mine}
    assert all(restored[partition] >= held[partition] for partition in mine), "every row is to be read"
    assert {line["partition"]: line["rows"] for line in a.events("partition running")} == held
    assert {line["partition"] for line in a.events("restoring")} == mine
    service.check()


@pytest.mark.chaos
def test_a_worker_that_restores_goes_on_with_its_own_partitions(
    make_service: Callable[..., Service], rows: int
) -> None:
    """A worker that takes another's partitions over restores them between turns: its own never wait for them."""
    service = make_service()
    a, b = service.worker("a"), service.worker("b")
    service.await_partitions(a, b)
    _load(service, rows)
    owners = service.owners(a, b)
    theirs = {partition for partition, name in owners.items() if name == "a"}
    # A rebalance and a turn that is begun again are in it.
    with _pinged(service, owners.keys() - theirs, worst_s=4.0):
        a.kill9()
        service.await_partitions(b, timeout=300)
    assert _restored(b).keys() >= theirs
    service.check()
