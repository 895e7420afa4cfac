"""The executor beside a real worker, on a real broker."""

from __future__ import annotations

import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka.admin import AdminClient

from streams import codec
from streams.config import Topic
from streams.kafka import topics
from streams.model import Action, Filter, Invocation, InvocationRow, Invoke, ReportTransition, StartBatch, Status
from support.service import oracle
from support.service.harness import Service
from support.service.programs import Program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streams.broker import Broker
    from support.kafka.reading import TopicReader

COUNT = 1_000
ENDED = {Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.KILLED}
SCRIPT = Path(__file__).parents[2] / "support" / "service" / "executor_program.py"


@pytest.fixture
def service(broker: Broker, tmp_path: Path) -> Iterator[Service]:
    """Topics of its own, and a worker."""
    with Service(broker.bootstrap, tmp_path) as made:
        made.worker("w")
        yield made


def executor(service: Service, name: str, *more: str) -> Program:
    """An executor process."""
    program = Program(name, [], service.folder, service.environment)
    program._args = [sys.executable, str(SCRIPT), str(service.folder / "notes"), *more]
    service.programs[name] = program
    program.start()
    return program


def invocations(count: int, handlers: tuple[str, ...] = ("sync", "async")) -> list[Invoke]:
    """Each takes up to a third of a second."""
    chosen = random.Random(1)
    return [
        Invoke(
            Invocation(f"i-{number:04d}", "billing", chosen.choice(handlers)), payload=b"%.2f" % chosen.uniform(0, 0.3)
        )
        for number in range(count)
    ]


def started(service: Service) -> Counter[str]:
    """How often each handler has started, by invocation."""
    notes = service.folder / "notes"
    return Counter(line.split()[0] for line in notes.read_text().splitlines()) if notes.exists() else Counter()


