"""What a worker's metrics tell of the lives of invocations: starts, ends, and those that wait for an executor."""

from __future__ import annotations

import platform
import sqlite3
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import KafkaError

from streams import __version__
from streams.model import (
    ENGINE_VERSION,
    Act,
    Action,
    CancelFlow,
    CancelPolicy,
    Filter,
    FlowAction,
    Invocation,
    Invoke,
    ReportTransition,
    StartBatch,
    Status,
)
from streams.state import oldest
from streams.state.oldest import OldestReady
from streams.state.schema import CODES, SCHEMA
from streams.worker import observer as observing
from support.kafka.fake_cluster import failure
from support.service.worker_world import World, invocations

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A service whose gauges are looked at each turn."""
    monkeypatch.setattr(observing, "SNAPSHOT_EVERY_S", 0.0)
    monkeypatch.setattr(oldest, "_EVERY_S", 0.0)
    monkeypatch.setattr(oldest, "_REST", 0)
    with closing(World(tmp_path)) as made:
        yield made


def samples(world: World, name: str) -> dict[tuple[str, ...], float]:
    """The samples of a name, by the values of their labels."""
    assert world.worker is not None
    families = world.worker._observer.registry.collect()
    found = [each for family in families for each in family.samples if each.name == name]
    return {tuple(each.labels.values()): each.value for each in found}


def ended(world: World) -> dict[tuple[str, ...], float]:
    """The ends that were counted, by outcome and service."""
    return {labels: count for labels, count in samples(world, "streams_ended_total").items() if count}


def in_tables(world: World) -> dict[tuple[str, ...], float]:
    """The rows that have ended, by status and service."""
    found: Counter[tuple[str, ...]] = Counter()
    assert world.worker is not None
    for task in world.worker.tasks.values():
        sql = "SELECT status, service, count(*) FROM rows WHERE status >= ? GROUP BY 1, 2"
        for code, service, count in task.store.db.execute(sql, (CODES[Status.COMPLETED],)):
            found[next(status for status, each in CODES.items() if each == code), service] += count
    return dict(found)


LONG = "a-service-whose-name-is-so-long-that-its-length-takes-two-bytes-of-avro"


def invoke_all(world: World) -> None:
    """Rows of several services, some in a flow, some scheduled."""
    for service in ("orders", "mail", LONG):
        world.invoke(*invocations(range(20), service=service, prefix=service[:6]))
    later = [
        Invoke(Invocation(f"later-{n}", "orders" if n % 2 else "mail", "run"), scheduled_at=world.cluster.now + 10**7)
        for n in range(20)
    ]
    family = [Invoke(Invocation(f"f-{n}", "orders" if n % 3 else LONG, "run", flow_id="flow")) for n in range(12)]
    world.invoke(*later, *family)
    world.run_until_idle()


def test_every_end_counts_once_under_its_outcome_and_service(world: World) -> None:
    """One by one by reports and acts, and in pages of every kind: the counters are those of the tables."""
    invoke_all(world)
    for number, status in enumerate((Status.COMPLETED, Status.FAILED, Status.COMPLETED)):
        world.send(ReportTransition(f"orders-{number}", 1, to=status), key=f"orders-{number}")
        world.send(ReportTransition(f"{LONG[:6]}-{number}", 1, to=status), key=f"{LONG[:6]}-{number}")
    world.send(ReportTransition("orders-0", 1, to=Status.FAILED), key="orders-0")
    world.send(Act("mail-1", Action.KILL), key="mail-1")
    world.run_until_idle()
    assert ended(world) == in_tables(world) != {}
    batches = (
        StartBatch("ids", Action.KILL, Filter(invocation_ids=("orders-4", "mail-4", "no such"))),
        StartBatch("one", Action.CANCEL, Filter(services=("mail",)), grace_ms=60_000),
        StartBatch("dry", Action.KILL, Filter(match_all=True), dry_run=True),
        StartBatch("pause", Action.PAUSE, Filter(services=(LONG,))),
        StartBatch("some", Action.KILL, Filter(services=("mail", "orders"), handlers=("run",)), limit=9),
    )
    for batch in batches:
        world.send(batch, key=batch.batch_id)
        world.run_until_idle()
        assert ended(world) == in_tables(world)
    world.send(CancelFlow("flow", FlowAction.KILL, CancelPolicy.CANCEL_ALL), key="flow")
    world.run_until_idle()
    assert ended(world) == in_tables(world)
    world.send(StartBatch("all", Action.KILL, Filter(match_all=True)), key="all")
    world.run_until_idle()
    assert ended(world) == in_tables(world)
    assert sum(in_tables(world).values()) == 92


def test_what_a_standing_batch_ends_as_it_arrives_counts_too(world: World) -> None:
    """It ends with its `Invoke`."""
    until = world.cluster.now + 10**6
    world.send(StartBatch("door", Action.KILL, Filter(services=("mail",)), standing_until=until), key="door")
    world.run_until_idle()
    world.invoke(*invocations(range(7), service="mail", prefix="m"), *invocations(range(3)))
    world.run_until_idle()
    assert ended(world) == in_tables(world) == {("KILLED", "mail"): 7}


def test_an_aborted_turn_counts_neither_starts_nor_ends(world: World) -> None:
    """Its input is applied again, and counts then."""
    world.invoke(*invocations(range(10)))
    world.cluster.faults.fail("commit:before", failure(KafkaError.INVALID_TXN_STATE, abortable=True))
    world.run_until_idle()
    assert samples(world, "streams_start_seconds_count") == {(): 10}
    world.send(StartBatch("all", Action.KILL, Filter(match_all=True)), key="all")
    world.cluster.faults.fail("commit:before", failure(KafkaError.INVALID_TXN_STATE, abortable=True))
    world.run_until_idle()
    assert ended(world) == {("KILLED", "orders"): 10}


def test_a_start_takes_from_its_command_to_its_commit(world: World) -> None:
    """By the time that stands on the command; one that waited in the log for a while took that long."""
    world.run_until_idle()
    world.invoke(*invocations(range(4)))
    world.pass_time(3_000)
    world.run_until_idle()
    buckets = samples(world, "streams_start_seconds_bucket")
    assert (buckets[("2.0",)], buckets[("5.0",)]) == (0, 4)
    assert samples(world, "streams_start_seconds_sum")[()] == pytest.approx(12, abs=1)


def test_the_oldest_that_waits_for_an_executor_is_told_by_its_age(world: World) -> None:
    """READY since its START; the first report ends that, and so does a kill."""
    world.run_until_idle()
    assert samples(world, "streams_oldest_ready_seconds") == {("0",): 0, ("1",): 0}
    world.invoke(*invocations(range(1)))
    world.run_until_idle()
    world.pass_time(5_000)
    world.invoke(*invocations(range(1, 2)))
    world.run_until_idle()
    world.pass_time(2_000)
    assert max(samples(world, "streams_oldest_ready_seconds").values()) == pytest.approx(7, abs=0.5)
    world.send(ReportTransition("i-0", 1, to=Status.RUNNING, report_no=1), key="i-0")
    world.run_until_idle()
    assert max(samples(world, "streams_oldest_ready_seconds").values()) == pytest.approx(2, abs=0.5)
    world.send(StartBatch("all", Action.KILL, Filter(match_all=True)), key="all")
    world.run_until_idle()
    assert set(samples(world, "streams_oldest_ready_seconds").values()) == {0}


class Hands:
    """A clock that a test moves; it advances by itself at each look if told to."""

    def __init__(self) -> None:
        self.now, self.step = 0.0, 0.0

    def __call__(self) -> float:
        """Seconds."""
        self.now += self.step
        return self.now


def table(folder: Path, rows: int) -> Path:
    """A table with READY rows; the first in order is the youngest."""
    file = folder / "0.sqlite3"
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        for statement in SCHEMA:
            db.execute(statement)
        columns = "seq, status, service, modified_at, held, attempt, last_report_no"
        db.executemany(
            f"INSERT INTO rows({columns}) VALUES (?, ?, 's', ?, 0, 1, -1)",  # noqa: S608 - our own names
            [(seq, CODES[Status.READY], 1_000 - seq) for seq in range(rows)],
        )
        db.commit()
    return file


def test_a_table_is_read_through_seldom(tmp_path: Path) -> None:
    """A row that is still READY needs no search; after a search the next one waits, and the last answer stays."""
    clock = Hands()
    file = table(tmp_path, 3)
    looking = OldestReady(file, clock)
    assert looking.since() == 998
    with closing(sqlite3.connect(file)) as db:
        db.execute("UPDATE rows SET status = ? WHERE seq = 2", (CODES[Status.RUNNING],))
        db.commit()
    assert looking.since() == 998
    clock.now += 11
    assert looking.since() == 999


def test_a_search_that_takes_too_long_is_broken_off(tmp_path: Path) -> None:
    """It has no answer, and the next one comes much later."""
    clock = Hands()
    looking = OldestReady(table(tmp_path, 30_000), clock)
    clock.step = 2.0
    assert looking.since() is None
    clock.step = 0.0
    clock.now += 11
    assert looking.since() is None
    clock.now += 1_000
    assert looking.since() == 1_000 - 29_999


def test_a_file_that_has_gone_has_no_answer(tmp_path: Path) -> None:
    """The partition went to another worker, or its file was put away."""
    assert OldestReady(tmp_path / "gone.sqlite3").since() is None
    assert list(tmp_path.iterdir()) == []


def test_health_tells_of_flows_that_wait(world: World) -> None:
    """A worker is ready all the same; without any the answer does not name them."""
    world.run_until_idle()
    assert world.worker is not None
    assert "flows" not in world.worker._observer.ready().body
    world.invoke(*(Invoke(Invocation(f"i-{n}", "orders", "run", flow_id="f")) for n in range(4)))
    world.run_until_idle()
    world.send(CancelFlow("f", FlowAction.CANCEL, CancelPolicy.CANCEL_ALL, grace_ms=600_000), key="f")
    world.run_until_idle()
    verdict = world.worker._observer.ready()
    assert verdict.ok
    assert verdict.body["flows"] == {"cancelling": 1, "members_pending": 4}


def test_the_version_that_runs_is_told(world: World) -> None:
    """So that a rollout can be watched."""
    world.run_until_idle()
    told = samples(world, "streams_build_info")
    assert told == {("worker", __version__, str(ENGINE_VERSION), platform.python_version()): 1}
