"""The verifier beside live workers, and where it finds no room."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from streams.errors import StreamsError
from streams.kafka.reading import TopicReader
from streams.model import Action, Filter, StartBatch
from streams.offline import tables
from streams.offline.export import restored
from streams.offline.verify import verify
from streams.state.store import Store
from support.service.worker_world import PARTITIONS, World, invocations

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A worker with twenty invocations."""
    with closing(World(tmp_path)) as made:
        made.invoke(*invocations(range(20)))
        made.run_until_idle()
        yield made


@pytest.fixture
def compacted(world: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Once the reader knows where the changelog ends, workers go on, and what they have replaced is compacted away."""
    bounds = TopicReader.bounds
    done: list[str] = []

    def ask(self: TopicReader, topic: str, *more: Any) -> tuple[int, int]:
        found = bounds(self, topic, *more)
        if topic == world.changelog and len(done) < PARTITIONS:
            name = f"b{len(done)}"
            done.append(name)
            world.send(StartBatch(name, Action.KILL, Filter(invocation_ids=(f"i-{len(done)}",))), key=name)
            world.invoke(*invocations(range(10), name))
            world.run_until_idle()
            world.cluster.compact(world.changelog, drop_tombstones=True)
        return found

    monkeypatch.setattr(TopicReader, "bounds", ask)
    monkeypatch.setattr(tables, "_SOON_S", 0.0)
    return done


def test_what_is_compacted_while_it_reads_is_no_difference(world: World, compacted: list[str]) -> None:
    """It reads on, to what has taken its place."""
    assert all(found.holds for found in verify(world.settings, world.cluster))
    assert len(compacted) == PARTITIONS


def test_an_export_beside_workers_is_of_one_time(world: World, compacted: list[str]) -> None:
    """If it is forced: each partition's table is as its record says that it is."""
    with restored(world.settings, world.cluster, force=True) as (stores, _):
        for store in stores:
            (rows,) = store.db.execute("SELECT count(*) FROM rows").fetchone()
            assert store.meta is not None
            assert rows == sum(store.meta.counts.values())
    assert len(compacted) == PARTITIONS


def test_a_replay_leaves_no_long_write_ahead_file(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else moves what it has written into the database."""
    checkpoint = Store.wal_checkpoint
    moved: set[str] = set()

    def move(self: Store, *, truncate: bool = False) -> None:
        assert truncate
        moved.add(self.path.name)
        checkpoint(self, truncate=truncate)

    monkeypatch.setattr(Store, "wal_checkpoint", move)
    assert all(found.holds for found in verify(world.settings, world.cluster))
    assert moved == {"kept.sqlite3", "replayed.sqlite3"}


def test_no_room_is_one_line(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says which folder it was."""

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    world.close()
    monkeypatch.setattr(Store, "commit", full)
    with pytest.raises(StreamsError, match="disk is full; set TMPDIR"):
        list(verify(world.settings, world.cluster))
