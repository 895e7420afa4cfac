"""The store's file: opened, refused, rolled back, emptied and checkpointed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from streams.codec import encode
from streams.model import Meta
from streams.state import store as store_module
from streams.state.errors import StoreUnusableError
from streams.state.keys import META_KEY
from streams.state.schema import TABLES
from streams.state.store import Store
from streams.worker.state_folder import open_store

if TYPE_CHECKING:
    from pathlib import Path

META = Meta(partitions=3, next_offset=7, clock=9, counts={"RUNNING": 2})


def saved(path: Path) -> Store:
    """A store with one committed record."""
    store = Store.open(path, 2)
    store.begin()
    store.apply_changelog([(META_KEY, encode(META), 4)])
    store.commit(5, 6)
    return store


def test_a_fresh_store_knows_nothing(tmp_path: Path) -> None:
    """A new file has no record of the partition and reads the changelog from its start."""
    store = Store.open(tmp_path / "t.db", 2)
    assert (store.meta, store.changelog_position, store.saved_at) == (None, 0, 0)
    assert list(store.dump()) == []
    store.close()


def test_what_is_committed_is_there_when_opened_again(tmp_path: Path) -> None:
    """The partition's record and the place in the changelog survive together."""
    saved(tmp_path / "t.db").close()
    store = Store.open(tmp_path / "t.db", 2)
    assert (store.meta, store.changelog_position, store.saved_at) == (META, 5, 6)
    store.close()


def test_what_is_not_committed_is_gone_when_closed(tmp_path: Path) -> None:
    """Closing rolls back."""
    store = saved(tmp_path / "t.db")
    store.begin()
    store.put_meta(Meta(), encode(Meta()))
    store.close()
    store = Store.open(tmp_path / "t.db", 2)
    assert store.meta == META
    store.close()


def test_rollback_restores_the_record_too(tmp_path: Path) -> None:
    """What the store says of itself is always what its file says."""
    store = saved(tmp_path / "t.db")
    store.begin()
    store.put_meta(Meta(), encode(Meta()))
    transactions = [store.in_transaction]
    store.rollback()
    transactions.append(store.in_transaction)
    assert transactions == [True, False]
    assert store.meta == META
    store.rollback()
    store.close()


def test_a_cleared_store_is_as_a_fresh_one(tmp_path: Path) -> None:
    """Clearing empties the file, whatever was under way."""
    store = saved(tmp_path / "t.db")
    store.begin()
    store.clear()
    assert (store.meta, store.changelog_position, store.saved_at) == (None, 0, 0)
    assert list(store.dump()) == []
    names = store.db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    assert {name for (name,) in names} == {*TABLES, "state"}
    store.close()


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 4_000])
def test_a_damaged_file_is_unusable(content: bytes, tmp_path: Path) -> None:
    """A file that is no database is named, and never written to."""
    path = tmp_path / "t.db"
    path.write_bytes(content)
    with pytest.raises(StoreUnusableError, match=r"t\.db"):
        Store.open(path, 2)
    assert path.read_bytes() == content


def test_a_file_with_damaged_pages_is_unusable(tmp_path: Path) -> None:
    """Damage behind a sound header is found as well."""
    path = tmp_path / "t.db"
    saved(path).close()
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"\xff" * (len(content) - 100))
    with pytest.raises(StoreUnusableError, match="rebuild it"):
        Store.open(path, 2)


def test_a_store_of_another_partition_is_unusable(tmp_path: Path) -> None:
    """Files that were mixed up are found out."""
    saved(tmp_path / "t.db").close()
    with pytest.raises(StoreUnusableError, match="holds partition 2, not 3"):
        Store.open(tmp_path / "t.db", 3)


def test_a_database_of_another_program_is_unusable(tmp_path: Path) -> None:
    """Somebody else's file is left alone."""
    db = sqlite3.connect(tmp_path / "t.db")
    db.execute("CREATE TABLE notes(text)")
    db.close()
    with pytest.raises(StoreUnusableError, match="another program"):
        Store.open(tmp_path / "t.db", 2)


def test_a_store_of_another_version_is_unusable(tmp_path: Path) -> None:
    """A table that this worker does not know is rebuilt rather than misread."""
    store = saved(tmp_path / "t.db")
    store.db.execute("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(StoreUnusableError, match="version 99"):
        Store.open(tmp_path / "t.db", 2)


def test_what_says_nothing_of_the_file_does_not_make_it_unusable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, too many open files, a folder that is not there: the table is as good as it was."""
    path = tmp_path / "t.db"
    saved(path).close()
    content = path.read_bytes()
    full = sqlite3.OperationalError("disk I/O error")
    full.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE

    def configure(_: sqlite3.Connection) -> None:
        raise full

    with monkeypatch.context() as patched:
        patched.setattr(store_module, "_configure", configure)
        with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
            open_store(path, 2)
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        open_store(tmp_path / "missing" / "t.db", 2)
    assert [each.name for each in tmp_path.iterdir()] == ["t.db"]
    assert path.read_bytes() == content


def test_a_store_of_another_version_is_replaced(tmp_path: Path) -> None:
    """And nothing is left of it: after an upgrade, there would be a copy of each table for good."""
    store = saved(tmp_path / "t.db")
    store.db.execute("PRAGMA user_version = 1")
    store.close()
    with closing(open_store(tmp_path / "t.db", 2)) as fresh:
        assert (fresh.meta, fresh.changelog_position) == (None, 0)
    assert {each.name for each in tmp_path.iterdir()} <= {"t.db", "t.db-wal", "t.db-shm"}


def test_a_wal_checkpoint_from_another_connection_empties_the_write_ahead_file(tmp_path: Path) -> None:
    """What is committed moves into the database while the store stays open."""
    path, wal = tmp_path / "t.db", tmp_path / "t.db-wal"
    store = saved(path)
    size = path.stat().st_size
    assert wal.stat().st_size > 0
    store.wal_checkpoint()
    assert path.stat().st_size > size
    store.wal_checkpoint(truncate=True)
    assert wal.stat().st_size == 0
    store.close()


def test_a_wal_checkpoint_of_a_missing_file_makes_none(tmp_path: Path) -> None:
    """A partition that was given away in the meantime leaves no file behind."""
    store = saved(tmp_path / "t.db")
    store.close()
    (tmp_path / "t.db").unlink()
    store.wal_checkpoint()
    assert not (tmp_path / "t.db").exists()


def test_a_wal_checkpoint_never_waits_for_a_turn(tmp_path: Path) -> None:
    """While the store's transaction is open, a WAL checkpoint moves what it can and returns."""
    path = tmp_path / "t.db"
    store = saved(path)
    store.begin()
    store.put_meta(Meta(), encode(Meta()))
    store.wal_checkpoint()
    store.commit(6, 7)
    assert store.meta == Meta()
    store.close()


def test_the_write_ahead_file_of_a_busy_store_stays_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where every WAL checkpoint finds a turn under way, so that never all of the file has been moved."""
    monkeypatch.setattr("streams.state.store._LONG_FRAMES", 40)
    path, sizes = tmp_path / "t.db", []
    store = saved(path)
    for turn in range(100):
        store.begin()
        store.put_meta(META, encode(META) + bytes(20_000))
        store.wal_checkpoint()
        store.commit(turn, turn)
        sizes.append((tmp_path / "t.db-wal").stat().st_size)
    assert max(sizes) < 100 * 4_096
    store.close()
