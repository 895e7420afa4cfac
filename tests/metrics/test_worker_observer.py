"""A worker's metrics and health, on the fake cluster."""

from __future__ import annotations

from contextlib import closing
from itertools import chain
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import KafkaError

from streams import codec
from streams.config import Topic
from streams.engine.counters import RECONCILED_IN_VAIN, RECONCILED_MEMBERS
from streams.metrics import OfEach, OfWorker, metrics_of
from streams.model import (
    ENGINE_VERSION,
    Act,
    Action,
    CancelFlow,
    CancelPolicy,
    Cause,
    Filter,
    FlowAction,
    Invocation,
    Invoke,
    ReportTransition,
    StartBatch,
    Status,
    Tick,
)
from streams.worker import observer as observing
from streams.worker.worker import Worker
from support.kafka.fake_cluster import failure
from support.kafka.fake_consumer import FakeConsumer
from support.service.worker_world import PARTITIONS, World, invocations

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A service that has not begun."""
    with closing(World(tmp_path)) as made:
        yield made


@pytest.fixture(autouse=True)
def _seen_each_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observing, "SNAPSHOT_EVERY_S", 0.0)


def worker_of(world: World) -> Worker:
    """The worker that lives now."""
    assert world.worker is not None
    return world.worker


def value(world: World, name: str, **labels: Any) -> float | None:
    """One sample, as it would be scraped now."""
    named = {key: str(each) for key, each in labels.items()}
    return worker_of(world)._observer.registry.get_sample_value(name, named)


def values(world: World, name: str, label: str) -> dict[str, float]:
    """The samples of a name that are not 0, by one label and summed over the others."""
    found: dict[str, float] = {}
    for sample in chain.from_iterable(each.samples for each in worker_of(world)._observer.registry.collect()):
        if sample.name == name and sample.value:
            found[sample.labels[label]] = found.get(sample.labels[label], 0) + sample.value
    return found


def series(world: World) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    """Name and labels of everything that is served."""
    families = worker_of(world)._observer.registry.collect()
    return {(each.name, tuple(sorted(each.labels.items()))) for family in families for each in family.samples}


def test_what_was_applied_and_written_is_counted(world: World) -> None:
    """Commands by record, and records by the topic they went to, are those that stand in the topics."""
    world.invoke(*invocations(range(20)))
    world.send(ReportTransition("i-3", 1, to=Status.COMPLETED), key="i-3")
    world.send(StartBatch("kill", Action.KILL, Filter(match_all=True)), key="kill")
    sent = 22
    world.run_until_idle()
    commands = values(world, "streams_commands_total", "record")
    assert (commands["Invoke"], commands["ReportTransition"], commands["StartBatch"]) == (20, 1, 1)
    assert commands["StartSlice"] == PARTITIONS
    assert sum(commands.values()) == world.published_count(Topic.COMMANDS)
    written = values(world, "streams_written_total", "topic")
    assert written.pop(Topic.COMMANDS) == world.published_count(Topic.COMMANDS) - sent
    assert written == {
        topic: world.published_count(topic)
        for topic in (Topic.CHANGELOG, Topic.SIGNALS, Topic.BATCH_SLICES, Topic.WORKERS)
    }
    turns = value(world, "streams_turn_seconds_count")
    assert turns == value(world, "streams_transaction_seconds_count") == worker_of(world).turns


def test_what_went_wrong_is_counted_by_its_code(world: World) -> None:
    """Bad records by the code of their dead letter, strays as forwarded, late reports as without effect."""
    world.invoke(*invocations(range(4)))
    world.run_until_idle()
    world.log(b"garbage", "x", 0)
    world.log(None, "x", 1)
    world.send(Act("i-1", Action.KILL, cause=Cause(reason="x" * 1_001)), key="i-1")
    world.send(ReportTransition("i-1", 7, to=Status.COMPLETED), key="i-1")
    for partition in range(PARTITIONS):
        world.log(codec.encode(invocations(range(1), prefix="stray")[0]), "wherever", partition)
    world.run_until_idle()
    assert values(world, "streams_dead_letters_total", "code") == {
        "not_avro": 1,
        "empty_value": 1,
        "invalid_reason": 1,
    }
    assert value(world, "streams_written_total", topic=Topic.DEAD_LETTERS) == 3
    assert value(world, "streams_forwarded_total") == PARTITIONS - 1
    assert values(world, "streams_without_effect_total", "why") == {"stale_report": 1, "repeated_invoke": 1}


def test_the_table_is_told_by_status_and_batches_by_state(world: World) -> None:
    """Rows, batches, and what their parts have done stand as the tables say."""
    world.invoke(*invocations(range(30)), *invocations(range(12), service="mail", prefix="m"))
    world.run_until_idle()
    world.send(StartBatch("kill", Action.KILL, Filter(services=("orders",))), key="kill")
    world.send(StartBatch("cancel", Action.CANCEL, Filter(services=("mail",)), grace_ms=10**6), key="cancel")
    world.run_until_idle()
    assert values(world, "streams_invocations", "status") == {"KILLED": 30, "CANCELLING": 12}
    assert values(world, "streams_batches", "state") == {"DRAINING": 1, "COMPLETED": 1}
    assert values(world, "streams_slices", "state") == {"COMPLETED": PARTITIONS, "DRAINING": PARTITIONS}
    rows = {
        (state, counter): value(world, "streams_slice_rows", state=state, counter=counter)
        for state in ("COMPLETED", "DRAINING")
        for counter in ("matched", "done", "pending")
    }
    assert rows == {
        ("COMPLETED", "matched"): 30,
        ("COMPLETED", "done"): 30,
        ("COMPLETED", "pending"): 0,
        ("DRAINING", "matched"): 12,
        ("DRAINING", "done"): 0,
        ("DRAINING", "pending"): 12,
    }
    assert value(world, "streams_page_matched_rows_sum") == 42
    assert value(world, "streams_page_seconds_count") == value(world, "streams_page_scanned_rows_count")
    assert value(world, "streams_page_limit_rows", limit="scanned") == worker_of(world).sizes.smallest().max_scanned


def test_the_reconcilers_backlog_and_work_are_told(world: World) -> None:
    """Flows that wait for their members, and those members, until they have ended; what is asked again is counted."""
    world.invoke(*(Invoke(Invocation(f"i-{n}", "orders", "run", flow_id=f"f{n % 2}")) for n in range(10)))
    world.run_until_idle()
    for flow_id in ("f0", "f1"):
        cancel = CancelFlow(flow_id, FlowAction.CANCEL, CancelPolicy.CANCEL_ALL, grace_ms=600_000)
        world.send(cancel, key=flow_id)
    world.run_until_idle()
    assert values(world, "streams_reconciler_backlog", "what") == {"flows": 2, "members": 10}
    assert value(world, "streams_reconciler_overdue_seconds") == 0
    worker = worker_of(world)
    for task in worker.tasks.values():
        task.cycle.note(RECONCILED_MEMBERS, 7)
        task.cycle.note(RECONCILED_IN_VAIN, 2)
    worker._observer._snapshot_at = 0
    worker.step()
    partitions = sum(task.running_table.flow_backlog().flows > 0 for task in worker_of(world).tasks.values())
    assert values(world, "streams_reconciler_cycle", "what") == {"processed": 7 * partitions, "errors": 2 * partitions}
    world.pass_time(610_000)
    assert value(world, "streams_reconciler_overdue_seconds") == pytest.approx(10, abs=1)
    world.run_until_idle()
    assert values(world, "streams_reconciler_backlog", "what") == {}
    assert values(world, "streams_reconciler_cycle", "what") == {}
    assert values(world, "streams_reconciled_total", "what") == {}


def test_a_backlog_that_is_not_whole_is_not_told(world: World) -> None:
    """Part of the partitions would look as if the rest had nothing to do."""
    world.run_until_idle()
    worker = worker_of(world)
    assert value(world, "streams_reconciler_backlog", what="flows") == 0
    worker.tasks[1].claim()
    worker._observer.came_round(worker.tasks.values(), worker.sizes.smallest(), worker.connections.log_end)
    assert value(world, "streams_reconciler_backlog", what="flows") is None
    assert value(world, "streams_reconciler_overdue_seconds") is None
    assert value(world, "streams_reconciler_cycle", what="errors") is None


def test_lag_and_clock_tell_how_far_behind_a_partition_is(tmp_path: Path) -> None:
    """What has not been applied yet is the lag, and the clock is behind by the time since the newest command."""
    with closing(World(tmp_path, max_turn_records=1)) as world:
        world.invoke(*invocations(range(2)))
        world.run_until_idle()
        stray = codec.encode(invocations(range(1))[0])
        before = value(world, "streams_lag_records", partition=0)
        for _ in range(10):
            world.log(stray, "i-0", 0)
        worker_of(world).step()
        after = value(world, "streams_lag_records", partition=0)
        assert before is not None
        assert after == 9
        assert before < 5
        behind = value(world, "streams_clock_behind_seconds", partition=0)
        world.pass_time(5_000)
        assert behind is not None
        assert value(world, "streams_clock_behind_seconds", partition=0) == pytest.approx(behind + 5)


def test_a_turn_that_was_aborted_is_counted_as_such_and_not_twice(world: World) -> None:
    """Only what was committed counts as applied; the worker is not ready until it has its partitions again."""
    world.invoke(*invocations(range(10)))
    world.cluster.faults.fail("commit:before", failure(KafkaError.INVALID_TXN_STATE, abortable=True))
    world.run_until_idle()
    assert values(world, "streams_faults_total", "fault") == {"turn": 1}
    assert value(world, "streams_commands_total", record="Invoke") == 10
    assert worker_of(world)._observer.ready().ok


def test_a_fenced_producer_is_counted(world: World) -> None:
    """An operator sees that another took over for a while."""
    world.invoke(*invocations(range(10)))
    world.cluster.faults.fail("commit:before", failure(KafkaError._FENCED, fatal=True))
    world.run_until_idle()
    assert values(world, "streams_faults_total", "fault") == {"producer": 1}


def test_a_worker_is_ready_when_all_its_partitions_run(world: World) -> None:
    """Before it has any it is not, nor while one of them waits; the answer names each."""
    worker = world._alive()
    observer = worker._observer
    assert observer.ready() == (False, {"ready": False, "why": "no partitions assigned", "partitions": {}})
    world.run_until_idle()
    assert observer.ready() == (True, {"ready": True, "partitions": {"0": "RUNNING", "1": "RUNNING"}})
    worker.tasks[1].claim()
    observer.came_round(worker.tasks.values(), worker.sizes.smallest(), worker.connections.log_end)
    verdict = observer.ready()
    assert not verdict.ok
    assert verdict.body["why"] == "1 of 2 partitions are not running yet"
    assert verdict.body["partitions"] == {"0": "RUNNING", "1": "CLAIMED"}


def test_a_restore_tells_how_far_it_is(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its beginning and its end a partition is not ready, and its share rises from 0 to 1."""
    world.invoke(*invocations(range(60)))
    world.run_until_idle()
    world.close()
    for file in world.settings.state_dir.glob("*.sqlite3*"):
        file.unlink()
    consume = FakeConsumer.consume
    monkeypatch.setattr(
        FakeConsumer, "consume", lambda self, count=1, timeout=-1: consume(self, min(count, 5), timeout)
    )
    shares, told = [], []
    worker = world._alive()
    while not worker._observer.ready().ok:
        worker.step()
        share = value(world, "streams_restore_ratio", partition=0)
        shares.append(0.0 if share is None else share)
        told.append(worker._observer.ready().body["partitions"].get("0", ""))
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert sum(0 < share < 1 for share in shares) > 1
    assert any(each.startswith("RESTORING ") and each.endswith("%") for each in told)
    assert value(world, "streams_restored_records", partition=0) == worker.tasks[0].replay.records > 0
    assert value(world, "streams_partition_phase", partition=0, phase="RUNNING") == 1