def until(condition: Callable[[], Any], what: str, timeout: float = 90.0) -> None:
    """Wait for it."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"after {timeout:g} s: not {what}"
        time.sleep(0.05)


def ends(reader: TopicReader) -> Counter[str]:
    """End reports in the command log, by invocation."""
    reader.more()
    records = (codec.decode(entry.value) for entry in reader.entries)
    return Counter(each.invocation_id for each in records if isinstance(each, ReportTransition) and each.to in ENDED)


def test_killed_in_the_middle_every_invocation_ends_exactly_once(service: Service) -> None:
    """Of 1,000 handlers some are cut off by kill -9: they run again, nothing is lost, the table takes one end each."""
    first = executor(service, "executor", "only-one")
    service.send_many(invocations(COUNT))
    with service.reader(Topic.COMMANDS) as log:
        until(lambda: len(ends(log)) > COUNT * 0.3, "a third has ended")
        first.kill9()
        assert len(ends(log)) < COUNT * 0.95, "it must die in the middle"
        before = started(service)
        first.start()
        until(lambda: len(ends(log)) == COUNT, "all have ended")
    service.settle()
    assert first.terminate() == 0
    changelog = service.read(Topic.CHANGELOG)
    table = oracle.fold(changelog)
    assert Counter(row.status for row in table.rows.values()) == {Status.COMPLETED: COUNT}
    rows = [codec.decode(entry.value) for entry in changelog if entry.key.startswith("i/") and entry.value]
    ended = Counter(
        each.invocation.invocation_id for each in rows if isinstance(each, InvocationRow) and each.status in ENDED
    )
    assert set(ended.values()) == {1}
    again = [name for name, times in started(service).items() if times > 1]
    assert 0 < len(again) < COUNT / 2, "what was cut off ran again, and only what could not be committed"
    assert set(again) <= set(before)
    service.verify()


def test_two_executors_share_and_a_cancel_by_filter_reaches_their_handlers(service: Service) -> None:
    """A batch cancels what runs in both of them and what waits for them; every row ends as CANCELLED."""
    for name in ("one", "two"):
        executor(service, name)
    service.send_many(invocations(200, ("slow",)))
    until(lambda: len(started(service)) >= 80, "both are full")
    batch_id = service.start_batch(StartBatch("cancel-1", Action.CANCEL, Filter(services=("billing",)), reason="test"))
    progress = service.await_batch(batch_id, 90)
    assert progress.counters == (200, 200, 0, 0, 0)
    service.settle()
    table = oracle.fold(service.read(Topic.CHANGELOG))
    assert Counter(row.status for row in table.rows.values()) == {Status.CANCELLED: 200}
    assert len(started(service)) < 200, "what had not begun was never run"
    assert [service.programs[name].terminate() for name in ("one", "two")] == [0, 0]


def test_a_kill_reaches_what_queues_behind_a_full_executor(service: Service) -> None:
    """The KILLs stand behind thousands of STARTs in Kafka; of those hardly any is run for nothing."""
    executor(service, "executor")
    service.send_many(invocations(3_000, ("slow",)))
    until(lambda: len(started(service)) >= 40, "it is full")
    progress = service.await_batch(service.start_batch(StartBatch("kill-1", Action.KILL, Filter(match_all=True))))
    assert progress.counters == (3_000, 3_000, 0, 0, 0)
    service.send(Invoke(Invocation("after", "billing", "sync"), payload=b"0"))
    until(lambda: "after" in started(service), "what comes behind them has its turn")
    assert len(started(service)) < 1_000
    assert service.programs["executor"].terminate() == 0


@pytest.mark.parametrize(("times", "code", "most_s"), [(1, 0, 20.0), (2, 128 + signal.SIGTERM, 3.0)])
def test_handlers_that_never_end_do_not_keep_it(service: Service, times: int, code: int, most_s: float) -> None:
    """SIGTERM waits for the grace, a second one for nothing; the next executor runs the handler again."""
    program = executor(service, "executor", "only-one")
    service.send_many(invocations(1, ("deaf",)))
    until(lambda: started(service)["i-0000"] == 1, "it runs")
    before = time.monotonic()
    for _ in range(times):
        program.send(signal.SIGTERM)
        time.sleep(0.5)
    assert program.wait() == code
    assert time.monotonic() - before < most_s
    program.start()
    until(lambda: started(service)["i-0000"] == 2, "it runs again")


@pytest.mark.durable
def test_a_broker_that_is_killed_and_comes_back(own_broker: Broker, tmp_path: Path) -> None:
    """The executor lives through it, and every invocation ends."""
    with Service(own_broker.bootstrap, tmp_path) as service:
        service.worker("w")
        program = executor(service, "executor")
        service.send_many(invocations(400))
        with service.reader(Topic.COMMANDS) as log:
            until(lambda: len(ends(log)) > 80, "some have ended")
            own_broker.kill()
            time.sleep(2)
            own_broker.restart()
            service.send(Invoke(Invocation("after", "billing", "sync"), payload=b"0"))
            until(lambda: len(ends(log)) == 401, "all have ended")
        assert program.terminate() == 0, program.tail()
        table = service.settle() and oracle.fold(service.read(Topic.CHANGELOG))
    assert table
    assert Counter(row.status for row in table.rows.values()) == {Status.COMPLETED: 401}


@pytest.mark.durable
def test_signals_created_again_under_running_executors(service: Service) -> None:
    """Whatever is started after that is begun and ends, and what ran meanwhile is reported; a restart loses nothing."""
    first, second = executor(service, "one"), executor(service, "two")
    service.send_many(invocations(100))
    name = service.settings.topic(Topic.SIGNALS)
    with service.reader(Topic.COMMANDS) as log:
        until(lambda: len(ends(log)) == 100, "all have ended")
        service.send(Invoke(Invocation("runs-on", "billing", "sync"), payload=b"8"))
        until(lambda: started(service)["runs-on"] == 1, "it runs")
        admin = AdminClient({"bootstrap.servers": service.settings.bootstrap_servers, "log_level": 0})
        admin.delete_topics([name])[name].result(10)
        until(lambda: name not in admin.list_topics(timeout=10).topics, "deleted")
        topics.create(service.settings, service.partitions)
        service.send_many(Invoke(Invocation(f"new-{each}", "billing", "async"), payload=b"0") for each in range(60))
        until(lambda: sum(each.startswith("new-") for each in ends(log)) == 60, "the new ones have ended", 45)
        until(lambda: ends(log)["runs-on"] == 1, "what ran has ended", 45)
        assert started(service)["runs-on"] == 1
        assert [each.terminate() for each in (first, second)] == [0, 0]
        service.send_many(Invoke(Invocation(f"late-{each}", "billing", "async"), payload=b"0") for each in range(20))
        first.start()
        until(lambda: sum(each.startswith("late-") for each in ends(log)) == 20, "those of the restart have ended")
