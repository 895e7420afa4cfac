"""Taking a partition over: log, changelog and table tell one story, or the worker stops and says which differs."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from threading import Event
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import TopicPartition
from msgspec.structs import replace

from streams import codec
from streams.config import Topic
from streams.errors import StreamsError
from streams.model import ENGINE_VERSION, Action, Filter, Invocation, Invoke, Member, Meta, StartBatch, Tick
from streams.offline.verify import verify
from streams.protocol.routing import partition_of
from streams.worker import takeover
from streams.worker.state_folder import StateFolder
from streams.worker.task import Phase
from streams.worker.worker import Worker
from support.kafka.fake_group import GroupMetadata
from support.service.flow_world import members
from support.service.worker_world import PARTITIONS, World, invocations

if TYPE_CHECKING:
    from pathlib import Path


def test_an_intact_folder_replays_nothing(world: World) -> None:
    """After a clean stop the table is as it was, and no changelog record is read again."""
    world.run_until_idle()
    assert world.worker is not None
    assert [task.replay.records for task in world.worker.tasks.values()] == [0] * PARTITIONS
    assert len(world.statuses()) == 20


def test_a_missing_folder_is_restored_from_the_changelog(world: World) -> None:
    """Without local files the table comes back whole."""
    world.run_until_idle()
    before = world.statuses()
    world.close()
    for file in world.settings.state_dir.glob("*.sqlite3*"):
        file.unlink()
    world.run_until_idle()
    assert world.statuses() == before
    world.assert_log_and_changelog_agree()


def test_what_a_turn_without_commands_removes_is_counted(world: World) -> None:
    """The first turn after a takeover may only publish flows: it removes malformed entries, too."""
    world.invoke(*members(2, prefix="m"))
    world.run_until_idle()
    world.cluster.append((world.changelog, partition_of("f", PARTITIONS)), b"g/n/x/0/seven", codec.encode(Member()))
    world.die()
    world.run_until_idle()
    counted = world._alive()._observer.registry.get_sample_value
    assert counted("streams_reconciled_total", {"what": "entries"}) == 1


def test_a_damaged_file_is_moved_aside_and_rebuilt(world: World) -> None:
    """Bytes that are no database cost a rebuild, nothing else; the file is kept for whoever wants to look."""
    file = world.settings.state_dir / "partition-0.sqlite3"
    file.write_bytes(b"no database" * 1_000)
    world.run_until_idle()
    assert len(world.statuses()) == 20
    assert list(world.settings.state_dir.glob("partition-0.unusable-*"))


def _break_pages(file: Path) -> None:
    """Overwrite the head of each page but the first few, which are what opening the file reads."""
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    content = bytearray(file.read_bytes())
    for page in range(12, len(content) // 4096):
        content[page * 4096 : page * 4096 + 200] = b"\xff" * 200
    file.write_bytes(content)


def test_damage_that_shows_in_a_turn_costs_a_rebuild_and_no_stop(tmp_path: Path) -> None:
    """A file that opens and breaks at a later touch is set apart too; a second time the worker stops."""
    with closing(World(tmp_path)) as world:
        file = world.settings.state_dir / "partition-0.sqlite3"
        world.invoke(*(Invoke(Invocation(f"i-{n}", "orders", "run"), payload=b"x" * 300) for n in range(1_500)))
        world.run_until_idle()
        world.close()
        _break_pages(file)
        world.send(StartBatch("kill", Action.KILL, Filter(match_all=True)), key="kill")
        world.run_until_idle()
        assert world.deaths == 0
        assert set(world.statuses().values()) == {"KILLED"}
        assert len(list(world.settings.state_dir.glob("partition-*.unusable-*"))) == 1
        world.assert_log_and_changelog_agree()
        worker = world.worker
        assert worker is not None
        error = sqlite3.DatabaseError("malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        with pytest.raises(sqlite3.DatabaseError):
            worker._repair.replace(worker.tasks, error)


def test_a_store_ahead_of_its_changelog_stops_the_worker(world: World) -> None:
    """A changelog that ends before what the table has read is another one: nothing is overwritten."""
    world.cluster.delete_topic(world.changelog)
    world.cluster.create_topic(world.changelog, PARTITIONS)
    assert "the topic is not the one this table was made from" in world.refusal()


def test_a_committed_offset_that_somebody_moved_stops_the_worker(world: World) -> None:
    """Both sides are named, and how to put it right."""
    group = world.cluster.group(world.settings.group_id)
    group.committed[world.commands, 0] += 3
    assert "the group's committed offset is" in world.refusal()


def test_a_topic_created_again_stops_the_worker(world: World) -> None:
    """The table remembers the ids of its two topics."""
    logs = world.cluster.topics[world.commands].logs
    group = world.cluster.group(world.settings.group_id)
    committed = dict(group.committed)
    world.cluster.delete_topic(world.commands)
    world.cluster.create_topic(world.commands, PARTITIONS, {"message.timestamp.type": "LogAppendTime"})
    world.cluster.topics[world.commands].logs[:] = logs
    group.committed.update(committed)
    assert "the topic was created again" in world.refusal()


def test_another_partition_count_stops_the_worker(world: World) -> None:
    """The count is fixed for the life of the topics."""
    for name in (Topic.COMMANDS, Topic.CHANGELOG, Topic.SIGNALS):
        topic = world.cluster.topics[world.settings.topic(name)]
        topic.logs.append(type(topic.logs[0])((topic.name, PARTITIONS)))
    assert f"the table was made with {PARTITIONS} partitions" in world.refusal()


def test_a_partition_added_to_one_topic_stops_the_worker(world: World) -> None:
    """Partition p of one topic belongs to partition p of the others."""
    topic = world.cluster.topics[world.commands]
    topic.logs.append(type(topic.logs[0])((topic.name, PARTITIONS)))
    assert "fixed for the life of the topics" in world.refusal()


def test_a_partition_whose_offset_is_pending_keeps_no_other_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction of a dead worker holds one offset; the other partition is taken over and runs meanwhile."""
    monkeypatch.setattr(takeover, "_ASK_AGAIN_S", 0.0)
    dead = world.cluster.producer({"transactional.id": "dead"})
    dead.init_transactions()
    dead.begin_transaction()
    place = TopicPartition(world.commands, 0, 3)
    dead.send_offsets_to_transaction([place], GroupMetadata(world.settings.group_id, "", -1))
    world.invoke(*invocations(range(20, 30)))
    with closing(Worker(world.settings, world.cluster, lambda: world.cluster.now)) as worker:
        for _ in range(20):
            worker.step()
        assert {partition: task.phase for partition, task in worker.tasks.items()} == {
            0: Phase.CLAIMED,
            1: Phase.RUNNING,
        }
        assert worker.applied > 0
        dead.abort_transaction()
        for _ in range(20):
            worker.step()
        assert {task.phase for task in worker.tasks.values()} == {Phase.RUNNING}
        assert worker.applied >= 10


