"""How a worker ends: asked to, at once, or with one clear line and exit code 1 when it cannot go on."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest
from confluent_kafka.admin import AdminClient, NewPartitions

from streams.config import Topic
from streams.kafka import topics
from support.service.workload import invocations, invoke

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.service.harness import Service
    from support.service.programs import Program

pytestmark = pytest.mark.broker


def _only_line(output: str) -> str:
    """The one line for people in what a program wrote; all else must be its log."""
    assert "Traceback" not in output, output
    lines = [line for line in output.splitlines() if line.strip() and not line.startswith("{")]
    assert len(lines) == 1, output
    assert lines[0].startswith("error: "), lines[0]
    return lines[0]


def _fails(service: Service, **environment: str) -> str:
    """A worker that cannot start: exit code 1, and its one line."""
    result = service.command("worker", **environment)
    assert result.returncode == 1, result
    return _only_line(result.stdout + result.stderr)


def _ends(worker: Program, timeout: float = 60) -> str:
    """A worker that cannot go on: exit code 1, and its one line."""
    assert worker.wait(timeout) == 1, worker.tail()
    return _only_line(worker.output())


def _more_partitions(service: Service, count: int, *names: Topic) -> None:
    admin = AdminClient({"bootstrap.servers": service.settings.bootstrap_servers})
    wanted = [NewPartitions(service.settings.topic(name), count) for name in names]
    for future in admin.create_partitions(wanted).values():
        future.result(10)
    time.sleep(1)  # until every part of the broker has heard of it


def _create_again(service: Service, topic: Topic) -> None:
    """Delete it and create it again; returns once the brokers have the new one."""
    name = service.settings.topic(topic)
    admin = AdminClient({"bootstrap.servers": service.settings.bootstrap_servers})
    admin.delete_topics([name])[name].result(10)
    deadline = time.monotonic() + 30
    while name in admin.list_topics(timeout=10).topics:
        assert time.monotonic() < deadline, f"{name} is not deleted"
    topics.create(service.settings, service.partitions)


def test_no_broker_at_the_address(make_service: Callable[..., Service]) -> None:
    """A wrong address is named, with the variable that sets it."""
    line = _fails(make_service(), STREAMS_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert "127.0.0.1:1" in line
    assert "STREAMS_BOOTSTRAP_SERVERS" in line


def test_missing_topics(make_service: Callable[..., Service]) -> None:
    """Topics that are not there are named, with the command that creates them."""
    line = _fails(make_service(), STREAMS_TOPIC_PREFIX="not-created.")
    assert "not-created.commands, not-created.changelog" in line
    assert "streams topics create" in line


def test_topics_with_different_partition_counts(make_service: Callable[..., Service]) -> None:
    """Commands, changelog and signals must have as many partitions: the counts are told."""
    service = make_service(partitions=2)
    _more_partitions(service, 3, Topic.SIGNALS)
    line = _fails(service)
    assert f"{service.settings.topic(Topic.SIGNALS)} has 3" in line
    assert f"{service.settings.topic(Topic.COMMANDS)} has 2" in line


def test_a_partition_count_that_was_changed(make_service: Callable[..., Service]) -> None:
    """The count is fixed for the life of the topics: a worker that finds another one stops."""
    service = make_service(partitions=2)
    worker = service.worker("a")
    service.send_many(invoke(f"one-{each}") for each in range(20))
    service.settle()
    assert worker.terminate() == 0
    _more_partitions(service, 3, Topic.COMMANDS, Topic.CHANGELOG, Topic.SIGNALS)
    worker.start()
    line = _ends(worker)
    assert "2 partitions" in line
    assert "has 3" in line


def test_a_state_folder_that_cannot_be_written(make_service: Callable[..., Service]) -> None:
    """The folder is named, with the variable that sets it."""
    service = make_service()
    (service.folder / "file").touch()
    folder = service.folder / "file" / "state"
    line = _fails(service, STREAMS_STATE_DIR=str(folder))
    assert str(folder) in line
    assert "STREAMS_STATE_DIR" in line


def test_a_state_folder_in_use(make_service: Callable[..., Service]) -> None:
    """The second worker of a folder is told so; the first one goes on."""
    service = make_service()
    first = service.worker("a")
    first.await_event("worker started")
    line = _fails(service, STREAMS_STATE_DIR=str(service.state("a")))
    assert str(service.state("a")) in line
    assert "STREAMS_STATE_DIR" in line
    service.send(invoke("one"))
    service.settle()
    assert first.running


def test_two_workers_with_one_id(make_service: Callable[..., Service]) -> None:
    """One of two that share an id ends, naming the id and its state folder; the other goes on and nothing is lost."""
    service = make_service()
    own = {"STREAMS_WORKER_ID": "the-same"}
    first = service.worker("a", start=False)
    first.start(**own)
    service.await_partitions(first)
    service.send_many(invocations(300))
    second = service.worker("b", start=False)
    second.start(**own)
    deadline = time.monotonic() + 90
    number = 0
    while first.running and second.running:
        assert time.monotonic() < deadline, "both go on"
        service.send(invoke(f"more-{number}"))
        number += 1
        time.sleep(0.1)
    loser, winner, folder = (first, second, "a") if not first.running else (second, first, "b")
    line = _ends(loser)
    assert "the-same" in line
    assert str(service.state(folder)) in line
    assert winner.running
    del service.programs[loser.name]  # its failure is no reason to stop waiting for the other
    service.check()
    assert winner.running


def test_sigterm_ends_a_worker_in_good_order(make_service: Callable[..., Service]) -> None:
    """The turn is finished, the exit code is 0, and the next start has nothing to replay."""
    service = make_service()
    worker = service.worker("a")
    service.await_partitions(worker)
    service.send_many(invocations(3_000))
    assert worker.terminate() == 0
    assert worker.events("worker stopped")
    assert "Traceback" not in worker.output()
    worker.start()
    service.await_partitions(worker)
    assert not worker.events("restored")
    service.check()


def test_a_second_interrupt_stops_at_once(make_service: Callable[..., Service]) -> None:
    """Ctrl-C ends it after the turn; a second signal does not wait for that, and nothing is lost or repeated."""
    service = make_service()
    worker = service.worker("a")
    service.await_partitions(worker)
    service.send_many(invocations(30_000))
    # Frozen, it meets both at once when it goes on: however short its turns are, the second does not come too late.
    for number in (signal.SIGSTOP, signal.SIGINT, signal.SIGTERM, signal.SIGCONT):
        worker.send(number)
    assert worker.wait() in {128 + signal.SIGINT, 128 + signal.SIGTERM}
    assert worker.events("stopping after this turn; once more to stop at once")
    assert worker.events("stopped at once")
    assert not worker.events("worker stopped")
    worker.start()
    service.check()


@pytest.mark.parametrize("topic", [Topic.COMMANDS, Topic.CHANGELOG])
def test_a_topic_created_again_under_a_running_worker(make_service: Callable[..., Service], topic: Topic) -> None:
    """It ends by itself, and its line names the topic."""
    service = make_service(partitions=2)
    worker = service.worker("a")
    service.send_many(invoke(f"one-{each}") for each in range(20))
    service.settle()
    _create_again(service, topic)
    line = _ends(worker)
    assert f"topic {service.settings.topic(topic)} was " in line
    assert "while the worker ran" in line


@pytest.mark.durable
def test_commands_created_again_and_outgrown_while_a_worker_stood_still(make_service: Callable[..., Service]) -> None:
    """Its old offset is in the middle of the new log: not one command behind it is applied."""
    service = make_service(partitions=2)
    worker = service.worker("a")
    service.send_many(invoke(f"one-{each}") for each in range(40))
    service.settle()
    before = len(service.read(Topic.CHANGELOG))
    worker.send(signal.SIGSTOP)
    _create_again(service, Topic.COMMANDS)
    service.send_many(invoke(f"two-{each}") for each in range(400))
    time.sleep(3)  # for longer than what a worker knows of its topics is taken for true
    worker.send(signal.SIGCONT)
    line = _ends(worker)
    assert f"topic {service.settings.topic(Topic.COMMANDS)} was created again while the worker ran" in line
    assert len(service.read(Topic.CHANGELOG)) == before