def test_a_partition_that_has_gone_is_not_shown_any_more(world: World, tmp_path: Path) -> None:
    """What the group takes to another worker is counted there, and here no longer."""
    world.invoke(*invocations(range(20)))
    world.run_until_idle()
    first = worker_of(world)
    settings = world.settings.model_copy(update={"state_dir": tmp_path / "other", "worker_id": "other"})
    second = Worker(settings, world.cluster, lambda: world.cluster.now)
    with closing(second):
        for _ in range(20):
            first.step()
            second.step()
        assert len(values(world, "streams_store_bytes", "partition")) == len(first.tasks) == 1
        assert values(world, "streams_partition_changes_total", "change") == {"assigned": PARTITIONS, "revoked": 1}
        assert value(world, "streams_rebalances_total") == 2
        assert second._observer.ready().ok


def test_health_tells_of_dead_letters_that_wait_for_an_upgrade(world: World) -> None:
    """They make a worker neither dead nor unready; other dead letters are for the metrics alone."""
    world.log(codec.encode(Tick(ENGINE_VERSION + 1, 0, 1, 0, 0, 0, 0, 10)), "tick/0", 0)
    world.log(b"\xc3\x01" + b"unknown!" + b"body", "k", 1)
    world.log(b"bad", "k", 1)
    world.run_until_idle()
    verdict = worker_of(world)._observer.ready()
    assert verdict.ok
    assert verdict.body["dead_letters"] == {"newer_engine": 1, "unknown_schema": 1}


