"""A service's table as commands, and the table that another service with more partitions makes of them."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from confluent_kafka import KafkaError, KafkaException

from streams import codec
from streams.cli.records import command_of, typed_json
from streams.config import Topic
from streams.kafka import reading
from streams.model import (
    ENGINE_VERSION,
    Act,
    Action,
    Cause,
    ControlBatch,
    ControlOperation,
    Filter,
    Invocation,
    Invoke,
    OnTimeout,
    ReportTransition,
    SignalKind,
    StartBatch,
    Status,
    Tick,
)
from streams.offline.export import Exported, NotAtRestError, commands, restored
from streams.offline.moves import Terms
from streams.state.unfinished import status_counts
from support.kafka.fake_cluster import failure
from support.kafka.fake_log import Log
from support.service.worker_world import PARTITIONS, World
from support.tables.memory_cluster import MemoryCluster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streams.model import Record

FAR = 10**14
HOUR = 3_600_000
LIVE = {
    "waits": "SCHEDULED",
    "overdue": "SCHEDULED",
    "ready": "READY",
    "runs": "RUNNING",
    "sleeps": "SUSPENDED",
    "retries": "BACKING_OFF",
    "shelved": "PAUSED",
    "shelved-overdue": "PAUSED",
    "halted": "PAUSED",
    "asked": "CANCELLING",
    "left": "CANCELLING",
}
UNSEEN = {"waits", "overdue", "shelved", "shelved-overdue"}
"""Those that no executor has heard of."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A service of two partitions whose workers have come to rest: an invocation of each kind of `LIVE`, some ended."""
    with closing(World(tmp_path)) as world:
        soon = world.cluster.now + 10_000
        at = {"waits": FAR, "overdue": soon, "shelved": FAR, "shelved-overdue": soon}
        for name in (*LIVE, "over", "killed"):
            world.invoke(Invoke(_invocation(name), at.get(name), payload=name.encode()))
        world.run_until_idle()
        _acts_and_reports(world)
        world.run_until_idle()
        _stop(world)
        world.cluster.now = soon + 1
        yield world


def _stop(world: World) -> None:
    """The worker, and its place in the group, which outlives it for a while."""
    world.close()
    world.cluster.kill()


def _invocation(name: str) -> Invocation:
    return Invocation(name, "mail", "send", deployment_id="d-1", labels={"tenant": 'a "b" \u2028\n'})


def _acts_and_reports(world: World) -> None:
    reports = {
        "runs": Status.RUNNING,
        "sleeps": Status.SUSPENDED,
        "halted": Status.RUNNING,
        "asked": Status.RUNNING,
        "over": Status.COMPLETED,
    }
    for name, to in reports.items():
        world.send(ReportTransition(name, 1, to=to, deployment_id="d-2" if name == "runs" else None), key=name)
    world.send(ReportTransition("retries", 1, to=Status.BACKING_OFF, retry_at=FAR), key="retries")
    for name in ("shelved", "shelved-overdue", "halted"):
        world.send(Act(name, Action.PAUSE), key=name)
    cause = Cause(batch_id="b-old", actor="ada", reason="why")
    world.send(Act("asked", Action.CANCEL, grace_ms=HOUR, on_timeout=OnTimeout.LEAVE, cause=cause), key="asked")
    world.send(Act("left", Action.CANCEL, grace_ms=20_000, cause=cause), key="left")
    world.send(Act("killed", Action.KILL), key="killed")


def _lines(
    world: World, *, restart: bool = False, force: bool = False, window: int = HOUR
) -> tuple[list[bytes], Exported, list[str]]:
    """What `streams export` would write now, the count of it, and why it may not be all."""
    now, exported = world.cluster.now, Exported()
    terms = Terms(now, restart, now + window)
    with restored(world.settings, world.cluster, force=force) as (stores, unrest):
        lines = [msgspec.json.encode(typed_json(command)) for command in commands(stores, terms, exported)]
    return lines, exported, unrest


def _sent(world: World, lines: list[bytes], cluster: MemoryCluster | None = None) -> MemoryCluster:
    """A service of five partitions, with the lines sent to it."""
    cluster = cluster or MemoryCluster(5)
    cluster.now = max(cluster.now, world.cluster.now)
    sent: list[Any] = [_as_logged(command_of(line)) for line in lines]
    cluster.run(*sent)
    assert cluster.refused == []
    return cluster


def _as_logged(command: Record) -> Record:
    return codec.decode(codec.encode(command))


def _statuses(cluster: MemoryCluster) -> dict[str, str]:
    return {name: str(row.status) for table in cluster.tables for name, row in table.rows.items()}


def _signals(cluster: MemoryCluster) -> Counter[tuple[str, str, int]]:
    return Counter((str(send.kind), send.invocation_id, send.attempt) for _, send in cluster.signals)


MOVED = LIVE | {"overdue": "READY", "ready": "RUNNING"}
"""What was due meanwhile starts on arrival; of what has a START out already nobody knows whether it was taken up."""