def test_a_record_of_a_newer_engine_is_a_dead_letter_and_stops_nothing(world: World) -> None:
    """Whoever may write to the log could otherwise stop every partition; the table decides who is too old."""
    world.log(codec.encode(Tick(99, 0, 1, 0, 0, 0, 0, 10)), "tick/0", 0)
    world.invoke(Invoke(Invocation("after", "s", "h")))
    world.run_until_idle()
    assert world.statuses()["after"] == "READY"
    (letter,) = world.cluster.records(world.settings.topic(Topic.DEAD_LETTERS))
    assert dict(letter.headers or ())["error-code"] == b"newer_engine"
    world.assert_log_and_changelog_agree()


def test_a_second_worker_on_the_same_folder_is_refused(world: World) -> None:
    """One process holds a state folder."""
    folder = StateFolder(world.settings.state_dir)
    with pytest.raises(StreamsError, match="in use by another worker"):
        Worker(world.settings, world.cluster)
    folder.close()


@pytest.mark.parametrize("content", ["", "\n"])
def test_an_id_that_a_full_disk_kept_from_being_written_is_created_again(tmp_path: Path, content: str) -> None:
    """An empty one would be every such worker's; it then stays the same."""
    (tmp_path / "worker-id").write_text(content)
    with closing(StateFolder(tmp_path)) as folder:
        made = folder.worker_id(None)
        assert len(made) == 36
        assert folder.worker_id(None) == made
        assert folder.worker_id("given") == "given"


