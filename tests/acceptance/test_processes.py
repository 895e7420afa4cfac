"""A worker of two processes on a real broker: one is killed, comes back, and nothing is lost or repeated."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from streams import codec
from streams.config import Topic
from streams.model import BatchState, WorkerAddress
from support.service import oracle
from support.service.scrape import Served, get
from support.service.workload import invocations, kill

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.service.harness import Service
    from support.service.programs import Program

pytestmark = [pytest.mark.broker, pytest.mark.chaos, pytest.mark.timeout(600)]

SETTINGS = {"STREAMS_PAGE_BUDGET_MS": "0.1", "STREAMS_WORKER_HTTP": "127.0.0.1:0", "STREAMS_WORKER_PROCESSES": "2"}
"""Two processes, and slow pages: a batch takes long enough for something to happen meanwhile."""
BATCH = "kill-1"
STARTED = "a process of the worker is started"


def pid_of(worker: Program, process: str) -> int:
    """A process in its newest life."""
    return int([each for each in worker.events(STARTED) if each["process"] == process][-1]["pid"])


def kill9(worker: Program, process: str) -> None:
    """End a process of the worker, and wait for its next life."""
    lives = len(worker.events(STARTED))
    os.kill(pid_of(worker, process), signal.SIGKILL)
    worker.await_event(STARTED, lives + 1)


def owners(worker: Program) -> dict[int, str]:
    """Which process runs each partition."""
    return {each["partition"]: each["process"] for each in worker.events("partition running")}


def rebuilt(worker: Program) -> list[dict[str, Any]]:
    """Restores of a partition that was there before."""
    return [each for each in worker.events("restoring") if each.get("begin") == 0]


def await_gone(pids: list[int], seconds: float = 15.0) -> None:
    """Wait until none of these processes is there."""
    deadline = time.monotonic() + seconds
    while left := [pid for pid in pids if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def test_a_process_killed_three_times_during_a_batch(make_service: Callable[..., Service], scale: float) -> None:
    """It is started again and goes on with its own tables; the other one goes on meanwhile. All of both is told."""
    service = make_service(**SETTINGS)
    worker = service.worker("w")
    served = Served(worker)
    service.send_many(invocations(int(300_000 * scale)))
    service.await_partitions(worker)
    rows = oracle.predict(service.settle(timeout=150)).rows.values()
    matching = sum(
        row.invocation.service == "billing"
        and row.invocation.labels == {"tenant": "acme"}
        and row.status.value != "COMPLETED"
        for row in rows
    )
    assert set(owners(worker).values()) == {"0", "1"}
    before = len(rebuilt(worker))
    service.start_batch(kill(BATCH))
    for part in (0.05, 0.3, 0.55):
        service.await_progress(BATCH, lambda p, least=part * matching: p.total("matched") > least, timeout=90)  # type: ignore[misc]
        kill9(worker, "0")
        progress = service.progress(BATCH, to_end=True)
        assert (progress.state, progress.total("matched") < matching) == (BatchState.RUNNING, True)
    progress = service.await_batch(BATCH, timeout=150)
    expected, table = service.check()
    assert table.ended_by(BATCH) == expected.ended_by(BATCH)
    assert (progress.state, progress.counters) == (BatchState.COMPLETED, (matching, matching, 0, 0, 0))
    assert len(rebuilt(worker)) == before
    ready = served.await_ready()
    assert ready["partitions"] == {str(each): "RUNNING" for each in range(service.partitions)}
    phases = served.samples("streams_partition_phase")
    running = {
        (process, partition) for (process, partition, phase), value in phases.items() if value and phase == "RUNNING"
    }
    assert running == {(process, str(partition)) for partition, process in owners(worker).items()}
    assert served.samples("streams_worker_process_restarts_total") == {("0",): 3, ("1",): 0}
    assert served.samples("streams_worker_process_up") == {("0",): 1, ("1",): 1}
    pids = [pid_of(worker, process) for process in ("0", "1")]
    assert worker.terminate() == 0
    assert sorted(each["process"] for each in worker.events("worker stopped")) == ["0", "1"]
    await_gone(pids)


def test_a_process_that_stands_still_is_replaced(make_service: Callable[..., Service]) -> None:
    """The other one makes its tables again beside it; once it is killed, it comes back to its own and catches up."""
    service = make_service(**SETTINGS)
    worker = service.worker("w")
    service.send_many(invocations(20_000))
    service.await_partitions(worker)
    service.settle()
    mine = {partition for partition, process in owners(worker).items() if process == "0"}
    service.start_batch(kill(BATCH))
    service.await_progress(BATCH, lambda progress: progress.total("matched") > 0, timeout=60)
    os.kill(pid_of(worker, "0"), signal.SIGSTOP)
    service.await_batch(BATCH, timeout=120)
    beside = worker.events("another process has the table's file open; it is made again")
    assert {each["partition"] for each in beside} == mine
    assert {each["process"] for each in beside} == {"1"}
    (stuck,) = worker.await_event("a process of the worker is stuck; it is killed")
    assert stuck["process"] == "0"
    runs = len(worker.events("partition running"))
    worker.await_event("partition running", runs + 1)
    Served(worker).await_ready()
    assert set(owners(worker).values()) == {"0", "1"}
    service.send_many(invocations(1_000, "later"))
    service.check()
    kept = {partition for partition in mine if owners(worker)[partition] == "1"}
    own = {file.name for file in service.state("w").glob("*.of-*.sqlite3")}
    assert own == {f"partition-{partition}.of-1.sqlite3" for partition in kept}
    assert worker.terminate() == 0
    assert not list(service.state("w").glob("*.of-*"))


def test_partitions_move_with_their_tables_and_are_found(make_service: Callable[..., Service]) -> None:
    """Without ids a killed process is another one when it comes back: who takes its partitions rebuilds none."""
    service = make_service(**SETTINGS)
    worker = service.program("w", ["worker"], STREAMS_STATE_DIR=str(service.state("w")))
    service.send_many(invocations(4_000))
    service.await_partitions(worker)
    service.settle()
    before, moves = len(rebuilt(worker)), len(worker.events("partition running"))
    kill9(worker, "1")
    worker.await_event("partition running", moves + 1)
    Served(worker).await_ready()
    service.send_many(invocations(1_000, "later"))
    service.check()
    assert len(rebuilt(worker)) == before
    assert "it is made again" not in worker.output()
    newest = {each.key: codec.decode(each.value or b"") for each in service.read(Topic.WORKERS)}
    urls = {each.worker_id[-2:]: each.url for each in newest.values() if isinstance(each, WorkerAddress)}
    assert urls.keys() == {"-0", "-1"}
    assert all(get(f"{url}/health/ready")[0] == 200 for url in urls.values())
    assert len(set(urls.values())) == 2
    assert worker.terminate() == 0


def test_more_processes_than_partitions_are_told_and_do_no_harm(make_service: Callable[..., Service]) -> None:
    """The worker is ready without the one that has nothing to do; a second signal ends all at once, and says so."""
    service = make_service(partitions=1, **SETTINGS)
    worker = service.worker("w")
    (told,) = worker.await_event("there are more processes than partitions: some have nothing to do")
    assert (told["processes"], told["partitions"], told["idle"]) == (2, 1, 1)
    Served(worker).await_ready()
    pids = [pid_of(worker, process) for process in ("0", "1")]
    os.kill(pids[0], signal.SIGSTOP)
    worker.send(signal.SIGINT)
    worker.await_event("stopping after these turns; once more to stop at once")
    worker.send(signal.SIGINT)
    assert worker.wait() == 128 + signal.SIGINT
    (line,) = worker.events("stopped at once")
    assert line["lost"].startswith("nothing: ")
    await_gone(pids)


def test_a_process_that_cannot_start_ends_the_worker_with_its_error(make_service: Callable[..., Service]) -> None:
    """After a few tries, each of which is in the log with its reason."""
    broken = SETTINGS | {"STREAMS_WORKER_QUERY_SECRET_FILE": "nowhere"}
    service = make_service(**broken)
    worker = service.worker("w")
    assert worker.wait(60) == 1
    tries = worker.events("a process of the worker has ended; it is started again")
    assert tries
    assert all("STREAMS_WORKER_QUERY_SECRET_FILE=nowhere" in each["error"] for each in tries)
    assert "error: STREAMS_WORKER_QUERY_SECRET_FILE=nowhere" in worker.output().splitlines()[-1]


def test_its_processes_do_not_outlive_it(make_service: Callable[..., Service]) -> None:
    """`kill -9` of the supervisor: the folder is free at once for the next one, which goes on."""
    service = make_service(**SETTINGS)
    worker = service.worker("w")
    service.await_partitions(worker)
    pids = [pid_of(worker, process) for process in ("0", "1")]
    worker.kill9()
    worker.start()
    service.await_partitions(worker)
    await_gone(pids)
    service.verify()
    assert worker.terminate() == 0