def test_every_status_is_kept_and_nothing_is_started_twice(world: World) -> None:
    """Five partitions instead of two; only what fell due meanwhile gets a START."""
    lines, exported, unrest = _lines(world)
    moved = _sent(world, lines)
    assert unrest == []
    assert _statuses(moved) == MOVED
    assert _signals(moved) == Counter(
        [("START", "overdue", 1), ("PAUSE", "halted", 1), ("CANCEL", "asked", 1), ("CANCEL", "left", 1)]
    )
    assert exported.moved == Counter(Status(status) for status in LIVE.values())
    assert exported.ended == {Status.COMPLETED: 1, Status.KILLED: 1}
    assert (exported.commands, exported.shelved, exported.batches) == (len(lines), 2, [])


def test_what_an_invocation_says_of_itself_is_kept(world: World) -> None:
    """Its fields, payload and schedule, and the deployment that a report has pinned."""
    lines, _, _ = _lines(world)
    moved = _sent(world, lines)
    for name in LIVE:
        row = moved.row(name)
        assert codec.decode_invocation(row.encoded) == _invocation(name)
        [table] = [each for each in moved.tables if name in each.rows]
        assert table.payload(row) == name.encode()
        assert row.deployment_id == ("d-2" if name == "runs" else None)
        assert (row.started_seq is None) == (name in UNSEEN - {"overdue"})
    assert moved.row("waits").scheduled_at == moved.row("shelved").scheduled_at == FAR
    assert moved.row("retries").due_at == FAR


def test_a_retry_begins_at_its_time(world: World) -> None:
    """As the next attempt, with a START and the payload."""
    moved = _sent(world, _lines(world)[0])
    before = _signals(moved)
    moved.now = FAR - 1
    moved.tick()
    assert "retries" not in {name for _, name, _ in _signals(moved) - before}
    moved.tick(after_ms=1)
    [start] = [send for _, send in moved.signals if send.invocation_id == "retries"]
    assert (start.kind, start.attempt, start.payload) == (SignalKind.START, 2, b"retries")


def test_what_is_paused_is_started_by_nothing_but_its_resume(world: World) -> None:
    """One whose time came while it was paused does not start at the door; it goes on once the window is over."""
    moved = _sent(world, _lines(world)[0])
    paused = {name for name, status in LIVE.items() if status == "PAUSED"}
    moved.tick(after_ms=2 * HOUR)
    assert {name for kind, name, _ in _signals(moved) if kind == "START"} & paused == set()
    moved.run(*(Act(name, Action.RESUME) for name in sorted(paused)))
    assert {name: _statuses(moved)[name] for name in paused} == {
        "shelved": "SCHEDULED",
        "shelved-overdue": "READY",
        "halted": "READY",
    }
    assert _signals(moved)["START", "halted", 2] == _signals(moved)["START", "shelved-overdue", 1] == 1


def test_a_cancel_goes_on_with_what_is_left_of_its_grace(world: World) -> None:
    """Whom and why it was asked by is kept; after the grace what was to be killed is, and what was to be left is."""
    moved = _sent(world, _lines(world)[0])
    asked, left = moved.row("asked").ending, moved.row("left").ending
    assert asked is not None
    assert left is not None
    assert asked.cause == left.cause == Cause(batch_id="b-old", actor="ada", reason="why")
    assert left.grace_until is not None
    assert 0 < left.grace_until - moved.now < 20_000
    matched = _dry_run(moved, Filter(batch_ids=("b-old",)))
    assert matched == 2
    moved.tick(after_ms=20_000)
    assert (_statuses(moved)["asked"], _statuses(moved)["left"]) == ("CANCELLING", "KILLED")
    moved.tick(after_ms=HOUR)
    assert _statuses(moved)["asked"] == "CANCELLING"


def _dry_run(cluster: MemoryCluster, filter_: Filter) -> int:
    cluster.run(StartBatch("dry", Action.KILL, filter_, dry_run=True))
    return cluster.total("dry")["matched"]


def test_what_stopped_executors_had_in_hand_is_started_again_when_asked_for(world: World) -> None:
    """READY and RUNNING get a START with their payload; what sleeps, retries, is paused or cancelled stays so."""
    lines, _, _ = _lines(world, restart=True)
    moved = _sent(world, lines)
    assert _statuses(moved) == LIVE | {"overdue": "READY", "runs": "READY"}
    starts = [send for _, send in moved.signals if send.kind is SignalKind.START]
    assert {(send.invocation_id, send.payload) for send in starts} == {
        (name, name.encode()) for name in ("ready", "runs", "overdue")
    }
    assert len(starts) == 3


@pytest.mark.parametrize("restart", [False, True])
def test_the_same_lines_sent_again_change_nothing(world: World, *, restart: bool) -> None:
    """An import that broke off is simply done again."""
    lines, _, _ = _lines(world, restart=restart)
    moved = _sent(world, lines)
    before, signals = [dict(table.rows) for table in moved.tables], len(moved.signals)
    _sent(world, lines, moved)
    assert [dict(table.rows) for table in moved.tables] == before
    assert len(moved.signals) == signals