def test_partitions_move_between_two_workers_and_nothing_is_lost(tmp_path: Path) -> None:
    """A second worker takes half, restores it from the changelog, and both go on; then the first one leaves."""
    with closing(World(tmp_path, worker_id=None)) as world:
        world.invoke(*invocations(range(20)))
        world.run_until_idle()
        settings = world.settings.model_copy(update={"state_dir": tmp_path / "other"})
        other = Worker(settings, world.cluster, lambda: world.cluster.now)
        world.invoke(*invocations(range(20, 40)))
        assert world.worker is not None
        for _ in range(30):
            other.step()
            world.worker.step()
        assert sorted([*other.tasks, *world.worker.tasks]) == list(range(PARTITIONS))
        assert len(other.tasks) == 1
        world.close()
        for _ in range(30):
            other.step()
        world.invoke(*invocations(range(40, 60)))
        for _ in range(30):
            other.step()
        other.close()
        assert len(world.signals()) == 60
        assert len(set(world.signals())) == 60
        assert all(verdict.holds for verdict in verify(world.settings, world.cluster))


def test_a_log_begun_by_an_earlier_engine_is_not_judged_by_this_one(world: World) -> None:
    """The table remembers where this engine took over, through restarts, and the verifier says that it cannot tell."""
    world.invoke(Invoke(Invocation("a", "orders", "run")), Invoke(Invocation("b", "orders", "run")))
    world.run_until_idle()
    world.close()
    taken_over = {}
    for partition in range(PARTITIONS):
        meta = codec.decode(world.cluster.records(world.changelog, partition)[-1].value)
        assert isinstance(meta, Meta)
        taken_over[partition] = meta.next_offset
        earlier = codec.encode(replace(meta, engine_version=ENGINE_VERSION - 1))
        world.cluster.append((world.changelog, partition), b"m/", earlier)
    shutil.rmtree(world.settings.state_dir)
    assert [verdict.earlier_to for verdict in verify(world.settings, world.cluster)] == list(taken_over.values())
    for _ in range(2):
        world.invoke(*invocations(range(9), "later"))
        world.run_until_idle()
        world.close()
        verdicts = list(verify(world.settings, world.cluster))
        assert [verdict.earlier_to for verdict in verdicts] == list(taken_over.values())
        assert not any(verdict.holds for verdict in verdicts)


def test_the_verifier_finds_a_changelog_that_lies(world: World) -> None:
    """A row that says something else than the log is named."""
    records = world.cluster.records(world.changelog, 0)
    record = next(each for each in records if (each.key or b"").startswith(b"i/"))
    row, _ = codec.decode_row(record.value or b"")
    lie = codec.encode_row(replace(row, attempt=7))
    world.cluster.append((world.changelog, 0), record.key, lie)
    verdicts = list(verify(world.settings, world.cluster))
    assert [verdict.holds for verdict in verdicts] == [False, True]
    assert row.invocation_id in verdicts[0].differences[0]


@pytest.mark.parametrize("call", ["committed", "list_offsets"])
def test_a_partition_that_runs_does_not_wait_for_one_that_is_claimed(
    world: World, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kafka may take its time to tell where a partition stands: the loop comes round meanwhile, and commands go on."""
    answers = Event()
    with closing(Worker(world.settings, world.cluster, lambda: world.cluster.now)) as worker:
        for _ in range(20):
            worker.step()
        offsets = worker.connections.takeover._offsets
        owner = offsets._consumer if call == "committed" else offsets._admin
        slowly = getattr(owner, call)

        def late(*args: object, **named: object) -> object:
            answers.wait(30)
            return slowly(*args, **named)

        monkeypatch.setattr(owner, call, late)
        task = worker.tasks[1]
        assert task.table is not None
        task.table.rollback()
        worker.connections.pause(1)
        task.claim()
        before = worker.applied
        world.invoke(*invocations(range(20, 60)))
        for _ in range(20):
            worker.step()
        assert (task.phase, worker.applied > before) == (Phase.CLAIMED, True)
        # What was asked for before it was claimed again is not what stands now.
        task.claim()
        answers.set()
        for _ in range(20):
            worker.step()
        assert worker.applied == before + 40
    world.assert_log_and_changelog_agree()