def test_a_worker_serves_all_that_is_defined(world: World) -> None:
    """A definition that nothing fills would be a promise of the docs that is not kept."""
    world.run_until_idle()
    served = {family.name for family in worker_of(world)._observer.registry.collect()}
    defined = [*metrics_of(OfEach), *metrics_of(OfWorker)]
    assert served == {metric.name.removesuffix("_total") for metric in defined}


def test_what_is_sent_makes_no_new_series(world: World) -> None:
    """However many invocations and batches come: but for services the series stay the same, and none bears an id."""

    def load(name: str) -> None:
        world.invoke(*invocations(range(25), service=name, prefix=name))
        world.invoke(Invoke(Invocation(f"{name}-0", "another", "run")))
        world.send(StartBatch(f"{name}-kill", Action.KILL, Filter(services=(name,))), key=f"{name}-kill")
        world.send(Act("x" * 300, Action.KILL), key=name)
        world.log(name.encode(), name, 0)
        world.run_until_idle()

    load("first")
    before = series(world)
    for n in range(10):
        load(f"later{n}")
    new = series(world) - before
    assert {name for name, _ in new} == {"streams_ended_total"}
    assert {labels["service"] for _, labels in map(_named, new)} == {f"later{n}" for n in range(10)}
    assert not any("first" in value for _, labels in before for name, value in labels if name != "service")


def _named(one: tuple[str, tuple[tuple[str, str], ...]]) -> tuple[str, dict[str, str]]:
    return one[0], dict(one[1])