def test_what_was_killed_after_the_move_is_killed_there(world: World) -> None:
    """A kill by filter ends all, on every partition."""
    moved = _sent(world, _lines(world)[0])
    moved.run(StartBatch("all", Action.KILL, Filter(match_all=True)))
    assert moved.total("all")["done"] == len(LIVE)
    assert set(_statuses(moved).values()) == {"KILLED"}


def test_a_service_that_is_not_at_rest_is_refused(world: World) -> None:
    """Workers in the group, then commands that nobody has applied; forced, the same is told beside the table."""
    world.run_until_idle()
    with pytest.raises(NotAtRestError, match=r"group t\.workers has 1 member: stop the workers"):
        _lines(world)
    _stop(world)
    _, exported, unrest = _lines(world)
    assert unrest == []
    world.send(Act("waits", Action.KILL), key="waits")
    with pytest.raises(NotAtRestError, match=r"t\.commands, partition \d: commands from offset \d+ on .* not been"):
        _lines(world)
    world.run_until_idle()
    assert world.statuses()["waits"] == "KILLED"
    world.send(Act("runs", Action.KILL), key="runs")
    lines, forced, unrest = _lines(world, force=True)
    assert len(unrest) == 2
    assert forced.invocations == exported.invocations - 1
    assert any(b'"runs"' in line for line in lines)


def test_a_log_that_has_got_more_partitions_is_left_this_way(world: World) -> None:
    """No worker takes such a log; what somebody has sent to the new partitions counts as not applied."""
    name = world.settings.topic(Topic.COMMANDS)
    world.cluster.topics[name].logs.append(Log((name, PARTITIONS)))
    lines, exported, _ = _lines(world)
    assert exported.invocations == len(LIVE)
    assert _statuses(_sent(world, lines)) == MOVED
    world.log(codec.encode(Act("runs", Action.KILL)), "runs", PARTITIONS)
    with pytest.raises(NotAtRestError, match=r"t\.commands, partition 2: commands from offset 0 on"):
        _lines(world)


def test_a_group_that_the_broker_cannot_tell_of_yet_is_asked_again(world: World) -> None:
    """As it is for a moment after a start; what does not pass is an error."""
    faults = world.cluster.faults
    faults.fail("describe_groups", failure(KafkaError.COORDINATOR_LOAD_IN_PROGRESS))
    assert _lines(world)[2] == []
    faults.fail("describe_groups", failure(KafkaError.GROUP_AUTHORIZATION_FAILED))
    with pytest.raises(KafkaException, match="GROUP_AUTHORIZATION_FAILED"):
        _lines(world)


def test_a_tick_that_nobody_has_applied_is_no_reason_to_wait(world: World) -> None:
    """Time goes on in the other service by itself."""
    world.log(codec.encode(Tick(ENGINE_VERSION, 1, 99, 0, 0, 0, 0, 1)), "tick/1", 1)
    assert _lines(world)[2] == []


def test_what_an_undecided_transaction_holds_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is read up to the end of all records; one that stays undecided ends in an error after a while."""
    producer = world.cluster.producer({"transactional.id": "dying"})
    producer.init_transactions()
    producer.begin_transaction()
    for partition in range(PARTITIONS):
        producer.produce(world.settings.topic(Topic.CHANGELOG), None, "i/runs", partition)
    with monkeypatch.context() as patched:
        patched.setattr(reading, "_PATIENCE_S", 0.0)
        with pytest.raises(reading.StalledError, match="or a transaction is open"):
            _lines(world)

    def decide(*_: object) -> None:
        if not decided:
            decided.append(True)
            producer.commit_transaction()

    decided: list[bool] = []
    with restored(world.settings, world.cluster, decide) as (stores, _):
        assert [status_counts(store.db).get(Status.RUNNING, 0) for store in stores] == [0, 0]


def test_a_service_that_never_had_a_worker_or_a_command_is_exported_as_nothing(tmp_path: Path) -> None:
    """Its group does not exist; what was sent to it counts as not applied."""
    with closing(World(tmp_path)) as world:
        assert _lines(world) == ([], Exported(), [])
        world.invoke(Invoke(Invocation("a", "mail", "send")))
        with pytest.raises(NotAtRestError, match="commands from offset 0 on"):
            _lines(world)


def test_a_batch_that_is_not_over_is_named(world: World) -> None:
    """It stays behind: whoever moves starts it again."""
    world.send(StartBatch("done", Action.KILL, Filter(services=("none",))), key="done")
    world.send(StartBatch("held", Action.CANCEL, Filter(services=("mail",)), max_rate=0.001), key="held")
    world.run_until_idle()
    world.send(ControlBatch("held", ControlOperation.PAUSE), key="held")
    world.run_until_idle()
    _stop(world)
    assert _lines(world)[1].batches == ["held"]
