"""An executor's metrics and health: what it tells of its runs, and that it tells nothing unless asked."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading

import pytest

from streams.client.executor.observer import ExecutorObserver
from streams.client.executor.run import Outcome
from streams.client.executor.watch import Load, Watch
from streams.errors import StreamsError
from streams.metrics import OfEach, OfExecutor, metrics_of
from streams.model import Status
from support.service.executor_world import ExecutorWorld, ManualRunner
from support.service.programs import ROOT
from support.service.scrape import get


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> ExecutorWorld:
    """An executor with two places that was asked for metrics; it serves them only in `run`."""
    monkeypatch.setenv("STREAMS_EXECUTOR_HTTP", "127.0.0.1:0")
    monkeypatch.setattr("streams.client.executor.observer.LOOK_EVERY_S", 0.0)
    return ExecutorWorld(lambda: ManualRunner(2), concurrency=2)


def observer(world: ExecutorWorld) -> ExecutorObserver:
    """That of the executor that lives now."""
    assert world.executor is not None
    watch = world.executor._watch
    assert isinstance(watch, ExecutorObserver)
    return watch


def samples(world: ExecutorWorld, name: str) -> dict[tuple[str, ...], float]:
    """The samples of a name that are not 0, by the values of their labels."""
    found = [each for family in observer(world).registry.collect() for each in family.samples if each.name == name]
    return {tuple(each.labels.values()): each.value for each in found if each.value}


def test_runs_are_counted_by_what_becomes_of_them(world: ExecutorWorld) -> None:
    """Each that is over counts once: as reported, KILLED if it had ended already, LEFT if it was interrupted."""
    for seq, name in enumerate(("done", "bad", "late", "asked", "ended", "rest")):
        world.start(name, seq, service="mail" if name == "bad" else "orders")
    world.step()
    assert samples(world, "streams_executor_running") == {(): 2}
    assert samples(world, "streams_executor_waiting") == {(): 4}
    assert samples(world, "streams_executor_started_total") == {("orders",): 1, ("mail",): 1}
    world.runner.end(world.runner.find("done"))
    world.runner.end(world.runner.find("bad"), Outcome(Status.FAILED, "broken"))
    world.step()
    world.runner.end(world.runner.find("late"), Outcome(Status.BACKING_OFF, "later", 10**13))
    world.cancel("asked", 3)
    world.step()
    world.kill("ended", 4)
    world.step()
    assert samples(world, "streams_executor_ended_total") == {
        ("COMPLETED", "orders"): 1,
        ("FAILED", "mail"): 1,
        ("BACKING_OFF", "orders"): 1,
        ("CANCELLED", "orders"): 1,
        ("KILLED", "orders"): 1,
    }
    assert samples(world, "streams_executor_run_seconds_count") == {(): 5}
    assert samples(world, "streams_executor_start_seconds_count") == {(): 6}
    assert world.executor is not None
    world.executor.close()
    assert samples(world, "streams_executor_ended_total")[("LEFT", "orders")] == 1


def test_a_place_that_is_never_had_is_no_run_of_a_handler(world: ExecutorWorld) -> None:
    """What is taken back while it waits is over, though no handler began."""
    for seq in range(3):
        world.start(f"i-{seq}", seq)
    world.step()
    world.kill("i-2", 2)
    world.step()
    assert samples(world, "streams_executor_ended_total") == {("KILLED", "orders"): 1}
    assert samples(world, "streams_executor_run_seconds_count") == {}


def test_all_that_is_defined_is_served(world: ExecutorWorld) -> None:
    """A definition that nothing fills would be a promise of the docs that is not kept."""
    world.start("i", 0)
    world.step()
    served = {family.name for family in observer(world).registry.collect()}
    defined = [*metrics_of(OfEach), *metrics_of(OfExecutor)]
    assert served == {metric.name.removesuffix("_total") for metric in defined}
    assert samples(world, "streams_executor_places") == {(): 2}


def test_signals_in_kafka_are_its_lag(world: ExecutorWorld) -> None:
    """What was not taken yet, by partition."""
    world.step()
    assert samples(world, "streams_executor_lag_records") == {}
    for seq in range(4):
        world.start(f"i-{seq}", seq, partition=1)
    assert world.executor is not None
    world.executor._group.pause()
    world.step(1)
    assert samples(world, "streams_executor_lag_records") == {("1",): 4}


def test_it_is_ready_while_it_has_partitions(world: ExecutorWorld) -> None:
    """Before its first step it has none."""
    world.begin()
    assert observer(world).ready() == (
        False,
        {"ready": False, "why": "no partitions assigned", "partitions": 0},
    )
    world.step()
    assert observer(world).ready() == (True, {"ready": True, "partitions": 2})


def test_a_loop_that_does_not_come_round_is_not_ready() -> None:
    """Its handlers may go on, but nothing of them is reported."""
    now = [0.0]
    made = ExecutorObserver("127.0.0.1:0", 1, lambda: now[0])
    made.came_round(lambda: Load(0, 0, 0, 1, {}))
    assert made.ready().ok
    now[0] = 121.0
    assert made.live() == (False, {"live": False, "loop_age_seconds": 121.0, "why": made.live().body["why"]})
    assert made.ready().body["why"] == "the loop does not come round"


def test_nothing_is_watched_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hot path of others pays nothing."""
    monkeypatch.delenv("STREAMS_EXECUTOR_HTTP", raising=False)
    world = ExecutorWorld()
    world.begin()
    assert world.executor is not None
    assert type(world.executor._watch) is Watch
    with world.executor._watch.serving():
        pass


def test_it_serves_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the address of the setting, from its start to its end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("STREAMS_EXECUTOR_HTTP", f"127.0.0.1:{port}")
    world = ExecutorWorld()
    executor = world.begin()
    running = threading.Thread(target=executor.run)
    running.start()
    try:
        status, body = get_when_there(f"http://127.0.0.1:{port}/health/live")
        assert (status, json.loads(body)["live"]) == (200, True)
        assert "streams_build_info{engine_version=" in get(f"http://127.0.0.1:{port}/metrics")[1]
    finally:
        executor.stop()
        running.join(30)
    with pytest.raises(OSError, match="refused"):
        get(f"http://127.0.0.1:{port}/health/live")


def get_when_there(url: str) -> tuple[int, str]:
    """Status and body, once somebody listens."""
    while True:
        try:
            return get(url)
        except OSError:
            threading.Event().wait(0.01)


def test_an_address_that_is_taken_ends_it_with_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Named by its setting, before any signal is taken."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("STREAMS_EXECUTOR_HTTP", address)
        with pytest.raises(StreamsError, match=f"STREAMS_EXECUTOR_HTTP={address}: Address already in use"):
            ExecutorWorld().begin().run()


def test_the_extra_that_is_missing_is_named() -> None:
    """A client is installed without it; who asks for metrics is told what to install."""
    program = """
import sys
sys.modules["prometheus_client"] = None
from streams.client.executor.executor import _watch_of
from streams.config import load_settings
_watch_of(load_settings(executor_http="127.0.0.1:0"), 1)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    line = done.stderr.splitlines()[-1]
    assert line.endswith("needs prometheus_client, which is not installed: install the extra streams[metrics]")
