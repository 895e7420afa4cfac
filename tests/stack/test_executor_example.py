"""The executors in other languages, by their READMEs' commands: they run, stop and report as the Python one does."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from streams import codec
from streams.config import Topic
from streams.model import Act, Action, Invocation, Invoke, ReportTransition, Status
from support.service import oracle
from support.service.examples import TOOLS
from support.service.harness import Service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.broker import Broker
    from support.service.examples import Example, Examples

pytestmark = [pytest.mark.stack, pytest.mark.broker]

LONG = b"600000"
"""Milliseconds that nobody waits for: only being stopped ends such a run."""
PATIENCE_S = 60.0


@pytest.fixture(scope="module", params=TOOLS)
def example(request: pytest.FixtureRequest, examples: Examples) -> Example:
    """One for each language that is installed."""
    return examples(request.param)


@pytest.fixture(scope="module")
def service(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A worker on topics of their own."""
    with Service(broker.bootstrap, tmp_path_factory.mktemp("service")) as running:
        running.await_partitions(running.worker("a"))
        yield running


class Executor:
    """The example as a process, for one service of this test."""

    def __init__(self, example: Example, service: Service, serves: str | None = None) -> None:
        self.serves = serves or f"mail-{uuid4().hex[:6]}"
        self._example, self._service = example, service
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """The README's command, but for the service's name."""
        variable, *command = shlex.split(self._example.executor)
        assert variable == "SERVICE=emails"
        environment = {
            **os.environ,
            "BOOTSTRAP": self._service.settings.bootstrap_servers,
            "PREFIX": self._service.settings.topic_prefix,
            "SERVICE": self.serves,
        }
        self._process = subprocess.Popen(command, cwd=self._example.folder, env=environment)

    def end(self, how: signal.Signals = signal.SIGTERM) -> int | None:
        """Its exit code."""
        if self._process is None:
            return None
        self._process.send_signal(how)
        return self._process.wait(PATIENCE_S)


@pytest.fixture
def executor(example: Example, service: Service) -> Iterator[Executor]:
    """Not started yet; gone afterwards, whatever becomes of the test."""
    made = Executor(example, service)
    yield made
    made.end(signal.SIGKILL)


def _await(service: Service, wanted: dict[str, Status]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        rows = {
            each.invocation.invocation_id: each for each in oracle.fold(service.read(Topic.CHANGELOG)).rows.values()
        }
        found = {name: rows[name].status for name in wanted if name in rows}
        if found == wanted:
            return
        assert time.monotonic() < deadline, found
        time.sleep(0.3)


def _reported(service: Service, name: str) -> list[Status]:
    log = [codec.decode(each.value) for each in service.read(Topic.COMMANDS) if each.value is not None]
    return [each.to for each in log if isinstance(each, ReportTransition) and each.invocation_id == name]


def test_it_runs_stops_and_reports(executor: Executor, service: Service) -> None:
    """What ends by itself, what cannot be done, what is cancelled, killed or paused, and what is another service's."""
    of = executor.serves
    payloads = {"done": b"20", "failed": b"x", "cancelled": LONG, "killed": LONG, "paused": LONG}
    names = {each: f"{of}-{each}" for each in (*payloads, "leased", "other")}
    service.send(*(Invoke(Invocation(names[each], of, "send"), payload=payloads[each]) for each in payloads))
    service.send(
        Invoke(Invocation(names["leased"], of, "send", lease_ms=6000), payload=b"8000"),
        Invoke(Invocation(names["other"], f"not-{of}", "send"), payload=b"1"),
    )
    executor.start()
    begun = {"done": Status.COMPLETED, "failed": Status.FAILED}
    _await(service, {names[each]: begun.get(each, Status.RUNNING) for each in payloads})
    service.send(
        Act(names["cancelled"], Action.CANCEL),
        Act(names["killed"], Action.KILL),
        Act(names["paused"], Action.PAUSE),
    )
    ended = {"cancelled": Status.CANCELLED, "killed": Status.KILLED, "paused": Status.PAUSED, "other": Status.READY}
    ended["leased"] = Status.COMPLETED
    _await(service, {names[each]: status for each, status in ended.items()})
    service.send(Act(names["paused"], Action.RESUME))
    _await(service, {names["paused"]: Status.RUNNING})
    assert executor.end() == 0
    assert _reported(service, names["done"]) == [Status.RUNNING, Status.COMPLETED]
    assert _reported(service, names["failed"]) == [Status.RUNNING, Status.FAILED]
    assert _reported(service, names["cancelled"]) == [Status.RUNNING, Status.CANCELLED]
    assert _reported(service, names["killed"]) == [Status.RUNNING]
    assert _reported(service, names["paused"]) == [Status.RUNNING, Status.RUNNING]
    assert _reported(service, names["other"]) == []
    *renewed, end = _reported(service, names["leased"])
    assert (set(renewed), end) == ({Status.RUNNING}, Status.COMPLETED)
    assert len(renewed) > 2
    assert service.read(Topic.DEAD_LETTERS) == []


def test_killed_in_the_middle_its_next_life_begins_with_what_had_not_ended(
    executor: Executor, service: Service
) -> None:
    """Every invocation ends, those included that were in its hands."""
    of = executor.serves
    names = [f"{of}-{number}" for number in range(200)]
    service.send_many(Invoke(Invocation(name, of, "send"), payload=b"1500") for name in names)
    executor.start()
    _await(service, dict.fromkeys(names[:1], Status.RUNNING))
    executor.end(signal.SIGKILL)
    assert Status.COMPLETED not in _reported(service, names[0])
    executor.start()
    _await(service, dict.fromkeys(names, Status.COMPLETED))
    assert executor.end() == 0


def test_a_second_one_takes_over_a_share_and_all_end(example: Example, executor: Executor, service: Service) -> None:
    """Partitions that move in the middle, twice, leave nothing behind."""
    second = Executor(example, service, executor.serves)
    names = [f"{executor.serves}-{number}" for number in range(200)]
    executor.start()
    service.send_many(Invoke(Invocation(name, executor.serves, "send"), payload=b"20000") for name in names)
    _await(service, dict.fromkeys(names, Status.RUNNING))
    second.start()
    try:
        _await(service, dict.fromkeys(names, Status.COMPLETED))
    finally:
        code = second.end()
    assert code == 0
    begun = [_reported(service, name).count(Status.RUNNING) for name in names]
    assert max(begun) > 1, "no partition has moved while something ran"
    later = f"{executor.serves}-later"
    service.send(Invoke(Invocation(later, executor.serves, "send")))
    _await(service, {later: Status.COMPLETED})
    assert executor.end() == 0
